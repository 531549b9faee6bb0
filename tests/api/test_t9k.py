"""T9k manifests apply unchanged, by kubectl with its strict validation, and become what they say."""

import os
import subprocess
from pathlib import Path

import pytest
from kube import condition, eventually
from local_cluster import binaries

MANIFESTS = Path(__file__).with_name("manifests") / "t9k.yaml"
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "weights"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture
def t9k(project):
    project.create(CLAIM)
    kubectl(project, "create", "-f", str(MANIFESTS))
    return project


def kubectl(project, *arguments: str) -> str:
    command = [str(binaries.path("kubectl")), "-n", project.name, *arguments]
    environment = os.environ | {"KUBECONFIG": str(project.kube.kubeconfig)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def server_of(project, deployment):
    spec = project.there("Deployment", deployment)["spec"]["template"]["spec"]
    return spec, next(c for c in spec["containers"] if c["name"] == "user-container")


def test_every_service_gets_a_deployment_and_a_url(t9k):
    names = ["two-gpus", "vit-base", "whole-volume", "torch-mnist", "app-vllm"]
    for name in names:
        t9k.reason("PredictorNotReady", name)
    table = kubectl(t9k, "get", "mls", "-o", "wide")
    columns = ["NAME", "READY", "REASON", "URL", "DEFAULT", "CANARY", "RELEASES", "AGE"]
    rows = {row.split()[0]: row.split() for row in table.splitlines()}
    assert rows["NAME"] == columns
    for name in names:
        assert rows[name][3] == f"http://{name}.{t9k.name}.svc.cluster.local"
    # The canary's column is empty: it takes no requests yet.
    assert rows["torch-mnist"][4:6] == ["origin", "origin,nov-11"]


def test_services_are_in_the_categories_all_and_tensorstack(t9k):
    assert "mlservice.tensorstack.dev/two-gpus" in kubectl(t9k, "get", "all", "-o", "name")
    both = kubectl(t9k, "get", "tensorstack", "-o", "name")
    assert "mlservice.tensorstack.dev/two-gpus" in both and "mlserviceruntime.tensorstack.dev/app-vllm" in both
    assert "two-gpus" in kubectl(t9k, "get", "mlservice", "two-gpus", "-o", "name")


def test_shared_memory_and_resources(t9k):
    spec, server = server_of(t9k, "two-gpus-predict-v1")
    assert server["resources"]["limits"] == {"cpu": "500m", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert {m["mountPath"]: m.get("subPath") for m in server["volumeMounts"]} == {
        "/dev/shm": None,
        "/var/lib/t9k/model": "CodeLlama-70b-Instruct-hf",
    }
    assert {v["name"] for v in spec["volumes"]} == {"dshm", "mlservice-storage"}


def test_patch_with_mounts_and_without_an_image(t9k):
    _, server = server_of(t9k, "vit-base-predict-v1")
    assert server["image"] == "nvcr.io/nvidia/tritonserver:23.11-py3"
    assert {m["mountPath"]: m["subPath"] for m in server["volumeMounts"]} == {"/models": "models", "/envs": "envs"}


def test_mount_path(t9k):
    _, server = server_of(t9k, "whole-volume-predict-version1")
    assert [m["mountPath"] for m in server["volumeMounts"]] == ["/workspace"]


def test_conditional_keeps_one_argument_and_the_port_defaults(t9k):
    spec, server = server_of(t9k, "torch-mnist-predict-origin")
    assert server["args"][1] == "--models mnist=model.mar"
    assert server_of(t9k, "torch-mnist-predict-nov-11")[1]["args"][1] == "--models all"
    assert server["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert spec["schedulerName"] == "t9k-scheduler"
    template = t9k.there("Deployment", "torch-mnist-predict-origin")["spec"]["template"]["metadata"]
    assert template["labels"]["scheduler.tensorstack.dev/queue"] == "default"
    assert template["annotations"]["autoscaling.knative.dev/target"] == "100"


def test_what_has_no_effect_yet_is_said(t9k):
    def warning() -> str:
        return condition(t9k.service("torch-mnist"), "FieldsSupported").get("message", "")

    message = eventually("a warning", warning)
    for field in ("spec.canary", "spec.transformer", "predictor.logger"):
        assert field in message


def test_nulls_mean_unset_and_a_sub_path_may_be_a_file(t9k):
    spec, server = server_of(t9k, "app-vllm-predict-default")
    assert "nodeSelector" not in spec and "env" not in server
    (mount,) = [m for m in server["volumeMounts"] if m["mountPath"] == "/var/lib/t9k/model"]
    assert mount["subPath"] == "QwQ-32B-GGUF/qwq-32b-q5_k_m.gguf"


def test_explain_reads_like_documentation(t9k):
    text = kubectl(t9k, "explain", "mls.spec.releases.predictor.storage.pvc.subPath")
    assert "relative to its root" in text
    old = kubectl(t9k, "explain", "mls.spec.releases.predictor.model.modelUri")
    assert "Deprecated and without effect: set storage.pvc.name and storage.pvc.subPath" in old
    port = kubectl(t9k, "explain", "mlsr.spec.template.spec.containers.ports.containerPort")
    assert "Number of the port that the server listens on" in port
