"""The launcher on a real vLLM: it answers at once, forks the engine, passes on signals, and says why vLLM ended."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from serving import MODEL, Serving, free_ports, serving


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, list[dict[str, object]]]]:
    """A server behind the launcher, and what its status port told while it started."""
    states: list[dict[str, object]] = []
    port = free_ports(1)[0]

    def look() -> None:
        try:
            states.append(httpx2.get(f"http://127.0.0.1:{port}/status", timeout=5).json() | {"at": time.monotonic()})
        except httpx2.TransportError:
            return

    with serving(
        tmp_path_factory.mktemp("launched"), launcher=True, meanwhile=look, MLSERVICE_RUNTIME_STATUS_PORT=str(port)
    ) as server:
        look()
        yield server, states


def test_the_status_port_answers_from_the_first_second(launched: tuple[Serving, list[dict[str, object]]]) -> None:
    _, states = launched
    assert states[0]["phase"] == "starting"
    assert float(str(states[0]["seconds"])) < 3
    phases = list(dict.fromkeys(str(state["phase"]) for state in states))
    assert phases[-1] == "ready"
    assert "reading weights" in states[-1]["phases"]  # type: ignore[operator]
    weights = dict(states[-1]["weights"])  # type: ignore[call-overload]
    assert weights["readBytes"] == weights["totalBytes"] > 700_000


def test_the_processes_of_the_engine_are_forks(launched: tuple[Serving, list[dict[str, object]]]) -> None:
    """A spawned process has the command line of multiprocessing, a fork that of the process it was made of."""
    server, _ = launched
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in server.children()]
    assert sum("mlservice_runtime.start" in line or "VLLM::" in line for line in lines) >= 4  # server, copy, two forks
    assert not any("multiprocessing.spawn" in line for line in lines)
    answer = httpx2.post(
        f"{server.url}/v1/completions", json={"model": MODEL, "prompt": "a", "max_tokens": 3}, timeout=60
    )
    assert answer.json()["usage"]["completion_tokens"] == 3


def test_when_the_server_is_killed_nothing_is_left_and_the_cause_is_told(
    launched: tuple[Serving, list[dict[str, object]]],
) -> None:
    server, _ = launched
    below = server.children()
    server_pid = next(pid for pid in below if parent(pid) == server.process.pid)
    os.kill(server_pid, signal.SIGKILL)
    assert server.process.wait(30) == 128 + signal.SIGKILL
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    told = json.loads(server.termination_log.read_text())
    assert (told["reason"], told["phase"], told["exitCode"]) == ("ProcessKilled", "ready", 137)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path, launcher=True, wait=False) as server:
        time.sleep(3)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) != 0
        assert time.monotonic() - began < 20
    assert json.loads(server.termination_log.read_text())["reason"] == "Stopped"


def test_a_model_without_weights_ends_with_a_line_that_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, launcher=True, wait=False) as server:
        # The launcher has read the files ahead by now, vLLM has not opened them yet.
        shutil.move(server.model / "model.safetensors", tmp_path)
        assert server.process.wait(120) == 1
    text = server.termination_log.read_text()
    assert "\n" not in text
    told = json.loads(text)
    assert told["reason"] == "WeightsMissing"
    assert told["line"].startswith("RuntimeError: Cannot find any model weights")
    assert text in server.log
