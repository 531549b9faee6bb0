"""Pause and resume, disabled runtimes, queues, and how many pods run, with the real controllers."""

import pytest
from builders import a_service
from kube import condition, eventually

NAME = "llama-predict-v1"


def light():
    service = a_service()
    service.predictor["model"]["runtime"] = "light"
    return service


def change(project, service):
    project.patch("MLService", "llama", {"spec": {"runMode": None, **service.manifest["spec"]}})


@pytest.fixture
def ready(real_project):
    real_project.create(light())
    real_project.reason("Ready", seconds=60)
    return real_project


def pods(project):
    return [p for p in project.kube.list("Pod", project.name) if "deletionTimestamp" not in p["metadata"]]


def test_paused_service_has_no_pods_keeps_its_url_and_comes_back(ready):
    url = ready.service()["status"]["address"]["url"]
    change(ready, light().having(runMode="paused"))
    paused = ready.reason("Paused")
    assert (paused["status"], condition(ready.service(), "Paused")["status"]) == ("False", "True")
    eventually("no pods", lambda: not pods(ready))
    assert ready.service()["status"]["address"]["url"] == url
    assert ready.service()["status"]["releases"][0]["totalReplicas"] == 0
    change(ready, light().having(runMode="running"))
    ready.reason("Ready")
    assert condition(ready.service(), "Paused")["status"] == "False"


def test_service_created_paused_starts_when_it_is_resumed(real_project):
    real_project.create(light().having(runMode="paused"))
    real_project.reason("Paused")
    assert not pods(real_project)
    change(real_project, light())
    real_project.reason("Ready")


def test_pause_works_while_something_is_wrong(ready):
    ready.delete("MLServiceRuntime", "light")
    change(ready, light().with_parameters(MODEL_NAME="new"))
    eventually("it is told", lambda: condition(ready.service(), "ReleasesReady")["reason"] == "RuntimeNotFound")
    change(ready, light().with_parameters(MODEL_NAME="new").having(runMode="paused"))
    assert "MLServiceRuntime light does not exist" in ready.reason("Paused")["message"]
    eventually("no pods", lambda: not pods(ready))


def enabled(project, value):
    project.patch("MLServiceRuntime", "light", {"spec": {"enabled": value}})


def test_disabled_runtime_leaves_what_runs_and_starts_nothing(ready):
    (before,) = pods(ready)
    enabled(ready, False)
    eventually("it is told", lambda: ready.service()["status"]["releases"][0].get("reason") == "RuntimeDisabled")
    assert condition(ready.service(), "Ready")["status"] == "True"
    change(ready, light().with_parameters(MODEL_NAME="new"))
    eventually("told", lambda: condition(ready.service(), "ReleasesReady")["reason"] == "RuntimeDisabled")
    assert [p["metadata"]["uid"] for p in pods(ready)] == [before["metadata"]["uid"]]
    change(ready, light().having(runMode="paused"))
    eventually("no pods", lambda: not pods(ready))
    change(ready, light())
    assert "light is disabled" in ready.reason("RuntimeDisabled")["message"]
    assert not pods(ready)
    enabled(ready, True)
    ready.reason("Ready")


def test_queue_is_written_into_the_pods_and_a_changed_one_replaces_them(project):
    label = "scheduler.tensorstack.dev/queue"

    def queue():
        template = project.there("Deployment", NAME)["spec"]["template"]
        return template["spec"].get("schedulerName"), template["metadata"]["labels"].get(label)

    project.create(a_service().having(scheduler={"t9kScheduler": {"queue": "default"}}))
    project.there("Deployment", NAME)
    assert queue() == ("t9k-scheduler", "default")
    project.patch("MLService", "llama", {"spec": {"scheduler": {"t9kScheduler": {"queue": "urgent"}}}})
    eventually("the other queue", lambda: queue() == ("t9k-scheduler", "urgent"))
    project.patch("MLService", "llama", {"spec": {"scheduler": None}})
    eventually("the default scheduler", lambda: queue()[1] is None and queue()[0] in (None, "default-scheduler"))


def test_release_of_zero_pods_says_how_to_start_one_and_serves_when_somebody_does(real_project):
    real_project.create(light().with_replicas(0))
    message = real_project.reason("ScaledToZero")["message"]
    assert f"kubectl -n {real_project.name} scale deployment {NAME} --replicas=1" in message
    assert not pods(real_project)
    real_project.patch("Deployment", NAME, {"spec": {"replicas": 1}}, "scale")
    real_project.reason("Ready")
    assert real_project.service()["status"]["releases"][0]["totalReplicas"] == 1
