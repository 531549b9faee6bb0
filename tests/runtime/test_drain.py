"""Draining, as the preStop hook and the kubelet do it: nothing is cut. It ends the server, so it is the last test."""

import asyncio
import json
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx2
from serving import MODEL, Serving, wait_until
from triton_client import request, responses, tensor

STREAMS = 40


def stream(server: Serving, tokens: int) -> tuple[int, str | None, str]:
    """Tokens, finish reason and the connection header of a streamed completion."""
    body = {"model": MODEL, "prompt": "a", "max_tokens": tokens, "ignore_eos": True, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    count, reason, ended = 0, None, False
    with httpx2.stream("POST", f"{server.url}/v1/completions", json=body, timeout=120) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                ended = True
            elif data:
                event = json.loads(data)
                count = (event.get("usage") or {"completion_tokens": count})["completion_tokens"]
                reason = next((c["finish_reason"] for c in event["choices"] if c["finish_reason"]), reason)
    assert ended
    return count, reason, answer.headers.get("connection", "")


def triton_stream(server: Serving, tokens: int) -> tuple[int, str, str]:
    """The same over Triton's HTTP."""
    body = {"text_input": "a", "max_tokens": tokens, "ignore_eos": True, "temperature": 0, "stream": True}
    body |= {"return_num_output_tokens": True, "return_finish_reason": True}
    url = f"{server.url}/v2/models/{MODEL}/generate_stream"
    with httpx2.stream("POST", url, json=body, timeout=120) as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    count = sum(event["num_output_tokens"] for event in events)
    return count, events[-1]["finish_reason"], answer.headers.get("connection", "")


def grpc_stream(server: Serving, tokens: int) -> tuple[int, str, str]:
    """The same over gRPC, which has no such header."""
    asked = request(MODEL, "a", "1", stream=True, max_tokens=tokens, ignore_eos="true", temperature=0)
    asked["inputs"] += [tensor(f"return_{name}", True) for name in ("num_output_tokens", "finish_reason")]
    asked["outputs"] = None
    found = asyncio.run(responses(server.grpc, [asked]))
    assert [error for _, error in found if error] == []
    count = sum(int(result.as_numpy("num_output_tokens")[0]) for result, _ in found)
    return count, found[-1][0].as_numpy("finish_reason")[0].decode(), ""


def taken(server: Serving) -> float:
    """How many requests vLLM has taken up since it was started. In this order none of them counts twice."""
    names = ("vllm:request_success_total{", "vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return sum(server.metric(name) for name in names)


def test_no_stream_is_cut_when_a_pod_is_stopped(server: Serving) -> None:
    lengths = [random.Random(7).randint(100, 600) for _ in range(STREAMS)]
    before = taken(server)
    with ThreadPoolExecutor(max_workers=STREAMS + 1) as pool:
        protocols = (stream, triton_stream, stream, grpc_stream)
        asked = [pool.submit(protocols[at % 4], server, tokens) for at, tokens in enumerate(lengths)]
        wait_until(lambda: taken(server) == before + STREAMS)
        drain = server.command("drain", "--settle=2", "--max=120")
        wait_until(lambda: httpx2.get(f"{server.url}/v2/health/ready").status_code == 400)
        assert httpx2.get(f"{server.url}/v2/health/live").status_code == 200
        # Routers that have not noticed yet still send requests; their connections end with the response.
        assert stream(server, 5) == triton_stream(server, 5) == (5, "length", "close")
        printed, _ = drain.communicate(timeout=180)
        assert drain.returncode == 0
        assert printed.splitlines()[-1] == "Drained"
        server.process.send_signal(signal.SIGTERM)
        found = [one.result() for one in asked]
    assert [(count, reason) for count, reason, _ in found] == [(tokens, "length") for tokens in lengths]
    assert server.process.wait(60) == 0
    again = server.command("drain")
    assert again.communicate(timeout=60)[0] == "Nothing to drain: no server is up\n"
