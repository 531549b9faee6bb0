"""How far a start is, read from lines that vLLM wrote; and which files are read ahead."""

import json
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlservice_runtime import status
from mlservice_runtime.progress import Phase, Progress
from mlservice_runtime.weights import free_memory, model_of, read_ahead, weight_files

LINES = """\
(APIServer pid=7) INFO 11-24 17:45:58 [model.py:733] Resolved architecture: LlamaForCausalLM
(EngineCore pid=9) INFO 11-24 17:46:12 [gpu_model_runner.py:5039] Starting to load model /models/llama...
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.10s/it]
(EngineCore pid=9) INFO 11-24 17:46:15 [default_loader.py:501] Loading weights took 2.20 seconds
(EngineCore pid=9) INFO 11-24 17:46:18 [backends.py:1166] Dynamo bytecode transform time: 4.10 s
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  10%|█         | 5/51 [00:00<00:02, 17.0it/s]
(EngineCore pid=9) INFO 11-24 17:46:25 [gpu_model_runner.py:6581] Graph capturing finished in 4 secs, took 0.51 GiB
INFO:     Application startup complete.
"""


def test_the_phases_come_in_order_and_never_again() -> None:
    progress = Progress()
    seen = [progress.phase]
    for line in (LINES + LINES).splitlines():
        progress.line(line)
        seen.append(progress.phase)
    assert list(dict.fromkeys(seen)) == [phase for phase in Phase if phase is not Phase.DRAINING]
    assert seen == sorted(seen, key=list(Phase).index)
    assert progress.started
    assert "Application startup complete" in progress.state()["lastLine"]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_status_port_answers_before_and_after_the_server_is_ready() -> None:
    progress = Progress()
    with status.serve(0, progress) as server:
        port = server.server_port
        assert get(port, "/startup")[0] == 503
        assert json.loads(get(port, "/status")[1])["phase"] == "starting"
        progress.enter(Phase.READY)
        assert get(port, "/startup")[0] == 200
        progress.enter(Phase.DRAINING)
        assert get(port, "/startup")[0] == 200
        assert get(port, "/")[1].startswith("draining for 0 s")
        assert get(port, "/other")[0] == 404
        server.shutdown()


def test_the_plugin_tells_the_launcher(tmp_path: Path) -> None:
    heard: list[Phase] = []
    status.tell(tmp_path, Phase.READY)  # nobody listens
    opened = status.listen(tmp_path, heard.append)
    for phase in (Phase.READY, Phase.DRAINING):
        status.tell(tmp_path, phase)
    until = time.monotonic() + 10
    while len(heard) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert heard == [Phase.READY, Phase.DRAINING]
    opened.shutdown(socket.SHUT_RDWR)


def test_weights_are_read_and_counted(tmp_path: Path) -> None:
    sizes = {"model-1.safetensors": 9_000_000, "model-2.safetensors": 70_000_000, "other.safetensors": 5}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(1000) * (size // 1000) + b"x" * (size % 1000))
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [file.name for file in weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]
    progress = Progress()
    reader = read_ahead([str(tmp_path), "--port=1"], progress)
    assert reader
    for thread in reader.threads:
        thread.join(60)
    assert progress.read == progress.total == 79_000_000
    assert "0.08 of 0.08 GB of weights read" in progress.text()


@pytest.mark.parametrize("arguments", [[], ["org/model"], ["--model=org/model"], ["--load-format", "dummy"]])
def test_what_is_in_no_folder_is_not_read(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 10)
    progress = Progress()
    told = [str(tmp_path), *arguments] if "dummy" in arguments else arguments
    assert read_ahead(told, progress) is None
    assert progress.total == 0


def test_the_model_is_the_first_argument_or_the_one_that_is_named(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path), "--port=1"], ["--port=1", f"--model={tmp_path}"], ["--model", str(tmp_path)]):
        assert model_of(arguments) == tmp_path


def test_the_container_s_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_memory(tmp_path) == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 10_000_000
