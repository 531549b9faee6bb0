"""Every mistake has its own reason, and a message that names the culprit and the cure."""

from datetime import timedelta

import pytest
from builders import (
    NOW,
    a_claim,
    a_pod,
    a_release,
    a_runtime,
    a_service,
    a_world,
    child,
    condition,
    live,
    planned,
)
from mlservice.plan import Finding
from mlservice.plan.world import Reason, Ref

DISABLED = a_runtime()
DISABLED["spec"]["enabled"] = False


@pytest.mark.parametrize(
    ("world", "reason", "words"),
    [
        (a_world(runtimes=()), "RuntimeNotFound", ["vllm-openai", "namespace default", "apply it"]),
        (a_world(runtimes=(DISABLED,)), "RuntimeDisabled", ["vllm-openai", "enable it"]),
        (a_world(runtimes=(a_runtime(name="server"),)), "RuntimeInvalid", ["user-container", "server"]),
        (
            a_world(runtimes=(a_runtime(ports=[{"containerPort": 1}, {"containerPort": 2}]),)),
            "RuntimeInvalid",
            ["http"],
        ),
        (
            a_world(
                a_service().patched(containers=[{"name": "proxy", "ports": [{"name": "http", "containerPort": 1}]}])
            ),
            "RuntimeInvalid",
            ["proxy", "http", "rename"],
        ),
        (a_world(runtimes=(a_runtime(args=["{{range .X}}"]),)), "TemplateInvalid", ["args[0]", "range"]),
        (a_world(a_service().without_parameter("MODEL_NAME")), "ParameterMissing", ["model.parameters.MODEL_NAME"]),
        (a_world(a_service().on("weights")), "PVCNotFound", ["weights", "namespace default", "create it"]),
        (
            a_world(
                a_service().having(releases=[a_release(storage={"s3": {"secretRef": {"name": "s"}, "uri": "s3://b"}})])
            ),
            "StorageUnsupported",
            ["storage.pvc"],
        ),
        (
            a_world(a_service().having(releases=[a_release(containersResources=[{"name": "x", "resources": {}}])])),
            "ContainerNotFound",
            ["x", "user-container"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistake_is_named(world, reason, words):
    result = planned(world)
    for type_, status in (("Ready", "False"), ("Stalled", "True"), ("ReleasesReady", "False")):
        found = condition(result, type_)
        assert (found["status"], found["reason"]) == (status, reason)
        for word in words:
            assert word in found["message"]
    assert [c["kind"] for c in result.children] == []
    assert result.status["address"]["url"]


def waiting(reason, message=""):
    return a_pod(
        containerStatuses=[
            {"name": "user-container", "image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}}
        ]
    )


def ended(reason, code, message=""):
    terminated = {"reason": reason, "exitCode": code, "message": message}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    return a_pod(
        containerStatuses=[
            {
                "name": "user-container",
                "restartCount": 3,
                "ready": False,
                "state": state,
                "lastState": {"terminated": terminated},
            }
        ]
    )


def unschedulable(name="pod-1", since=NOW, message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."):
    stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return a_pod(name=name, conditions=[scheduled | {"lastTransitionTime": stamp}])


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (waiting("ImagePullBackOff", "no such image"), "ImagePullFailed", ["no such image"]),
        (waiting("CreateContainerConfigError", 'secret "token" not found'), "ContainerConfigInvalid", ["token"]),
        (ended("OOMKilled", 137), "OutOfMemory", ["3 restarts", "raise its memory limit"]),
        (ended("Error", 1, "KeyError: 'llama'"), "ContainerCrashed", ["exit code 1", "KeyError: 'llama'"]),
        (a_pod(phase="Failed", reason="Evicted", message="disk"), "PodFailed", ["Evicted", "disk"]),
        (unschedulable(), "Unschedulable", ["Insufficient nvidia.com/gpu"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pods_own_words_reach_the_status(pod, reason, words):
    children = live(planned(a_world()), ready=False)
    ready = condition(planned(a_world(children=children, pods=(pod,))), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    for word in ["pod-1", *words]:
        assert word in ready["message"]


def test_status_does_not_depend_on_the_order_of_pods():
    children = live(planned(a_world()), ready=False)
    pods = (unschedulable("a"), ended("Error", 1, "boom"), unschedulable("b"))
    forward = planned(a_world(children=children, pods=pods))
    assert forward.status == planned(a_world(children=children, pods=pods[::-1])).status
    assert condition(forward, "Ready")["reason"] == "ContainerCrashed"


def test_refused_child_is_the_reason():
    children = live(planned(a_world()), ready=False)
    world = a_world(children=children)
    refusals = {Ref("Deployment", "llama-predict-v1"): Finding(Reason.REFUSED, "exceeded quota")}
    object.__setattr__(world, "refusals", refusals)
    assert condition(planned(world), "Ready")["reason"] == "Refused"


def replacing(**settings):
    """A rollout whose second pod found no room at noon."""
    children = live(planned(a_world()))
    deployment = children[Ref("Deployment", "llama-predict-v1")]
    deployment["metadata"]["generation"] = 2
    deployment["status"] |= {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1}
    gpu = [{"name": "user-container", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]
    old = a_pod(name="old") | {"spec": {"nodeName": "n", "containers": gpu}}
    new = unschedulable("new", **settings) | {"spec": {"containers": gpu}}
    return children, old, new


def strategy(result):
    return child(result, "Deployment", "llama-predict-v1")["spec"]["strategy"]["rollingUpdate"]


def test_rollout_waits_a_while_for_room_then_replaces_in_place():
    children, old, new = replacing(since=NOW - timedelta(seconds=10))
    result = planned(a_world(children=children, pods=(old, new)))
    assert (strategy(result), result.again_seconds) == ({"maxSurge": 1, "maxUnavailable": 0}, 20)
    children, old, new = replacing(since=NOW - timedelta(seconds=31))
    result = planned(a_world(children=children, pods=(old, new)))
    assert strategy(result) == {"maxSurge": 0, "maxUnavailable": 1}
    assert result.status["releases"][0]["reason"] == "ReplacingInPlace"


def test_in_place_is_kept_until_the_rollout_is_complete():
    children, _, new = replacing()
    deployment = children[Ref("Deployment", "llama-predict-v1")]
    deployment["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1}
    deployment["status"] |= {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    result = planned(a_world(children=children, pods=(new,)))
    assert strategy(result) == {"maxSurge": 0, "maxUnavailable": 1}
    assert "until the new one is ready" in condition(result, "Ready")["message"]
    deployment["status"]["availableReplicas"] = 1
    assert strategy(planned(a_world(children=children))) == {"maxSurge": 1, "maxUnavailable": 0}


def test_pod_that_asks_for_more_than_the_old_one_has_never_stops_it():
    children, old, new = replacing(since=NOW - timedelta(hours=1))
    new["spec"] = {"containers": [{"name": "user-container", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    result = planned(a_world(children=children, pods=(old, new)))
    assert strategy(result) == {"maxSurge": 1, "maxUnavailable": 0}
    assert result.status["releases"][0]["reason"] == "Unschedulable"


def test_claim_for_one_pod_is_always_replaced_in_place():
    service, claims = a_service().on("weights"), (a_claim("weights", "ReadWriteOncePod"),)
    assert strategy(planned(a_world(service, claims=claims))) == {"maxSurge": 0, "maxUnavailable": 1}


def test_gateways_word_decides_about_the_route():
    children = live(planned(a_world(gateway="infra/web")))
    route = children[Ref("HTTPRoute", "llama")]
    world = a_world(gateway="infra/web", children=children)
    assert condition(planned(world), "Ready")["reason"] == "RouteNotReady"
    accepted = {"type": "Accepted", "status": "True"}
    refused = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no service"}
    route["status"] = {"parents": [{"conditions": [accepted, refused]}]}
    assert "BackendNotFound: no service" in condition(planned(world), "Ready")["message"]
    route["status"] = {"parents": [{"conditions": [accepted]}]}
    assert condition(planned(world), "Ready")["status"] == "True"
