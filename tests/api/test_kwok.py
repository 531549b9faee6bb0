"""With the real Deployment controller and scheduler, on a make-believe node (kwok) with room for T9k's sizes."""

from builders import a_service
from kube import condition, eventually


def test_service_of_t9k_size_becomes_ready(real_project):
    real_project.create(a_service())
    real_project.reason("Ready")
    (pod,) = real_project.kube.list("Pod", real_project.name)
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "1"}


def test_changed_parameter_on_the_last_gpu_finishes_by_itself(real_project):
    real_project.create(a_service())
    real_project.reason("Ready")
    real_project.patch("MLService", "llama", {"spec": a_service().with_parameters(MODEL_NAME="new").manifest["spec"]})

    def told() -> bool:
        (release,) = real_project.service()["status"]["releases"]
        return release.get("reason") == "ReplacingInPlace" and "requests fail until" in release["message"]

    eventually("the status says how", told)

    def served() -> bool:
        service = real_project.service()
        pods = real_project.kube.list("Pod", real_project.name)
        args = [pod["spec"]["containers"][0]["args"][1] for pod in pods]
        return condition(service, "ReleasesReady")["status"] == "True" and args == ["--served-model-name=new"]

    eventually("the new pod serves", served)
    surge = {"maxSurge": 1, "maxUnavailable": 0}
    eventually(
        "the next change starts beside it again",
        lambda: real_project.there("Deployment", "llama-predict-v1")["spec"]["strategy"]["rollingUpdate"] == surge,
    )


def test_second_service_without_a_free_gpu_says_what_the_scheduler_says(real_project):
    real_project.create(a_service())
    real_project.reason("Ready")
    real_project.create(a_service("second"))
    assert "Insufficient nvidia.com/gpu" in real_project.reason("Unschedulable", "second")["message"]
    real_project.delete("MLService", "llama")
    real_project.reason("Ready", "second")
