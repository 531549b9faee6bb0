"""How many pods run: minReplicas, or what somebody else wants within the bounds."""

import pytest
from builders import a_runtime, a_service, a_world, child, live, planned
from mlservice.api.meta import SCALER
from mlservice.plan.world import Ref


def replicas(service, current, owner=None, runtimes=None, status=None):
    """What is written to a Deployment whose `current` count `owner` wrote."""
    children = live(planned(a_world()))
    deployment = children[Ref("Deployment", "llama-predict-v1")]
    deployment["spec"]["replicas"] = current
    if owner:
        fields = {"f:spec": {"f:replicas": {}}}
        deployment["metadata"]["managedFields"] = [{"manager": owner, "fieldsV1": fields}]
    world = a_world(service, children=children, runtimes=runtimes, status=status)
    return planned(world).replicas.get("llama-predict-v1")


@pytest.mark.parametrize(
    ("bounds", "current", "owner", "wanted"),
    [
        ((None, None), 1, None, None),
        ((2, None), 1, None, 2),
        ((0, None), 1, None, 0),
        ((1, None), 3, SCALER, 1),
        ((2, None), 3, "kubectl", None),
        ((2, 4), 9, "kube-controller-manager", 4),
        ((2, 4), 4, SCALER, None),
        ((4, None), 3, "kubectl", 4),
        ((2, 0), 9, "kubectl", None),
    ],
    ids=[
        "default",
        "raised at creation",
        "zero at creation",
        "lowered minimum",
        "scaled by a person",
        "scaled above the maximum",
        "our own maximum stays",
        "scaled below the minimum",
        "maxReplicas 0 is no bound",
    ],
)
def test_count(bounds, current, owner, wanted):
    assert replicas(a_service().with_replicas(*bounds), current, owner) == wanted


def test_paused_service_is_made_without_a_single_pod():
    paused = a_service().having(runMode="paused")
    first = planned(a_world(paused))
    assert child(first, "Deployment", "llama-predict-v1")["spec"]["paused"] is True
    made = planned(a_world(paused, children=live(first)))
    assert made.replicas == {"llama-predict-v1": 0}
    children = live(made)
    children[Ref("Deployment", "llama-predict-v1")]["spec"]["replicas"] = 0
    scaled = planned(a_world(paused, children=children))
    assert "paused" not in child(scaled, "Deployment", "llama-predict-v1")["spec"]


def test_pause_and_resume():
    paused = a_service().with_replicas(2).having(runMode="paused")
    assert replicas(paused, 2, SCALER) == 0
    assert replicas(paused, 3, "kubectl") == 0
    assert replicas(a_service().with_replicas(2), 0, SCALER) == 2


DISABLED = a_runtime()
DISABLED["spec"]["enabled"] = False


def test_disabled_runtime_gets_no_new_pods_and_keeps_those_it_has():
    assert replicas(a_service().with_replicas(3), 2, SCALER, runtimes=(DISABLED,)) is None
    assert replicas(a_service(), 0, SCALER, runtimes=(DISABLED,)) is None
    assert replicas(a_service(), 2, SCALER, runtimes=(DISABLED,)) == 1


def test_pause_works_whatever_is_wrong():
    assert replicas(a_service().having(runMode="paused"), 1, SCALER, runtimes=()) == 0
