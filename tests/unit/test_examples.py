"""The manifests of examples/: each folder's service becomes a pod, in the shape that T9k's manifests have."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import child, condition, planned
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.plan import Plan, World

EXAMPLES = Path(__file__).parents[2] / "examples"


def manifest(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / file).read_text())
    loaded["metadata"]["namespace"] = "default"
    return loaded


def plan_of(folder: str) -> Plan:
    service, runtime, claim = (manifest(f"{folder}/{f}.yaml") for f in ("mlservice", "mlservice-runtime", "pvc"))
    service["metadata"] |= {"uid": "uid-1", "generation": 1}
    return planned(
        World(
            service=MLService.model_validate(service),
            settings=Settings(),
            runtimes={runtime["metadata"]["name"]: runtime},
            claims={claim["metadata"]["name"]: claim},
            children={},
            pods=(),
        )
    )


def pod(folder: str) -> dict[str, Any]:
    name = manifest(f"{folder}/mlservice.yaml")["metadata"]["name"]
    spec: dict[str, Any] = child(plan_of(folder), "Deployment", f"{name}-predict-v1")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_nothing_is_missing_but_a_ready_pod(folder):
    assert condition(plan_of(folder), "Ready")["reason"] == "PredictorNotReady"
    assert condition(plan_of(folder), "FieldsSupported") == {}


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_weights_are_mounted_read_only_where_the_server_looks(folder):
    (server,) = pod(folder)["containers"]
    weights = next(m for m in server["volumeMounts"] if m["name"] == "mlservice-storage")
    assert (weights["mountPath"], weights["readOnly"]) == (server["args"][0], True)


@pytest.mark.parametrize(("folder", "length"), [("vllm", "auto"), ("quickstart", "1024")])
def test_arguments(folder, length):
    (server,) = pod(folder)["containers"]
    name = manifest(f"{folder}/mlservice.yaml")["metadata"]["name"]
    assert server["args"][:3] == ["/var/lib/t9k/model", f"--served-model-name={name}", f"--max-model-len={length}"]


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_a_pod_may_serve_on_drain_and_end_within_its_grace_period(folder):
    spec = pod(folder)
    (server,) = spec["containers"]
    drain = next(int(a.split("=")[1]) for a in server["args"] if a.startswith("--shutdown-timeout="))
    settle = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= settle + drain + 10


def test_two_quickstart_pods_fit_on_two_cores():
    (server,) = pod("quickstart")["containers"]
    assert server["resources"]["requests"]["cpu"] == "500m"


@pytest.mark.parametrize("file", ["vllm/download-job.yaml", "quickstart/make-model-job.yaml"])
def test_jobs_run_in_restricted_namespaces_and_fill_the_folder_that_is_served(file):
    template = manifest(file)["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert template["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    service = manifest(f"{file.split('/')[0]}/mlservice.yaml")
    claim = service["spec"]["releases"][0]["predictor"]["storage"]["pvc"]
    assert template["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["name"]
    assert claim["subPath"] in str(container)
