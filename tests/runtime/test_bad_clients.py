"""Clients that leave, that do not read, that only hold connections: nobody else notices, and nothing stays behind.

That the plugin's own count of requests in flight is back at zero shows test_drain.py, which ends this very server.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from bench.asking import resident
from serving import MODEL, STUCK_SECONDS, Serving, wait_until
from triton_client import request, responses
from tritonclient.grpc import aio

LONG = {"temperature": 0, "ignore_eos": True, "max_tokens": 3000}
STREAMS = {
    "/v1/completions": {"model": MODEL, "prompt": "a", "stream": True, **LONG},
    f"/v2/models/{MODEL}/generate_stream": {"text_input": "a", "stream": True, **LONG},
    f"/v2/models/{MODEL}/generate": {"text_input": "a", **LONG},
}
LEAVERS = 12
IDLE = 1000
LEAK_MB = 16
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # preface and empty SETTINGS


@pytest.fixture(autouse=True)
def no_stack_trace(server: Serving) -> Iterator[None]:
    before = len(server.log)
    yield
    assert "Traceback" not in server.log[before:]


@contextmanager
def asking(server: Serving, path: str) -> Iterator[socket.socket]:
    """A client that has sent a request. Its buffer is small, so that it holds the server up soon."""
    body = json.dumps(STREAMS[path]).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        connection.connect(("127.0.0.1", server.port))
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        yield connection


def generates(server: Serving) -> None:
    """Somebody else is served, over HTTP and over gRPC."""
    url = f"{server.url}/v2/models/{MODEL}/generate"
    assert httpx2.post(url, json={"text_input": "Hi", "max_tokens": 2}, timeout=60).status_code == 200
    ((_, error),) = asyncio.run(responses(server.grpc, [request(MODEL, "Hi", "1", max_tokens=2)]))
    assert error is None


@pytest.mark.parametrize("path", STREAMS)
def test_clients_that_leave_in_the_middle(server: Serving, path: str) -> None:
    def come_and_leave() -> None:
        with ExitStack() as leaving:
            connections = [leaving.enter_context(asking(server, path)) for _ in range(LEAVERS)]
            wait_until(lambda: server.running() > 0)
            if not path.endswith("/generate"):
                assert connections[0].recv(100).startswith(b"HTTP/1.1 200 ")

    assert 0 < server.generated_by(come_and_leave) < LEAVERS * LONG["max_tokens"] / 2
    generates(server)


@pytest.mark.parametrize("unary", [False, True])
def test_grpc_clients_that_leave_in_the_middle(server: Serving, unary: bool) -> None:
    async def come_and_leave() -> None:
        async def sent() -> Any:
            for at in range(LEAVERS):
                yield request(MODEL, "a", str(at), stream=True, **LONG)
            await asyncio.sleep(60)

        async with aio.InferenceServerClient(server.grpc) as client:
            if unary:
                asked = [asyncio.create_task(client.infer(**request(MODEL, "a", "1", **LONG))) for _ in range(LEAVERS)]
                await asyncio.to_thread(wait_until, lambda: server.running() > 0)
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
            else:
                await anext(client.stream_infer(sent()))

    generated = server.generated_by(lambda: asyncio.run(come_and_leave()))
    assert 0 < generated < LEAVERS * LONG["max_tokens"] / 2
    generates(server)


@pytest.mark.parametrize("path", list(STREAMS)[:2])
def test_a_client_that_does_not_read_holds_up_nobody(server: Serving, path: str) -> None:
    """It gets all of its stream when it reads again. Until then neither it nor the engine counts as stuck."""
    with asking(server, path) as connection:
        until = time.monotonic() + 1.5 * STUCK_SECONDS
        while time.monotonic() < until:
            generates(server)
            assert httpx2.get(f"{server.url}/v2/health/live", timeout=30).status_code == 200
        wait_until(lambda: server.running() == 0)  # the engine does not wait for the client
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)
    texts = [choice(json.loads(line[6:])) for line in received.splitlines() if line.startswith(b"data: {")]
    body = {"model": MODEL, "prompt": "a", **LONG}
    whole = httpx2.post(f"{server.url}/v1/completions", json=body, timeout=120).json()
    assert "".join(texts) == whole["choices"][0]["text"]


def choice(event: dict[str, Any]) -> str:
    return str(event["text_output"] if "text_output" in event else event["choices"][0]["text"])


def test_a_grpc_client_that_does_not_read_holds_up_nobody(server: Serving) -> None:
    async def read_late() -> str:
        async def sent() -> Any:
            yield request(MODEL, "a", "1", stream=True, **LONG)

        async with aio.InferenceServerClient(server.grpc) as client:
            stream = client.stream_infer(sent())
            found = [await anext(stream)]
            until = time.monotonic() + 1.5 * STUCK_SECONDS
            while time.monotonic() < until:
                await asyncio.to_thread(generates, server)
            await asyncio.to_thread(wait_until, lambda: server.running() == 0)
            found += [pair async for pair in stream]
        assert [error for _, error in found if error] == []
        return "".join(result.as_numpy("text_output")[0].decode() for result, _ in found)

    body = {"model": MODEL, "prompt": "a", **LONG}
    whole = httpx2.post(f"{server.url}/v1/completions", json=body, timeout=120).json()
    assert asyncio.run(read_late()) == whole["choices"][0]["text"]


def test_idle_connections_are_in_nobodys_way_and_cost_no_memory_when_gone(server: Serving) -> None:
    sizes = []
    for _ in range(4):
        with ExitStack() as open_:
            for port, greeting in ((server.http_port, b""), (server.grpc_port, HTTP2)):
                for _ in range(IDLE):
                    connection = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
                    connection.sendall(greeting)
            generates(server)
        generates(server)
        sizes.append(resident(server.process.pid))
    growths = [after - before for before, after in pairwise(sizes[1:])]  # the first ones fill pools
    assert min(growths) < LEAK_MB / 2, sizes  # a leak is in each round, a new arena of the allocator in some
