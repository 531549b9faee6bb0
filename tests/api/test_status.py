"""The status: written once per change and never at rest, read by kubectl wait and kstatus; and the Events beside it."""

import os
import signal
import subprocess
import time

import pytest
from builders import a_release, a_runtime, a_service
from kube import Object, condition, eventually
from local_cluster import binaries

WRITES = ("POST", "PATCH", "PUT", "DELETE")
KINDS = ("mlservices", "deployments", "services", "controllerrevisions", "events")


def writes(operator):
    return {f"{verb} {kind}": operator.requests(verb, kind) for verb in WRITES for kind in KINDS}


@pytest.fixture
def serving(project):
    project.create(a_service().on("weights", subPath="a"))
    project.create(CLAIM)
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    return project


CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "weights"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


def test_up_to_ready_it_takes_the_children_two_status_writes_and_two_events(real_project, real_operator):
    eventually("the operator rests", lambda: rests(real_operator))
    before = writes(real_operator)
    service = a_service()
    service.predictor["model"]["runtime"] = "light"
    real_project.create(service)
    real_project.reason("Ready")
    eventually("two Events", lambda: len(real_project.events()) == 2)
    eventually("its last write is counted", lambda: rests(real_operator))
    after = writes(real_operator)
    assert {what: after[what] - before[what] for what in after if after[what] != before[what]} == {
        "PATCH controllerrevisions": 1,
        "PATCH deployments": 1,
        "PATCH services": 2,
        "PATCH mlservices": 2,
        "POST events": 2,
    }


def rests(operator):
    """Nothing is written for a second."""
    before = writes(operator)
    time.sleep(1)
    return writes(operator) == before


def test_at_rest_nothing_is_written(serving, operator):
    eventually("it comes to rest", lambda: rests(operator))
    before = serving.service()["metadata"]["resourceVersion"], serving.versions()
    time.sleep(3)
    assert (serving.service()["metadata"]["resourceVersion"], serving.versions()) == before


def written_out(spec: Object) -> Object:
    """The same service with its defaults in it."""
    predictor = spec["releases"][0]["predictor"]
    pvc = predictor["storage"]["pvc"] | {"mountPath": "/var/lib/t9k/model", "readOnly": False}
    predictor = predictor | {"minReplicas": 1, "maxReplicas": 0, "storage": {"pvc": pvc}}
    return {**spec, "runMode": "running", "releases": [{"name": "v1", "predictor": predictor}]}


def test_defaults_that_are_written_out_restart_and_write_nothing_but_the_seen_generation(serving, operator):
    eventually("it comes to rest", lambda: rests(operator))
    before, status_writes = serving.versions(), operator.requests("PATCH", "mlservices")
    spec = serving.service()["spec"]
    serving.patch("MLServiceRuntime", "vllm-openai", {"spec": {"enabled": True}})
    serving.patch("MLService", "llama", {"spec": written_out(spec)})
    serving.reason("Ready")
    eventually("its last write is counted", lambda: rests(operator))
    assert serving.versions() == before
    assert operator.requests("PATCH", "mlservices") - status_writes == 1


def test_labels_annotations_and_the_same_file_again_write_nothing(serving, operator):
    eventually("it comes to rest", lambda: rests(operator))
    before, all_before = serving.versions(), writes(operator)
    serving.patch("MLService", "llama", {"metadata": {"labels": {"team": "blue"}, "annotations": {"note": "x"}}})
    serving.patch("MLService", "llama", {"spec": serving.service()["spec"]})
    assert rests(operator)
    assert (serving.versions(), writes(operator)) == (before, all_before)


def kubectl_wait(project, condition: str, seconds: int) -> bool:
    command = [str(binaries.path("kubectl")), "-n", project.name, "wait", "mls/llama", f"--for=condition={condition}"]
    environment = {**os.environ, "KUBECONFIG": str(project.kube.kubeconfig)}
    done = subprocess.run([*command, f"--timeout={seconds}s"], env=environment, capture_output=True, check=False)
    return done.returncode == 0


def test_kubectl_wait_works_in_both_directions_and_is_not_fooled_by_an_older_generation(serving, operator):
    binaries.ensure("kubectl")
    assert kubectl_wait(serving, "Ready", 20)
    serving.roll_out("llama-predict-v1", ready=0)
    assert kubectl_wait(serving, "Ready=false", 20)
    serving.roll_out("llama-predict-v1")
    serving.reason("Ready")
    operator.process.send_signal(signal.SIGSTOP)
    try:
        serving.patch("MLService", "llama", {"spec": {"releases": [a_release(minReplicas=2)]}})
        assert not kubectl_wait(serving, "Ready", 1)
    finally:
        operator.process.send_signal(signal.SIGCONT)
    assert kubectl_wait(serving, "Ready", 20)


