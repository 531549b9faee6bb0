"""Provoke the failures of a start that need a GPU, and keep what vLLM writes: `outputs/`, read by the unit tests.

On a machine with a GPU and vLLM; it needs no network:

    python3 tests/runtime/provoke_gpu.py FOLDER [CASE ...]
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from gpu_server import free_ports, write_model
from vllm_output import written

HIDE = """
for file in $(ldconfig -p | grep -E 'libnvidia-ml.so|libcuda.so' | sed 's/.*=> //'); do
    mount --bind /dev/null $file
done
exec "$@"
"""
HOLD = """
import torch
held = torch.empty(torch.cuda.mem_get_info()[1] // 2, dtype=torch.uint8, device="cuda")
print("half of the GPU is taken", flush=True)
input()
"""
Case = Callable[[Path, dict[str, str]], list[str]]


def gpu_missing(model: Path, environment: dict[str, str]) -> list[str]:
    environment["CUDA_VISIBLE_DEVICES"] = ""
    return []


def gpu_unknown(model: Path, environment: dict[str, str]) -> list[str]:
    environment["CUDA_VISIBLE_DEVICES"] = "9"
    return []


def gpu_absent(model: Path, environment: dict[str, str]) -> list[str]:
    """As in a container that did not ask for a GPU: there is no library of the driver."""
    return []


def gpu_too_few(model: Path, environment: dict[str, str]) -> list[str]:
    return ["--tensor-parallel-size=8"]


def gpu_busy(model: Path, environment: dict[str, str]) -> list[str]:
    return ["--gpu-memory-utilization=0.9"]


def gpu_out_of_memory(model: Path, environment: dict[str, str]) -> list[str]:
    config = json.loads((model / "config.json").read_text()) | {"num_hidden_layers": 2000}
    (model / "config.json").write_text(json.dumps(config))
    return []


def gpu_cache_too_small(model: Path, environment: dict[str, str]) -> list[str]:
    return ["--gpu-memory-utilization=0.01"]


def gpu_context_too_long(model: Path, environment: dict[str, str]) -> list[str]:
    return ["--kv-cache-memory-bytes=16777216"]


CASES: tuple[Case, ...] = (
    gpu_missing,
    gpu_unknown,
    gpu_absent,
    gpu_too_few,
    gpu_busy,
    gpu_out_of_memory,
    gpu_cache_too_small,
    gpu_context_too_long,
)


def output(case: Case) -> str:
    """What `vllm serve` writes until it ends."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, environment = Path(temporary), dict(os.environ)
        environment |= {"VLLM_PLUGINS": "", "VLLM_CACHE_ROOT": f"{folder}/cache", "VLLM_NO_USAGE_STATS": "1"}
        write_model(folder / "model", "1b")
        arguments = case(folder / "model", environment)
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder / "model")]
        command += ["--load-format=dummy", "--dtype=bfloat16", "--max-model-len=4096", "--enforce-eager"]
        command += ["--host=127.0.0.1", f"--port={free_ports(1)[0]}", "--served-model-name=tiny", *arguments]
        if case is gpu_absent:
            command = ["unshare", "--mount", "sh", "-c", HIDE, "sh", *command]
        site = Path(importlib.util.find_spec("vllm").origin).parents[1]
        return written(command, environment, folder, str(site))


@contextmanager
def other_process() -> Iterator[None]:
    """Somebody who holds half of the GPU's memory."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
        process.kill()


def main() -> None:
    kept = Path(sys.argv[1])
    kept.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if sys.argv[2:] and case.__name__ not in sys.argv[2:]:
            continue
        began = time.monotonic()
        with other_process() if case is gpu_busy else nullcontext():
            (kept / f"{case.__name__}.txt").write_text(output(case))
        print(f"{case.__name__}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
