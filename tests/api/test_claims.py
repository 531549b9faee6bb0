"""A claim that pods cannot use is named before pods wait for it; one that waits for its first pod blocks nothing."""

import pytest
from builders import a_service
from kube import Kube, condition, eventually
from mlservice.cluster.resources import CLAIM

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES = "/api/v1/persistentvolumes"


def a_claim(mode="ReadWriteMany", **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "weights"},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


def in_phase(project, phase):
    project.patch("PersistentVolumeClaim", "weights", {"status": {"phase": phase}}, "status")


def finding(project, reason):
    return eventually(f"the release is {reason}", lambda: _message(project, reason))


def _message(project, reason):
    (release,) = project.service().get("status", {}).get("releases") or [{}]
    return release.get("message") if release.get("reason") == reason else None


def test_claim_that_is_being_deleted_is_told_and_a_new_one_is_taken_at_once(project):
    project.create(a_claim())
    project.delete("PersistentVolumeClaim", "weights")  # stays until nobody uses it: nobody here finds that out
    project.create(a_service().on("weights"))
    assert "PersistentVolumeClaim weights is being deleted" in project.reason("PVCTerminating")["message"]
    assert project.get("Deployment", "llama-predict-v1") is None
    project.patch("PersistentVolumeClaim", "weights", {"metadata": {"finalizers": None}})
    project.reason("PVCNotFound")
    project.create(a_claim())
    project.there("Deployment", "llama-predict-v1")
    project.reason("PredictorNotReady")


def test_claim_deleted_under_pods_that_serve_leaves_them_and_is_told_beside_ready(project):
    project.create(a_claim())
    project.create(a_service().on("weights"))
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    before = project.versions()
    project.delete("PersistentVolumeClaim", "weights")
    assert "is being deleted" in finding(project, "PVCTerminating")
    assert condition(project.service(), "Ready")["status"] == "True"
    assert project.versions() == before


def test_lost_claim_is_told_and_taken_when_it_is_bound_again(project):
    project.create(a_claim(volumeName="pv-1"))
    in_phase(project, "Lost")
    project.create(a_service().on("weights"))
    assert "PersistentVolumeClaim weights has lost its volume pv-1" in project.reason("PVCLost")["message"]
    in_phase(project, "Bound")
    project.there("Deployment", "llama-predict-v1")
    project.reason("PredictorNotReady")


def test_claim_that_can_only_be_read_is_mounted_read_only_unless_that_is_refused(project):
    project.create(a_claim("ReadOnlyMany"))
    project.create(a_service().on("weights", readOnly=False))
    assert "ReadOnlyMany" in project.reason("PVCReadOnly")["message"]
    project.patch("MLService", "llama", {"spec": a_service().on("weights").manifest["spec"]})
    spec = project.there("Deployment", "llama-predict-v1")["spec"]["template"]["spec"]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}


def test_block_device_is_told(project):
    project.create(a_claim(volumeMode="Block"))
    project.create(a_service().on("weights"))
    assert "raw block device" in project.reason("PVCNotMountable")["message"]


@pytest.fixture
def storage(real_project):
    """A storage class that nobody provisions for, with the binding mode of the test; and a way to make a volume."""
    kube: Kube = real_project.kube
    name = f"none-{real_project.name}"

    def make(mode):
        manifest = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        provisioner = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode}
        kube.api.apply(f"{CLASSES}/{name}", {**manifest, **provisioner})
        real_project.create(a_claim(storageClassName=name))

    def volume():
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": name,
            "hostPath": {"path": "/w"},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        kube.api.apply(f"{VOLUMES}/{name}", volume)

    make.volume = volume
    yield make
    kube.api.request("DELETE", f"{CLASSES}/{name}")
    kube.api.request("DELETE", f"{VOLUMES}/{name}")


def light_on_weights():
    service = a_service().on("weights")
    service.predictor["model"]["runtime"] = "light"
    return service


def test_unbound_claim_is_named_where_pods_wait_for_it_and_they_start_once_it_is_bound(real_project, storage):
    storage("Immediate")
    real_project.create(light_on_weights())
    message = real_project.reason("PVCPending")["message"]
    assert "waits for a volume to be bound to PersistentVolumeClaim weights" in message
    assert f"kubectl -n {real_project.name} describe pvc weights" in message
    storage.volume()
    real_project.reason("Ready")


def test_claim_that_waits_for_its_first_consumer_blocks_nothing(real_project, storage):
    storage("WaitForFirstConsumer")
    storage.volume()
    assert phase(real_project) == "Pending"
    real_project.create(light_on_weights())
    real_project.reason("Ready")
    assert phase(real_project) == "Bound"


def phase(project):
    return project.kube.api.get(CLAIM.path(project.name, "weights"))["status"]["phase"]
