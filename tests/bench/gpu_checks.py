"""What must hold on a GPU as it does on a CPU: the tutorial's commands, the verdict on a stopped engine, the drain."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "triton-vllm"))

import aiohttp
from gpu_server import MODEL, STUCK_SECONDS, Server
from triton_client import PROMPTS, write_results

QUESTION = "What is Triton Inference Server?"
STREAMS = 100


def checks(server: Server, folder: Path) -> Iterator[tuple[str, str]]:
    """Each check and what it found; AssertionError tells of one that failed."""
    yield "the tutorial's curl", tutorial(server)
    for generation in ("23.11", "today"):
        results = folder / f"results-{generation}.txt"
        write_results(server.grpc, MODEL, generation, results)
        assert results.read_text().count("=========") == len(PROMPTS)
        yield f"results.txt of the gRPC client, {generation}", f"{len(PROMPTS)} prompts answered"
    yield "two answers with all details", details(server)
    yield "what vLLM refuses", refused(server)
    yield "engine stopped by SIGSTOP", stopped(server)


def generate(server: Server, **parameters: object) -> dict[str, Any]:
    """The tutorial's command."""
    body = json.dumps({"text_input": QUESTION, "parameters": {"stream": False, **parameters}})
    url = f"{server.http_url}/v2/models/{MODEL}/generate"
    printed = subprocess.run(["curl", "-sS", "-X", "POST", url, "-d", body], check=True, capture_output=True, text=True)
    return dict(json.loads(printed.stdout))


def details(server: Server) -> str:
    returns = {
        f"return_{name}": True for name in ("finish_reason", "cumulative_logprob", "logprobs", "num_output_tokens")
    }
    answer = generate(server, n=2, max_tokens=3, temperature=1, ignore_eos=True, **returns)
    told = [json.loads(one) for one in answer["logprobs"]]
    assert (answer["finish_reason"], answer["num_output_tokens"], len(told)) == (["length"] * 2, [3, 3], 2)
    for positions, total in zip(told, answer["cumulative_logprob"], strict=True):
        chosen = [[entry["logprob"] for entry in position.values()] for position in positions]
        assert abs(sum(map(min, chosen)) - total) < 0.01
    return f"{len(told)} times {len(told[0])} tokens with their log probabilities"


def refused(server: Server) -> str:
    errors = [generate(server, **one)["error"] for one in ({"temperature": -1}, {"max_tokens": 100_000}, {"n": "x"})]
    assert all(error.startswith("Error generating stream: ") for error in errors), errors
    return str(errors[0])


def tutorial(server: Server) -> str:
    answer = generate(server, temperature=0)
    assert set(answer) == {"model_name", "model_version", "text_output"}
    assert answer["text_output"].startswith(QUESTION)
    return f"`model_name` {answer['model_name']}, `model_version` {answer['model_version']}"


def stopped(server: Server) -> str:
    """Stop the engine while a request waits for it: not alive after `STUCK_SECONDS`, alive again when it goes on."""
    live = "/v2/health/live"
    engine = server.children()
    waiting = threading.Thread(target=subprocess.run, args=(["curl", "-s", "-o", os.devnull, *completion(server, 5)],))
    for pid in engine:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert server.status(live) == 200
        waiting.start()
        began = time.monotonic()
        while server.status(live) == 200:
            assert time.monotonic() - began < 10 * STUCK_SECONDS, "the engine is stopped and the server says it lives"
            time.sleep(0.1)
        took = time.monotonic() - began
        assert (server.status(live), server.status("/v2/health/ready"), server.status("/health")) == (400, 400, 200)
    finally:
        for pid in engine:
            os.kill(pid, signal.SIGCONT)
    waiting.join(60)
    assert not waiting.is_alive()
    assert (server.status(live), server.status("/v2/health/ready")) == (200, 200)
    return f"not alive after {took:.1f} s of {STUCK_SECONDS}; alive again when it goes on"


def completion(server: Server, tokens: int) -> list[str]:
    """curl's arguments for a completion."""
    body = json.dumps({"model": MODEL, "prompt": "a", "max_tokens": tokens, "ignore_eos": True})
    return [f"{server.url}/v1/completions", "-H", "content-type: application/json", "-d", body]


def drained(server: Server) -> str:
    """Drain and stop the server under load; all streams must be whole."""
    lengths = [random.Random(at).randint(200, 1200) for at in range(STREAMS)]
    found, late, printed, seconds = asyncio.run(drain(server, lengths))
    assert found == lengths, f"cut: {[pair for pair in zip(found, lengths, strict=True) if pair[0] != pair[1]]}"
    assert late == [5] * 10
    assert printed.splitlines()[-1] == "Drained"
    status = server.process.wait(90)
    assert status == 0, f"vLLM ended with {status}"
    return f"0 of {STREAMS} cut, 10 of 10 late ones answered, {seconds:.1f} s"


async def drain(server: Server, lengths: list[int]) -> tuple[list[int], list[int], str, float]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asked = [asyncio.create_task(stream(session, server, *one)) for one in enumerate(lengths)]
        await asyncio.sleep(1)
        command = [sys.executable, "-m", "mlservice_runtime", "drain", "--settle=3", "--max=120"]
        began = time.monotonic()
        hook = await asyncio.create_subprocess_exec(*command, env=server.environment, stdout=asyncio.subprocess.PIPE)
        while await asyncio.to_thread(server.status, "/v2/health/ready") != 400:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        late = await asyncio.gather(*(stream(session, server, at, 5) for at in range(10)))
        printed = (await hook.communicate())[0].decode()
        seconds = time.monotonic() - began
        server.process.send_signal(signal.SIGTERM)
        return list(await asyncio.gather(*asked)), list(late), printed, seconds


async def stream(session: aiohttp.ClientSession, server: Server, at: int, tokens: int) -> int:
    """Tokens of a stream that came to its end; one half of them by OpenAI's protocol, the other by Triton's."""
    sampling = {"max_tokens": tokens, "ignore_eos": True, "temperature": 0, "stream": True}
    body = {"model": MODEL, "prompt": "a", "stream_options": {"include_usage": True}, **sampling}
    url = f"{server.url}/v1/completions"
    if at % 2:
        body = {"text_input": "a", "return_num_output_tokens": True, **sampling}
        url = f"{server.http_url}/v2/models/{MODEL}/generate_stream"
    count = 0
    async with session.post(url, json=body) as answer:
        assert answer.status == 200
        async for line in answer.content:
            data = line.removeprefix(b"data: ").strip()
            if data and data != b"[DONE]":
                event = json.loads(data)
                assert "error" not in event, event
                count += event.get("num_output_tokens", 0) + (event.get("usage") or {}).get("completion_tokens", 0)
    return count
