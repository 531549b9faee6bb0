"""Every mistake has its own reason, and a message that names the culprit and the cure."""

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


def on_claim(mode="ReadWriteMany", readOnly=None, phase="Bound", deleting=False, **spec):
    claim = a_claim("weights", mode)
    claim["spec"] |= spec
    claim["status"] = {"phase": phase}
    claim["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    return a_world(a_service().on("weights", readOnly=readOnly), claims=(claim,))


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
        (on_claim(deleting=True), "PVCTerminating", ["weights is being deleted", "runMode"]),
        (on_claim(phase="Lost", volumeName="pv-1"), "PVCLost", ["has lost its volume pv-1", "create it again"]),
        (on_claim(volumeMode="Block"), "PVCNotMountable", ["raw block device", "Filesystem"]),
        (on_claim("ReadOnlyMany", readOnly=False), "PVCReadOnly", ["ReadOnlyMany", "remove that line"]),
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


def test_claim_without_a_volume_yet_is_fine():
    assert child(planned(on_claim(phase="Pending")), "Deployment", "llama-predict-v1")


def test_claim_that_can_only_be_read_is_mounted_so():
    for world in (on_claim("ReadOnlyMany"), on_claim("ReadOnlyMany", readOnly=True)):
        spec = child(planned(world), "Deployment", "llama-predict-v1")["spec"]["template"]["spec"]
        assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
        assert spec["containers"][0]["volumeMounts"][0]["readOnly"] is True


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
        (ended("OOMKilled", 137), "OutOfMemory", ["raise its memory limit"]),
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
