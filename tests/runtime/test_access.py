"""Keys, origins and sizes, on every route and port of a running vLLM."""

import json
import re
import socket
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mlservice_runtime.access import Access, access
from openai import AuthenticationError, OpenAI
from serving import AUTHORIZED, KEY, LIMIT, MODEL, ORIGIN, Serving
from triton_client import request
from tritonclient.grpc import InferenceServerClient, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

ROUTE = re.compile(r"Route: (\S+), Methods: (.+)$", re.MULTILINE)


def routes(server: Serving) -> list[tuple[str, str]]:
    """All routes of the running application with each of their methods, as vLLM lists them when it starts."""
    return [(path, method) for path, methods in ROUTE.findall(server.log) for method in methods.split(", ")]


def test_every_route_is_in_the_table(keyed: Serving) -> None:
    found = {path for path, _ in routes(keyed)}
    assert {"/v1/chat/completions", "/metrics", "/v2/models/{path:path}"} <= found
    assert [path for path in found if access(path) is None] == []


def test_without_the_key_only_health_and_metrics_answer(keyed: Serving) -> None:
    answers: dict[Access | None, set[int]] = {}
    for path, method in routes(keyed):
        concrete = re.sub(r"\{[^}]*\}", "live" if "health" in path else "x", path)
        answer = httpx2.request(method, keyed.url + concrete, content=b"{}", timeout=60)
        answers.setdefault(access(concrete), set()).add(answer.status_code)
    assert answers[Access.ENGINE] == answers[Access.KEYED] == {401}
    assert answers[Access.ADMIN] == {404}
    assert answers[Access.METRICS] == {200}
    assert 401 not in answers[Access.HEALTH]


@pytest.mark.parametrize("path", ["/v1/../v1/completions", "//v1/completions", "/V1/completions", "/v1/completions/"])
def test_another_spelling_is_no_way_around(keyed: Serving, path: str) -> None:
    body = b'{"prompt": "a"}'
    with socket.create_connection(("127.0.0.1", keyed.port)) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"{KEY}", f"Bearer  {KEY}", f"Bearer {KEY}é"],
)
def test_what_is_no_key(keyed: Serving, authorization: str) -> None:
    headers = [(b"authorization", authorization.encode())]
    assert httpx2.get(f"{keyed.url}/v1/models", headers=headers).status_code == 401


def test_with_the_key_everything_works(keyed: Serving) -> None:
    for port in (keyed.port, keyed.http_port):
        url = f"http://127.0.0.1:{port}"
        body = {"text_input": "a", "max_tokens": 2}
        assert httpx2.post(f"{url}/v2/models/{MODEL}/generate", json=body).status_code == 401
        assert httpx2.post(f"{url}/v2/models/{MODEL}/generate", json=body, headers=AUTHORIZED).status_code == 200
        client = OpenAI(base_url=f"{url}/v1", api_key=KEY)
        assert client.completions.create(model=MODEL, prompt="a", max_tokens=2).usage is not None
        with pytest.raises(AuthenticationError):
            OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()


def test_grpc_has_the_same_key(keyed: Serving) -> None:
    client = InferenceServerClient(keyed.grpc)
    assert (client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)) == (True, True, True)
    for call in (client.get_server_metadata, client.get_model_repository_index, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="Unauthorized"):
            call()
        assert call(headers=AUTHORIZED) is not None
    client.close()
    with grpc.insecure_channel(keyed.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for method in ("ModelInfer", "ModelConfig", "RepositoryModelLoad", "SystemSharedMemoryStatus"):
            with pytest.raises(grpc.RpcError) as caught:
                getattr(stub, method)(getattr(service_pb2, f"{method}Request")())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest()])))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        infer = service_pb2.ModelInferRequest(model_name=MODEL)
        for tensor in request(MODEL, "Hi", "1", max_tokens=2)["inputs"]:
            infer.inputs.append(tensor._get_tensor())
            infer.raw_input_contents.append(tensor._get_content())
        assert stub.ModelInfer(infer, metadata=tuple(AUTHORIZED.items())).model_name == MODEL


def test_a_browser_may_ask_before_it_sends_the_key(keyed: Serving) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    answer = httpx2.options(f"{keyed.url}/v1/chat/completions", headers={"origin": ORIGIN, **asks})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    other = httpx2.options(f"{keyed.url}/v1/chat/completions", headers={"origin": "https://other.example", **asks})
    assert "access-control-allow-origin" not in other.headers
    answer = httpx2.get(f"{keyed.url}/v1/models", headers={"origin": ORIGIN, **AUTHORIZED})
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/completions", 413), ("/tokenize", 413), (f"/v2/models/{MODEL}/generate", 400)]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_refused(keyed: Serving, path: str, status: int, chunked: bool) -> None:
    body: Any = json.dumps({"text_input": "a" * LIMIT, "prompt": "a" * LIMIT}).encode()
    content = (body[at : at + 4096] for at in range(0, len(body), 4096)) if chunked else body
    headers = {**AUTHORIZED, "content-type": "application/json"}
    answer = httpx2.post(keyed.url + path, content=content, headers=headers)
    assert answer.status_code == status
    assert f"exceeds the maximum allowed input size of {LIMIT} bytes" in answer.text


def test_large_messages_are_refused_by_grpc(keyed: Serving) -> None:
    client = InferenceServerClient(keyed.grpc)
    with pytest.raises(InferenceServerException) as caught:
        client.infer(**request(MODEL, "a" * LIMIT, "1"), headers=AUTHORIZED)
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    client.close()
