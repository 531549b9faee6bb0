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
    "quickstart": "quickstart",
    "triton-vllm/cpu": "quickstart",
    "triton-vllm/nvidia": "triton-vllm/nvidia",
    "triton-vllm/ours": "vllm",
    "vllm": "vllm",
}
"""Folders with a service, and those of the runtimes that they name."""


def manifest(file):
    loaded = yaml.safe_load((EXAMPLES / file).read_text())
    loaded["metadata"]["namespace"] = "default"
    return loaded


def pod_of(folder):
    service, runtime = manifest(f"{folder}/mlservice.yaml"), manifest(f"{SERVED[folder]}/mlservice-runtime.yaml")
    service["metadata"] |= {"uid": "uid-1", "generation": 1}
    claim = manifest("quickstart/pvc.yaml" if SERVED[folder] == "quickstart" else "vllm/pvc.yaml")
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


@pytest.mark.parametrize("folder", sorted(SERVED))
def test_pods_of_the_examples_are_restricted(restricted, folder):
    assert said(restricted, pod_of(folder)) == ""


@pytest.mark.parametrize("file", ["vllm/download-job.yaml", "quickstart/make-model-job.yaml"])
def test_jobs_that_fill_the_volume_are_restricted(restricted, file):
    assert said(restricted, manifest(file)["spec"]["template"]) == ""
