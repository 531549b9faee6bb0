"""Where the service's URL leads while releases come, go and fail."""

import pytest
from builders import a_pod, a_release, a_service, a_world, child, condition, live, planned
from mlservice.api.meta import LABEL_RELEASE
from mlservice.plan.world import Ref

TWO = a_service().also(a_release("v2"))
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "1 Insufficient nvidia.com/gpu"}


def serving_v1(v2_ready=False, **v1):
    """Both releases are there and v1 is routed; `v1` changes its Deployment's status."""
    children = live(planned(a_world(TWO)))
    if not v2_ready:
        children[Ref("Deployment", "llama-predict-v2")]["status"] |= {"readyReplicas": 0, "availableReplicas": 0}
    children[Ref("Deployment", "llama-predict-v1")]["status"] |= v1
    return children


def routed(result):
    assert result.status["defaultRelease"] == child(result, "Service", "llama")["spec"]["selector"][LABEL_RELEASE]
    return result.status["defaultRelease"]


def gone(result):
    return {f"{u['kind']} {u['metadata']['name']}" for u in result.unwanted if u["kind"] != "ControllerRevision"}


TO_V2 = a_service().also(a_release("v2")).having(default="v2")
ONLY_V2 = a_service().named("v2")
DEAD = {"readyReplicas": 0, "availableReplicas": 0}


def test_there_and_back_before_the_successor_is_ready_moves_nothing():
    assert routed(planned(a_world(TO_V2, children=serving_v1()))) == "v1"
    assert routed(planned(a_world(TWO, children=serving_v1()))) == "v1"


def test_neither_serves_then_traffic_waits_where_it_is():
    assert routed(planned(a_world(TO_V2, children=serving_v1(**DEAD)))) == "v1"


def test_deleted_service_comes_back_for_the_release_that_serves():
    children = serving_v1()
    del children[Ref("Service", "llama")]
    assert routed(planned(a_world(TO_V2, children=children, status={"defaultRelease": "v1"}))) == "v1"


def test_removed_release_that_fails_makes_room_for_the_successor_that_waits_for_it():
    blocked = a_pod("v2", conditions=[UNSCHEDULABLE])
    crashed = {"name": "user-container", "state": {"terminated": {"exitCode": 1}}}
    failing = a_pod("v1", "old", containerStatuses=[crashed])
    result = planned(a_world(ONLY_V2, children=serving_v1(**DEAD), pods=(blocked, failing)))
    assert routed(result) == "v2"
    children = serving_v1(**DEAD)
    children[Ref("Service", "llama")]["spec"]["selector"][LABEL_RELEASE] = "v2"
    after = planned(a_world(ONLY_V2, children=children, pods=(blocked, failing)))
    assert gone(after) == {"Deployment llama-predict-v1", "Service llama-predict-v1"}


def hung(name="old"):
    """Its probe fails now, and may answer the next moment: the model is loaded."""
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:30:00Z"}
    runs = {"name": "user-container", "state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}}}
    return a_pod("v1", name, conditions=[ready], containerStatuses=[runs])


@pytest.mark.parametrize(
    "pods",
    [(a_pod("v2", "new"),), (a_pod("v2", "new", conditions=[UNSCHEDULABLE]), hung())],
    ids=["the successor loads", "its probe just failed"],
)
def test_removed_release_that_may_serve_again_stays(pods):
    result = planned(a_world(ONLY_V2, children=serving_v1(**DEAD), pods=pods))
    assert (routed(result), gone(result)) == ("v1", set())


def test_removed_release_goes_when_the_service_is_paused():
    result = planned(a_world(a_service().named("v2").having(runMode="paused"), children=serving_v1()))
    assert routed(result) == "v2"


def test_removed_release_that_holds_the_last_room_serves_on_and_the_way_out_is_told():
    blocked = a_pod("v2", conditions=[UNSCHEDULABLE])
    result = planned(a_world(ONLY_V2, children=serving_v1(), pods=(blocked,)))
    ready = condition(result, "Ready")
    assert (routed(result), ready["status"]) == ("v1", "True")
    assert "kubectl -n default delete deployment llama-predict-v1" in ready["message"]


def test_failing_release_that_was_removed_is_not_what_the_service_is_about():
    crashed = {"name": "user-container", "state": {"terminated": {"exitCode": 1}}}
    failing = a_pod("v1", "old", containerStatuses=[crashed])
    result = planned(a_world(ONLY_V2, children=serving_v1(**DEAD), pods=(failing,)))
    assert routed(result) == "v1"
    assert condition(result, "Ready")["reason"] == "PredictorNotReady"


def test_release_scaled_to_zero_takes_no_traffic_and_says_how_to_start_it():
    idle = a_release("v2", minReplicas=0)
    children = serving_v1()
    children[Ref("Deployment", "llama-predict-v2")]["spec"]["replicas"] = 0
    children[Ref("Deployment", "llama-predict-v2")]["status"] |= {"replicas": 0, "updatedReplicas": 0}
    result = planned(a_world(a_service().also(idle).having(default="v2"), children=children))
    assert routed(result) == "v1"
    assert "scale deployment llama-predict-v2 --replicas=1" in condition(result, "Ready")["message"]


def test_routed_release_without_pods_is_not_ready_and_not_on_its_way_either():
    children = live(planned(a_world()))
    deployment = children[Ref("Deployment", "llama-predict-v1")]
    deployment["spec"]["replicas"] = 0
    deployment["status"] |= {"replicas": 0, "updatedReplicas": 0, **DEAD}
    result = planned(a_world(a_service().with_replicas(0), children=children))
    ready = condition(result, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ScaledToZero")
    assert condition(result, "Reconciling") == condition(result, "Stalled") == {}
