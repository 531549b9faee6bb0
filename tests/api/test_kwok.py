"""With the real Deployment controller and scheduler, on a make-believe node (kwok) with room for T9k's sizes."""

import pytest
from builders import a_runtime, a_service
from kube import Kube, condition, eventually
from local_cluster.apiserver import ApiLevel
from local_cluster.kwok import node
from rig import Operator, Project, install_crds


@pytest.fixture(scope="module")
def kwok_kube(tmp_path_factory):
    """A cluster of one node: 64 CPUs, 512 GiB, and one GPU."""
    with ApiLevel(controllers=True, scheduler=True, kwok=True) as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        kube.api.apply("/api/v1/nodes/gpu-1", node("gpu-1", gpus=1, taint=False))
        log = tmp_path_factory.mktemp("operator") / "log"
        operator = Operator(kube, log, MLSERVICE_SURGE_PATIENCE_SECONDS="2", MLSERVICE_PRE_STOP_SECONDS="0")
        yield kube
        operator.stop()


@pytest.fixture
def gpu_project(kwok_kube):
    project = Project(kwok_kube)
    eventually(
        "default ServiceAccount",
        lambda: kwok_kube.api.get(f"/api/v1/namespaces/{project.name}/serviceaccounts/default"),
    )
    project.create(a_runtime())
    yield project
    for service in kwok_kube.list("MLService", project.name):
        project.delete("MLService", service["metadata"]["name"])
    # The garbage collector learns of a new kind, such as ours, every 30 s.
    eventually("no pods are left", lambda: not kwok_kube.list("Pod", project.name), seconds=90)


def test_service_of_t9k_size_becomes_ready(gpu_project):
    gpu_project.create(a_service())
    gpu_project.reason("Ready")
    (pod,) = gpu_project.kube.list("Pod", gpu_project.name)
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "1"}


def test_changed_parameter_on_the_last_gpu_finishes_by_itself(gpu_project):
    gpu_project.create(a_service())
    gpu_project.reason("Ready")
    gpu_project.patch("MLService", "llama", {"spec": a_service().with_parameters(MODEL_NAME="new").manifest["spec"]})

    def told() -> bool:
        (release,) = gpu_project.service()["status"]["releases"]
        return release.get("reason") == "ReplacingInPlace" and "requests fail until" in release["message"]

    eventually("the status says how", told)

    def served() -> bool:
        service = gpu_project.service()
        pods = gpu_project.kube.list("Pod", gpu_project.name)
        args = [pod["spec"]["containers"][0]["args"][1] for pod in pods]
        return condition(service, "ReleasesReady")["status"] == "True" and args == ["--served-model-name=new"]

    eventually("the new pod serves", served)
    assert gpu_project.there("Deployment", "llama-predict-v1")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


def test_second_service_without_a_free_gpu_says_what_the_scheduler_says(gpu_project):
    gpu_project.create(a_service())
    gpu_project.reason("Ready")
    gpu_project.create(a_service("second"))
    assert "Insufficient nvidia.com/gpu" in gpu_project.reason("Unschedulable", "second")["message"]
    gpu_project.delete("MLService", "llama")
    gpu_project.reason("Ready", "second")


def test_deleted_service_takes_its_children_along(gpu_project):
    gpu_project.create(a_service())
    gpu_project.reason("Ready")
    gpu_project.delete("MLService", "llama", propagationPolicy="Foreground")
    for kind, name in (("MLService", "llama"), ("Deployment", "llama-predict-v1"), ("Service", "llama")):
        eventually(f"{kind} {name} is gone", lambda k=kind, n=name: gpu_project.get(k, n) is None)


def test_service_made_again_after_an_orphaning_deletion_adopts_the_children(gpu_project):
    gpu_project.create(a_service())
    gpu_project.reason("Ready")
    before = gpu_project.there("Deployment", "llama-predict-v1")["metadata"]["uid"]
    gpu_project.delete("MLService", "llama", propagationPolicy="Orphan")
    eventually("llama is gone", lambda: gpu_project.get("MLService", "llama") is None)
    service = gpu_project.create(a_service())
    gpu_project.reason("Ready")
    after = gpu_project.there("Deployment", "llama-predict-v1")["metadata"]
    assert after["uid"] == before
    assert [owner["uid"] for owner in after["ownerReferences"]] == [service["metadata"]["uid"]]
