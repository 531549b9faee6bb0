"""A mistake is named; when its cause goes away, the event alone is enough for the service to go on."""

import time

from builders import a_runtime, a_service
from kube import eventually

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "weights"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def cured(project) -> None:
    project.there("Deployment", "llama-predict-v1")
    project.reason("PredictorNotReady")


def test_missing_claim(project):
    project.create(a_service().on("weights"))
    assert "PersistentVolumeClaim weights does not exist" in project.reason("PVCNotFound")["message"]
    assert project.get("Deployment", "llama-predict-v1") is None
    project.create(CLAIM)
    cured(project)


def test_missing_runtime(project):
    service = a_service()
    service.predictor["model"]["runtime"] = "later"
    project.create(service)
    assert "MLServiceRuntime later does not exist" in project.reason("RuntimeNotFound")["message"]
    project.create(a_runtime("later"))
    cured(project)


def test_missing_parameter(project):
    project.create(a_service().without_parameter("MODEL_NAME"))
    assert "model.parameters.MODEL_NAME" in project.reason("ParameterMissing")["message"]
    project.patch("MLService", "llama", {"spec": a_service().manifest["spec"]})
    cured(project)


def test_template_error_in_the_runtime(project):
    project.create(a_runtime("broken", args=["{{range .X}}{{end}}"]))
    service = a_service()
    service.predictor["model"]["runtime"] = "broken"
    project.create(service)
    assert "containers[0].args[0]" in project.reason("TemplateInvalid")["message"]
    project.patch("MLServiceRuntime", "broken", {"spec": a_runtime()["spec"]})
    cured(project)


def test_disabled_runtime(project):
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": {"enabled": False}})
    project.create(a_service())
    project.reason("RuntimeDisabled")
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": {"enabled": True}})
    cured(project)


def test_pod_template_that_the_api_server_refuses(project):
    project.create(a_service().patched(restartPolicy="Sometimes"))
    assert "restartPolicy" in project.reason("PodTemplateInvalid")["message"]
    project.patch("MLService", "llama", {"spec": a_service().manifest["spec"]})
    cured(project)


def test_unknown_field_in_a_pod_template_is_named(project):
    project.create(a_service().patched(nodeSelektor={"a": "b"}))
    assert "nodeSelektor" in project.reason("PodTemplateInvalid")["message"]


def test_name_that_belongs_to_somebody_else_is_not_taken(project):
    stranger = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "llama"},
        "spec": {"ports": [{"port": 1234}], "selector": {"app": "else"}},
    }
    project.create(stranger)
    project.create(a_service())
    assert "Service llama exists" in project.reason("NameConflict")["message"]
    assert project.there("Service", "llama")["spec"]["selector"] == {"app": "else"}


def test_failing_service_does_not_disturb_another(project):
    project.create(a_service("broken").on("nowhere"))
    project.create(a_service("fine"))
    project.roll_out("fine-predict-v1")
    project.reason("Ready", "fine")
    project.reason("PVCNotFound", "broken")


def test_service_deleted_while_its_claim_is_missing_leaves_nothing(project):
    project.create(a_service().on("weights"))
    project.reason("PVCNotFound")
    project.delete("MLService", "llama")
    project.gone("MLService", "llama")
    project.create(CLAIM)
    time.sleep(0.3)
    assert project.get("Deployment", "llama-predict-v1") is None
    eventually("no Services", lambda: not project.kube.list("Service", project.name))
