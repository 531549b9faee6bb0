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


def plan_of(folder: str, **parameters: str) -> Plan:
    service, runtime, claim = (manifest(f"{folder}/{f}.yaml") for f in ("mlservice", "mlservice-runtime", "pvc"))
    service["spec"]["releases"][0]["predictor"]["model"]["parameters"] |= parameters
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


def pod(folder: str, **parameters: str) -> dict[str, Any]:
    name = manifest(f"{folder}/mlservice.yaml")["metadata"]["name"]
    deployment = child(plan_of(folder, **parameters), "Deployment", f"{name}-predict-v1")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
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
def test_a_pod_may_drain_and_end_within_its_grace_period(folder):
    spec = pod(folder)
    (server,) = spec["containers"]
    hook = server["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[:4] == ["python3", "-m", "mlservice_runtime", "drain"]
    parts = [part.partition("=") for part in (*hook, *server["args"])]
    drained = [int(value) for name, _, value in parts if name in ("--settle", "--max", "--shutdown-timeout")]
    assert len(drained) == 3
    assert spec["terminationGracePeriodSeconds"] >= sum(drained) + 10


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_probes_ask_for_what_they_decide(folder):
    (server,) = pod(folder)["containers"]
    probes = {kind: server[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert probes == {"startup": "/startup", "readiness": "/v2/health/ready", "liveness": "/v2/health/live"}
    # The server asks its engine for up to 2 s before it says that it hangs.
    assert all(server[f"{kind}Probe"]["timeoutSeconds"] > 2 for kind in ("readiness", "liveness"))


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_the_pod_is_restricted_and_may_write_where_it_must(folder):
    spec = pod(folder)
    (server,) = spec["containers"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    writable = {m["mountPath"]: volumes[m["name"]] for m in server["volumeMounts"] if not m.get("readOnly")}
    assert writable.keys() == {"/dev/shm", "/tmp", "/cache"}
    assert writable["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert writable["/dev/shm"]["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_origins_of_browsers_are_one_parameter(folder):
    (server,) = pod(folder)["containers"]
    assert "--allowed-origins=[]" in server["args"]
    (server,) = pod(folder, ALLOWED_ORIGINS='["https://chat.example.com"]')["containers"]
    assert '--allowed-origins=["https://chat.example.com"]' in server["args"]


def test_the_hub_is_asked_only_where_a_parameter_says_so():
    for parameters, offline in ({}, "1"), ({"ONLINE": "1"}, "0"):
        (server,) = pod("vllm", **parameters)["containers"]
        assert {"name": "HF_HUB_OFFLINE", "value": offline} in server["env"]


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


@pytest.mark.parametrize("folder", ["vllm", "quickstart"])
def test_each_line_of_the_runtime_is_explained(folder):
    page = (EXAMPLES.parent / "docs" / "runtime.md").read_text()
    explained = page.partition("\n## In a pod\n")[2].partition("\n## ")[0]
    template = manifest(f"{folder}/mlservice-runtime.yaml")["spec"]["template"]["spec"]
    (server,) = template["containers"]
    names = [arg.partition("=")[0] for arg in server["args"] if arg.startswith("--")]
    names += [item["name"] for item in (*server["env"], *server["ports"])]
    names += [mount["mountPath"] for mount in server["volumeMounts"]]
    names += [field for field in server if field.endswith("Probe")] + list(server["lifecycle"])
    names += [*template["securityContext"], *server["securityContext"], "terminationGracePeriodSeconds"]
    assert [name for name in names if f"`{name}`" not in explained] == []
