"""How pods are replaced: beside the old ones where there is room, in their place where there is none, never in vain."""

from datetime import timedelta

import pytest
from builders import NOW, a_claim, a_pod, a_service, a_world, child, condition, live, planned
from mlservice.api.meta import ANNOTATION_IN_PLACE, LABEL_REVISION
from mlservice.plan.world import Ref

INSUFFICIENT = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
SURGE = {"maxSurge": 1, "maxUnavailable": 0}
LATE = NOW - timedelta(seconds=31)


def in_place(missing=1):
    return {"maxSurge": 0, "maxUnavailable": missing}


def gpus(count, **spec):
    return {"containers": [{"name": "user-container", "resources": {"limits": {"nvidia.com/gpu": count}}}], **spec}


def old_pod(name="old", ready=True, **spec):
    pod = a_pod(name=name, phase="Running", conditions=[{"type": "Ready", "status": str(ready)}])
    pod["metadata"]["labels"][LABEL_REVISION] = "before"
    return pod | {"spec": gpus("1", nodeName="n", **spec)}


def new_pod(since=LATE, message=INSUFFICIENT, name="new", count="1", **spec):
    stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = a_pod(name=name, phase="Pending", conditions=[scheduled | {"lastTransitionTime": stamp}])
    return pod | {"spec": gpus(count, **spec)}


def rolling(*pods, wanted=1, available=1, old=1, strategy=None, why="", service=None, claims=(), conditions=()):
    """The plan of a rollout as its Deployment and pods show it."""
    children = live(planned(a_world(service, claims=claims)))
    deployment = children[Ref("Deployment", "llama-predict-v1")]
    deployment["metadata"]["generation"] = 2
    deployment["spec"]["replicas"] = wanted
    if strategy:
        deployment["spec"]["strategy"]["rollingUpdate"] = strategy
        deployment["metadata"]["annotations"][ANNOTATION_IN_PLACE] = why
    new = len([pod for pod in pods if pod["metadata"]["name"].startswith("new")])
    deployment["status"] = {
        "observedGeneration": 2,
        "replicas": old + new,
        "updatedReplicas": new,
        "readyReplicas": available,
        "availableReplicas": available,
        "conditions": list(conditions),
    }
    manifest = (service or a_service()).with_replicas(wanted)
    return planned(a_world(manifest, children=children, pods=pods, claims=claims))


def strategy(result):
    return child(result, "Deployment", "llama-predict-v1")["spec"]["strategy"]["rollingUpdate"]


def reason(result):
    return result.status["releases"][0].get("reason")


def message(result):
    return result.status["releases"][0]["message"]


def test_rollout_waits_a_while_for_room_then_replaces_in_place():
    early = rolling(old_pod(), new_pod(NOW - timedelta(seconds=10)))
    assert (strategy(early), early.again_seconds, reason(early)) == (SURGE, 20, "Unschedulable")
    late = rolling(old_pod(), new_pod())
    assert (strategy(late), reason(late)) == (in_place(), "ReplacingInPlace")
    assert "no node has room for a second pod" in message(late)
    assert "requests fail until the new one is ready. Free room" in message(late)


def test_in_place_is_kept_until_the_rollout_is_complete():
    loading = a_pod(name="new", phase="Running")
    why = "no node had room"
    result = rolling(loading, available=0, old=0, strategy=in_place(), why=why)
    assert (strategy(result), reason(result)) == (in_place(), "ReplacingInPlace")
    assert child(result, "Deployment", "llama-predict-v1")["metadata"]["annotations"][ANNOTATION_IN_PLACE] == why
    assert "no node had room: the old pod stops" in condition(result, "Ready")["message"]
    done = rolling(loading, available=1, old=0, strategy=in_place())
    assert (strategy(done), reason(done)) == (SURGE, None)


def test_room_that_somebody_else_took_meanwhile_is_told():
    result = rolling(new_pod(), available=0, old=0, strategy=in_place())
    assert (strategy(result), reason(result)) == (in_place(), "Unschedulable")


@pytest.mark.parametrize(
    "new",
    [
        new_pod(count="2"),
        new_pod(nodeSelector={"gpu": "h200"}),
        new_pod(message="0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        new_pod(message="0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) were unschedulable."),
    ],
    ids=["asks for more", "asks for other nodes", "lacks no room", "the old pod's node may be closed"],
)
def test_pod_that_may_not_fit_in_the_old_ones_place_never_stops_it(new):
    result = rolling(old_pod(), new)
    assert (strategy(result), reason(result)) == (SURGE, "Unschedulable")


def test_pod_that_fails_never_stops_the_old_one():
    crashed = {"name": "user-container", "state": {"terminated": {"exitCode": 1}}}
    result = rolling(old_pod(), new_pod(), a_pod(name="new-2", containerStatuses=[crashed]), wanted=2, available=1)
    assert (strategy(result), reason(result)) == (SURGE, "ContainerCrashed")


