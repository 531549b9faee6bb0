"""The pods of examples/ in a namespace that enforces Pod Security `restricted`, as the API server sees them."""

import json
from pathlib import Path

import pytest
import yaml
from builders import planned
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.plan import World
from rig import Project

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVED = {
    "quickstart": "quickstart/pvc.yaml",
    "triton-vllm/cpu": "quickstart/pvc.yaml",
    "triton-vllm/nvidia": "vllm/pvc.yaml",
    "triton-vllm/ours": "vllm/pvc.yaml",
    "vllm": "vllm/pvc.yaml",
}
"""Folders with a runtime and a service, and the claim that the service names."""

AS_ROOT = {"vllm"}
"""vLLM's own image runs as root; examples/vllm/README.md says what to use in such a namespace."""


def manifest(file):
    loaded = yaml.safe_load((EXAMPLES / file).read_text())
    loaded["metadata"]["namespace"] = "default"
    return loaded


def pod_of(folder, patch=None):
    service, runtime = manifest(f"{folder}/mlservice.yaml"), manifest(f"{folder}/mlservice-runtime.yaml")
    service["metadata"] |= {"uid": "uid-1", "generation": 1}
    if patch:
        service["spec"]["releases"][0]["predictor"]["template"] = patch
    claim = manifest(SERVED[folder])
    world = World(
        service=MLService.model_validate(service),
        settings=Settings(),
        runtimes={runtime["metadata"]["name"]: runtime},
        claims={claim["metadata"]["name"]: claim},
    )
    (deployment,) = (child for child in planned(world).children if child["kind"] == "Deployment")
    return deployment["spec"]["template"]


@pytest.fixture(scope="module")
def restricted(kube):
    project = Project(kube)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    kube.api.merge(f"/api/v1/namespaces/{project.name}", labels)
    return project


def said(project, template):
    """What the API server says to such a pod; empty where it would take it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "example"}, "spec": template["spec"]}
    path = f"/api/v1/namespaces/{project.name}/pods?dryRun=All"
    status, answer = project.kube.api.request("POST", path, json.dumps(pod), "application/json")
    return "" if status == 201 else json.loads(answer)["message"]


def test_every_example_with_a_service_is_looked_at():
    assert {str(file.parent.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("mlservice.yaml")} == set(SERVED)


@pytest.mark.parametrize("folder", sorted(set(SERVED) - AS_ROOT))
def test_pods_of_the_examples_are_restricted(restricted, folder):
    assert said(restricted, pod_of(folder)) == ""


@pytest.mark.parametrize("folder", sorted(AS_ROOT))
def test_an_image_that_runs_as_root_lacks_that_alone(restricted, folder):
    assert "runAsNonRoot != true" in said(restricted, pod_of(folder))
    as_user = {"spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": 2000}}}
    assert said(restricted, pod_of(folder, as_user)) == ""


@pytest.mark.parametrize("file", ["vllm/download-job.yaml", "quickstart/make-model-job.yaml"])
def test_jobs_that_fill_the_volume_are_restricted(restricted, file):
    assert said(restricted, manifest(file)["spec"]["template"]) == ""
