"""The manifests of examples/triton-vllm: three ways to a service that listens where Triton's tutorial says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import child, condition, planned
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.plan import Plan, World

FOLDER = Path(__file__).parents[2] / "examples" / "triton-vllm"
WAYS = ("nvidia", "ours", "cpu")
RUNTIMES = {"nvidia": "nvidia", "ours": "../vllm", "cpu": "../quickstart"}
CLAIMS = {"nvidia": "../vllm", "ours": "../vllm", "cpu": "../quickstart"}


def manifest(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / file).read_text())
    loaded["metadata"]["namespace"] = "default"
    return loaded


def plan_of(way: str, settings: Settings | None = None) -> Plan:
    service, runtime = manifest(f"{way}/mlservice.yaml"), manifest(f"{RUNTIMES[way]}/mlservice-runtime.yaml")
    service["metadata"] |= {"uid": "uid-1", "generation": 1}
    claim = manifest(f"{CLAIMS[way]}/pvc.yaml")
    return planned(
        World(
            service=MLService.model_validate(service),
            settings=settings or Settings(),
            runtimes={runtime["metadata"]["name"]: runtime},
            claims={claim["metadata"]["name"]: claim},
            children={},
            pods=(),
        )
    )


def pod(way: str) -> dict[str, Any]:
    spec: dict[str, Any] = child(plan_of(way), "Deployment", "llama2vllm-predict-v1")["spec"]["template"]["spec"]
    return spec


def server(way: str) -> dict[str, Any]:
    (container,) = pod(way)["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_missing_but_a_ready_pod(way: str) -> None:
    assert condition(plan_of(way), "Ready")["reason"] == "PredictorNotReady"
    assert condition(plan_of(way), "FieldsSupported") == {}


@pytest.mark.parametrize("way", WAYS)
def test_the_service_has_tritons_ports_as_the_readme_forwards_them(way: str) -> None:
    ports = child(plan_of(way), "Service", "llama2vllm")["spec"]["ports"]
    containers = {port["name"]: port["containerPort"] for port in server(way)["ports"]}
    forwarded = {str(containers[port["targetPort"]]): str(port["port"]) for port in ports}
    line = re.search(r"kubectl port-forward svc/llama2vllm (.*)", (FOLDER / "README.md").read_text())
    assert line
    assert forwarded == dict(pair.split(":") for pair in line[1].split())
    assert list(forwarded) == ["8000", "8001", "8002"]


@pytest.mark.parametrize("way", WAYS)
def test_health_is_tritons(way: str) -> None:
    probes = {kind: server(way)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    ready, live = "/v2/health/ready", "/v2/health/live"
    # Our image's launcher answers before vLLM does; NVIDIA's has no such port.
    started = ready if way == "nvidia" else "/startup"
    assert probes == {"startup": started, "readiness": ready, "liveness": live}


def test_tritons_repository_has_no_folder_but_the_model() -> None:
    repository = next(arg.split("=")[1] for arg in server("nvidia")["args"] if arg.startswith("--model-repository="))
    mounts = [mount["mountPath"] for mount in server("nvidia")["volumeMounts"]]
    assert [mount for mount in mounts if mount.startswith(repository)] == [f"{repository}/llama2vllm"]
    (volume,) = (volume for volume in pod("nvidia")["volumes"] if "configMap" in volume)
    assert volume["configMap"]["name"] == "llama2vllm"
    files = {item["key"]: item["path"] for item in volume["configMap"]["items"]}
    assert files == {"config.pbtxt": "config.pbtxt", "model.json": "1/model.json"}
    assert files.keys() == manifest("nvidia/model-repository.yaml")["data"].keys()


def test_triton_reads_the_model_where_the_claim_is_mounted() -> None:
    model = yaml.safe_load(manifest("nvidia/model-repository.yaml")["data"]["model.json"])["model"]
    assert model in [mount["mountPath"] for mount in server("nvidia")["volumeMounts"] if mount.get("readOnly")]


@pytest.mark.parametrize("way", ["ours", "cpu"])
def test_the_models_name_is_the_tutorials(way: str) -> None:
    assert "--served-model-name=llama2vllm" in server(way)["args"]


def test_a_grpc_route_leads_to_the_services_port_by_the_same_gateway_under_another_host() -> None:
    settings = Settings(url="http://{name}.{namespace}.localhost", gateway="mlservice-system/mlservice")
    made = child(plan_of("cpu", settings), "HTTPRoute", "llama2vllm")["spec"]
    written = manifest("grpc-route.yaml")["spec"]
    (parent,) = made["parentRefs"]
    assert written["parentRefs"] == [{"name": parent["name"], "namespace": parent["namespace"]}]
    assert written["rules"] == [{"backendRefs": [{"name": "llama2vllm", "port": 8001}]}]
    assert not set(written["hostnames"]) & set(made["hostnames"])