def test_old_pod_that_crashes_does_not_keep_the_room_for_ever():
    assert strategy(rolling(old_pod(ready=False), new_pod(), available=0)) == in_place()


def test_of_several_pods_one_at_a_time_is_replaced_in_place():
    old = [old_pod(f"old-{i}") for i in range(3)]
    result = rolling(*old, new_pod(), wanted=3, available=3, old=3)
    assert strategy(result) == in_place()
    assert "a pod stops before the next one starts, and 2 of 3 serve meanwhile" in message(result)
    begun = rolling(*old[:2], a_pod(name="new"), wanted=3, available=2, old=2, strategy=in_place())
    assert strategy(begun) == in_place()


def ending(name="old"):
    pod = old_pod(name, ready=False)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    return pod


def test_while_a_pod_ends_no_other_one_is_stopped_and_its_end_is_what_is_waited_for():
    one = rolling(ending(), new_pod(), available=0, old=0, strategy=in_place())
    assert (strategy(one), reason(one)) == (in_place(), "ReplacingInPlace")
    old = [old_pod(f"old-{i}") for i in range(2)]
    several = rolling(*old, ending("old-2"), new_pod(), wanted=3, available=2, old=2, strategy=in_place())
    assert (strategy(several), reason(several)) == (in_place(), "ReplacingInPlace")


def test_pods_that_never_had_room_do_not_keep_the_others_from_being_replaced():
    waits = old_pod("old-2", ready=False)
    del waits["spec"]["nodeName"]
    result = rolling(old_pod(), waits, new_pod(), wanted=2, available=1, old=2)
    assert strategy(result) == in_place(2)
    assert "requests fail until the new one is ready" in message(result)


def test_service_that_never_had_room_is_not_replaced_but_unschedulable():
    waits = old_pod(ready=False)
    del waits["spec"]["nodeName"]
    assert reason(rolling(waits, new_pod(), available=0)) == "Unschedulable"


def test_several_pods_of_a_claim_for_one_do_not_keep_a_change_out():
    service, claims = a_service().on("weights"), (a_claim("weights", "ReadWriteOncePod"),)
    taken = "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use"
    result = rolling(old_pod(), new_pod(message=taken), wanted=2, available=1, service=service, claims=claims)
    assert (strategy(result), reason(result)) == (in_place(2), "ReplacingInPlace")


def test_quota_that_allows_no_second_pod_is_a_lack_of_room():
    template = live(planned(a_world()))[Ref("Deployment", "llama-predict-v1")]["spec"]["template"]["spec"]
    old = old_pod() | {"spec": {"containers": template["containers"], "nodeName": "n"}}
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "x" is forbidden: exceeded quota: gpus',
        "lastTransitionTime": LATE.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    result = rolling(old, conditions=[failure])
    assert (strategy(result), reason(result)) == (in_place(), "ReplacingInPlace")
    assert "ResourceQuota allows no second pod" in message(result)


def stuck_on(node):
    waits = {"type": "PodReadyToStartContainers", "status": "False"}
    pod = a_pod(name="new", phase="Pending", conditions=[waits | {"lastTransitionTime": "2026-01-01T11:00:00Z"}])
    return pod | {"spec": gpus("1", nodeName=node, volumes=WEIGHTS)}


WEIGHTS = [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]


def test_claim_that_attaches_to_one_node_is_replaced_in_place_once_the_new_pod_came_to_another():
    service, claims = a_service().on("weights"), (a_claim("weights", "ReadWriteOnce"),)
    result = rolling(old_pod(volumes=WEIGHTS), stuck_on("other"), service=service, claims=claims)
    assert strategy(result) == in_place()
    assert "weights attaches to one node only (ReadWriteOnce), and pod old uses it on node n" in message(result)
    assert "ReadWriteMany" in message(result)
    same_node = rolling(old_pod(volumes=WEIGHTS), stuck_on("n"), service=service, claims=claims)
    assert (strategy(same_node), reason(same_node)) == (SURGE, "ContainersNotStarted")


def test_claim_for_one_pod_is_always_replaced_in_place_and_said_only_while_that_costs_something():
    service, claims = a_service().on("weights"), (a_claim("weights", "ReadWriteOncePod"),)
    first = planned(a_world(service, claims=claims))
    assert strategy(first) == in_place()
    starting = planned(a_world(service, claims=claims, children=live(first, ready=False)))
    assert reason(starting) == "PredictorNotReady"
    result = rolling(old_pod(), service=service, claims=claims)
    assert reason(result) == "ReplacingInPlace"
    assert "weights is for one pod at a time (ReadWriteOncePod)" in message(result)
