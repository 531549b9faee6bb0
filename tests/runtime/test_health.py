"""Health tells of an engine that hangs, and not of one that is busy. The engine is stopped for real, by SIGSTOP."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
from serving import MODEL, STUCK_SECONDS, Serving, wait_until

PATIENCE = 60.0


def health(server: Serving, of: str = "/v2/health/live") -> int:
    return httpx2.get(server.url + of, timeout=30).status_code


def ask(server: Serving, tokens: int) -> int:
    body = {"model": MODEL, "prompt": "a", "max_tokens": tokens, "ignore_eos": True, "temperature": 0}
    answer = httpx2.post(f"{server.url}/v1/completions", json=body, timeout=300)
    return int(answer.json()["usage"]["completion_tokens"])


def statuses(server: Serving, seconds: float) -> set[int]:
    """All answers of the liveness endpoint in a while."""
    until = time.monotonic() + seconds
    found = set()
    while time.monotonic() < until:
        found.add(health(server))
        time.sleep(0.2)
    return found


def test_a_stopped_engine_is_found_when_somebody_waits_for_it(server: Serving) -> None:
    engine = server.children()
    with ThreadPoolExecutor() as pool:
        for pid in engine:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert statuses(server, STUCK_SECONDS * 1.5) == {200}  # nobody waits
            asked = pool.submit(ask, server, 5)
            wait_until(lambda: health(server) == 400)
            assert health(server, "/v2/health/ready") == 400
            assert health(server, f"/v2/models/{MODEL}/ready") == 400
            assert health(server, "/health") == 200  # vLLM's own does not know
        finally:
            for pid in engine:
                os.kill(pid, signal.SIGCONT)
        assert asked.result(PATIENCE) == 5
    assert health(server) == 200
    assert health(server, "/v2/health/ready") == 200


def test_a_saturated_server_lives(server: Serving) -> None:
    """Requests wait several times longer than `stuck_seconds` in a queue that moves."""
    tokens = 250
    with ThreadPoolExecutor(max_workers=120) as pool:
        asked = [pool.submit(ask, server, tokens) for _ in range(120)]
        found = set()
        began = time.monotonic()
        while not all(one.done() for one in asked):
            found |= statuses(server, 1)
        took = time.monotonic() - began
    assert {one.result() for one in asked} == {tokens}
    assert found == {200}
    assert took > STUCK_SECONDS
