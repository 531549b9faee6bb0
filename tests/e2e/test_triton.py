"""Triton's vLLM tutorial on our runtime, by the commands of examples/triton-vllm/README.md and its users' clients."""

import contextlib
import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import triton_client
import yaml
from kube import Kube, eventually
from live import CLUSTER, Live
from openai import OpenAI
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

FOLDER = Path(triton_client.__file__).parent
README = (FOLDER / "README.md").read_text()
MODEL = "llama2vllm"


@pytest.fixture(scope="module")
def live(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A namespace that enforces Pod Security `restricted`, where the tutorial's model serves."""
    namespace = Live(kube, tmp_path_factory.mktemp("live"))
    namespace.restricted()
    namespace.tiny_model()
    namespace.sh(
        """
        kubectl apply -f ../quickstart/mlservice-runtime.yaml
        kubectl create -f cpu/mlservice.yaml
        kubectl wait --for=condition=Ready mlservice/llama2vllm --timeout=540s""",
        560,
        FOLDER,
    )
    yield namespace
    kube.api.request("DELETE", f"/api/v1/namespaces/{namespace.name}")


@pytest.fixture(scope="module")
def ports(live: Live) -> Iterator[dict[str, str]]:
    """The README's port-forward to ports of this machine that are free: 127.0.0.1:port for 8000, 8001 and 8002."""
    line = re.search(r"^kubectl port-forward (.*)$", README, re.MULTILINE)
    assert line
    command = ["kubectl", "port-forward", *re.sub(r"\d+:", ":", line[1]).split()]
    found: dict[str, str] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=live.environment) as forward:
        assert forward.stdout is not None
        while len(found) < 3:
            words = forward.stdout.readline().split()
            assert "->" in words, words
            found.setdefault(words[-1], words[2])
        yield found
        forward.terminate()


def curl(line: str) -> str:
    """The README's command that begins so."""
    (found,) = re.findall(rf"^curl -X POST {re.escape(line)}.*$", README, re.MULTILINE)
    return str(found)


def test_the_log_has_the_three_lines_of_tritons_start(live: Live):
    command = re.search(r"^kubectl logs .*Started .*$", README, re.MULTILINE)
    assert command
    started = [line.partition("Started ")[2] for line in live.sh(command[0]).splitlines()]
    wanted = {"GRPCInferenceService at 0.0.0.0:8001", "HTTPService at 0.0.0.0:8000", "Metrics Service at 0.0.0.0:8002"}
    assert set(started) == wanted


def test_the_tutorials_curl(live: Live, ports: dict[str, str]):
    command = curl("localhost:8000/").replace("localhost:8000", ports["8000"])
    answer = json.loads(live.sh(command))
    assert (answer["model_name"], answer["model_version"]) == (MODEL, "1")
    assert answer["text_output"].startswith("What is Triton Inference Server?")


def test_the_tutorials_curl_through_the_services_url(live: Live, ports: dict[str, str]):
    if CLUSTER == "local":  # elsewhere the URL is for pods
        address = f"address=$(kubectl get mlservice {MODEL} -ojsonpath='{{.status.address.url}}')"
        assert address in README
        assert json.loads(live.sh(f"{address}\n{curl('${address}/')}"))["model_name"] == MODEL


@pytest.mark.parametrize("generation", ["23.11", "today"])
def test_a_grpc_client_of_either_generation_writes_its_results(ports: dict[str, str], tmp_path: Path, generation: str):
    command = [sys.executable, triton_client.__file__, "-m", MODEL, "-u", ports["8001"], "--generation", generation]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    answers = (tmp_path / "results.txt").read_text().split("\n=========\n\n")
    assert len(answers) == len(triton_client.PROMPTS) + 1
    for prompt, answer in zip(triton_client.PROMPTS, answers, strict=False):
        assert answer.startswith(prompt)


def test_tritonclient_finds_health_and_metadata(ports: dict[str, str]):
    with InferenceServerClient(ports["8001"]) as client:
        assert client.is_server_ready() and client.is_model_ready(MODEL)
        assert "text_input" in [tensor.name for tensor in client.get_model_metadata(MODEL).inputs]


def test_the_openai_library_talks_to_the_same_server(ports: dict[str, str]):
    with OpenAI(base_url=f"http://{ports['8000']}/v1", api_key="unused") as client:
        answer = client.completions.create(model=MODEL, prompt="hello", max_tokens=8)
    assert answer.choices[0].finish_reason in ("length", "stop")


def test_metrics_are_at_tritons_port(live: Live, ports: dict[str, str]):
    assert "vllm:num_requests_running" in live.sh(f"curl -s {ports['8002']}/metrics")


def test_grpc_goes_through_the_gateway_where_it_takes_grpc_routes(live: Live, tmp_path: Path):
    if CLUSTER != "local":
        return
    route = yaml.safe_load((FOLDER / "grpc-route.yaml").read_text())
    host = f"llama2vllm-grpc.{live.name}.localhost"
    route["spec"]["hostnames"] = [host]
    (tmp_path / "route.yaml").write_text(yaml.safe_dump(route))
    live.sh(f"kubectl apply -f {tmp_path / 'route.yaml'}")

    gateway = f"127.0.0.1:{urllib.parse.urlsplit(live.url(MODEL)).port or 80}"

    def is_ready() -> bool:
        with (
            contextlib.suppress(InferenceServerException),
            InferenceServerClient(gateway, channel_args=[("grpc.default_authority", host)]) as client,
        ):
            return bool(client.is_server_ready())
        return False

    eventually("the Gateway leads to the server", is_ready, 30)
    triton_client.write_results(gateway, MODEL, "today", tmp_path / "results.txt", host)
    assert (tmp_path / "results.txt").read_text().count("=========") == len(triton_client.PROMPTS)