def kstatus(obj: Object) -> str:
    """What Flux, kpt and Argo's health libraries make of it.

    https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    """
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    if obj.get("status", {}).get("observedGeneration") != obj["metadata"]["generation"]:
        return "InProgress"
    if condition(obj, "Reconciling").get("status") == "True":
        return "InProgress"
    if condition(obj, "Stalled").get("status") == "True":
        return "Failed"
    return "Current" if condition(obj, "Ready").get("status") == "True" else "InProgress"


def test_kstatus(project):
    project.create(a_service())
    project.reason("PredictorNotReady")
    assert kstatus(project.service()) == "InProgress"
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    assert kstatus(project.service()) == "Current"
    project.roll_out("llama-predict-v1", ready=0)
    project.reason("PredictorNotReady")
    assert kstatus(project.service()) == "InProgress"
    project.patch("MLService", "llama", {"spec": {"releases": [a_release(runtime="missing")]}})
    project.reason("RuntimeNotFound")
    assert kstatus(project.service()) == "Failed"
    project.patch("MLService", "llama", {"spec": a_service().manifest["spec"]})
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    assert kstatus(project.service()) == "Current"


def test_every_condition_has_a_reason_and_the_generation(serving):
    service = serving.service()
    assert {c["type"] for c in service["status"]["conditions"]} == {
        "Ready",
        "ReleasesReady",
        "Paused",
        "UpdateAvailable",
    }
    for found in service["status"]["conditions"]:
        assert found["reason"]
        assert found["observedGeneration"] == service["metadata"]["generation"]


def told(project):
    """Reason, type and note of the service's Events, oldest first."""
    events = sorted(project.events(), key=lambda event: event["eventTime"])
    return [(event["reason"], event["type"], event["note"]) for event in events]


def test_events_are_sentences(serving):
    eventually("Ready is told", lambda: any(reason == "Ready" for reason, _, _ in told(serving)))
    url = f"http://llama.{serving.name}.svc.cluster.local"
    port_forward = f"kubectl -n {serving.name} port-forward svc/llama 8080:80"
    assert told(serving) == [
        ("Created", "Normal", "An MLService has been created: llama"),
        (
            "PVCNotFound",
            "Warning",
            f"PersistentVolumeClaim weights does not exist in namespace {serving.name}: create it, or correct "
            "storage.pvc.name. The release starts by itself as soon as the claim exists",
        ),
        ("Ready", "Normal", f"Release v1 serves at {url} inside the cluster; from elsewhere: {port_forward}"),
    ]


def test_service_that_flaps_makes_one_event_with_a_count(project):
    project.create(a_service())
    for _ in range(4):
        project.roll_out("llama-predict-v1")
        project.reason("Ready")
        project.roll_out("llama-predict-v1", ready=0)
        project.reason("PredictorNotReady")

    def counted():
        ready = [event for event in project.events() if event["reason"] == "Ready"]
        return len(ready) == 1 and ready[0].get("series", {}).get("count") == 4

    eventually("one Event counts four", counted)


def test_broken_release_beside_one_that_serves_is_told_too(serving):
    other = a_release("v2", runtime="missing")
    serving.patch("MLService", "llama", {"spec": {"releases": [*serving.service()["spec"]["releases"], other]}})
    eventually("the runtime is told", lambda: any(reason == "RuntimeNotFound" for reason, _, _ in told(serving)))
    assert serving.reason("Ready")["status"] == "True"
    assert condition(serving.service(), "ReleasesReady")["reason"] == "RuntimeNotFound"


def test_runtime_that_many_edit_writes_one_status_per_edit(serving, operator):
    eventually("it comes to rest", lambda: rests(operator))
    before = operator.requests("PATCH", "mlservices")
    serving.patch("MLServiceRuntime", "vllm-openai", {"spec": a_runtime(image="x:2")["spec"]})
    eventually("it is announced", lambda: condition(serving.service(), "UpdateAvailable")["status"] == "True")
    eventually("its last write is counted", lambda: rests(operator))
    assert operator.requests("PATCH", "mlservices") - before == 1
