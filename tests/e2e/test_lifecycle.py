"""What happens to a service in a real cluster, with servers that start in a moment."""

import os
import signal

from kube import Kube, Object, condition, eventually
from live import CLUSTER, Live, a_light_service, server_process

SYSTEM = "mlservice-system"


def test_service_serves_at_its_url_and_each_release_at_its_own(live: Live):
    live.create(a_light_service())
    live.reason("Ready", seconds=60)
    live.serves("llama")
    (release,) = live.service()["status"]["releases"]
    assert release["url"] == live.url().replace("llama.", "llama-predict-v1.")


def test_killed_pod_is_replaced(live: Live):
    live.create(a_light_service())
    live.reason("Ready", seconds=60)
    (pod,) = live.pods()
    live.delete("Pod", pod["metadata"]["name"], gracePeriodSeconds=0)
    eventually("the service notices", lambda: condition(live.service(), "Ready")["status"] == "False", 30)
    live.reason("Ready", seconds=60)
    live.serves("llama")
    assert pod["metadata"]["name"] not in [p["metadata"]["name"] for p in live.pods()]


def test_operator_killed_with_9_is_succeeded(live: Live, kube: Kube):
    before = holder(kube)
    os.kill(operator_process(kube, before), signal.SIGKILL)
    live.create(a_light_service())
    live.reason("Ready", seconds=60)
    live.serves("llama")
    assert holder(kube) != before


def holder(kube: Kube) -> str:
    """The replica that holds the Lease: name of its pod, and a part that is new with each start."""

    def look() -> str:
        return str((kube.get("Lease", SYSTEM, "mlservice-operator") or {"spec": {}})["spec"].get("holderIdentity", ""))

    return eventually("an operator leads", look, 30)


def operator_process(kube: Kube, identity: str) -> int:
    """The pid, on this machine, of the operator's process in a pod."""
    pod = kube.get("Pod", SYSTEM, identity.rpartition("_")[0])
    assert pod is not None
    return server_process(pod, b"mlservice")


def test_changed_parameter_reaches_the_pods_without_an_outage(live: Live):
    grace = 15  # the light runtime's own second is too short for the operator's preStop sleep: clients would notice
    live.create(a_light_service().patched(terminationGracePeriodSeconds=grace))
    live.reason("Ready", seconds=60)
    live.serves("llama")
    change_model(live, "llama-2")
    seen = [live.model()]
    while "llama-2" not in seen or len(live.pods()) > 1:
        seen.append(live.model())
    assert set(seen) == {"llama", "llama-2"}


def test_changed_parameter_on_the_last_gpu_finishes_by_itself_and_says_so(live: Live):
    live.create(a_light_service().with_gpus(1))
    live.reason("Ready", seconds=60)
    change_model(live, "llama-2")
    said = eventually("it says that it replaces in place", lambda: replacing(live.service()), 60)
    assert "requests fail until the new one is ready" in said
    live.serves("llama-2")
    live.reason("Ready", seconds=60)


def change_model(live: Live, model: str) -> None:
    releases = live.service()["spec"]["releases"]
    releases[0]["predictor"]["model"]["parameters"]["MODEL_NAME"] = model
    live.patch("MLService", "llama", {"spec": {"releases": releases}})


def replacing(service: Object) -> str:
    (release,) = service["status"]["releases"]
    return str(release.get("message", "")) if release.get("reason") == "ReplacingInPlace" else ""


def test_deleted_service_takes_its_children_with_it(live: Live):
    live.create(a_light_service())
    live.reason("Ready", seconds=60)
    kinds = ["Deployment", "Service", "Pod"] + (["HTTPRoute"] if CLUSTER == "local" else [])
    assert all(live.kube.list(kind, live.name) for kind in kinds)
    live.delete("MLService", "llama")
    eventually("all children are gone", lambda: not any(live.kube.list(kind, live.name) for kind in kinds), 60)


def test_missing_claim_is_named_and_taken_as_soon_as_it_exists(live: Live):
    live.create(a_light_service().on("weights"))
    assert "PersistentVolumeClaim weights does not exist" in live.reason("PVCNotFound")["message"]
    live.claim("weights")
    live.reason("Ready", seconds=60)
    live.serves("llama")


def test_namespace_with_pod_security_restricted_gets_the_refusal_as_a_message(live: Live):
    live.restricted()
    live.create(a_light_service())

    def refused() -> str:
        message = str(condition(live.service(), "Ready").get("message", ""))
        return message if "violates PodSecurity" in message else ""

    assert "restricted" in eventually("the refusal is shown", refused, 60)
