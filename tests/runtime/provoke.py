"""Provoke every failure of a start that needs no GPU, and keep what vLLM writes: `outputs/`, read by the unit tests.

Run it again for a new version of vLLM (root is needed for the three cases that mount something):

    python tests/runtime/provoke.py [CASE ...]
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from local_cluster.images import vllm_cpu
from local_cluster.report import Stopwatch
from serving import MODEL_MAKER, free_ports, interpreter, packages
from vllm_output import written

OUTPUTS = Path(__file__).parent / "outputs"
HELD = socket.socket()
Case = Callable[[Path], list[str]]


def edit(model: Path, name: str, **changes: object) -> None:
    """Change keys of one of the model's JSON files; None removes a key."""
    content = json.loads((model / name).read_text()) | changes
    (model / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def split(model: Path) -> None:
    """Make two shards of the weights, with an index, as large checkpoints have them."""
    whole = (model / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    header.pop("__metadata__")
    names, weight_map = sorted(header), {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file, body, entries = f"model-{number:05d}-of-00002.safetensors", b"", {}
        for name in part:
            begin, end = header[name]["data_offsets"]
            entries[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
            body += whole[8 + size + begin : 8 + size + end]
            weight_map[name] = file
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        (model / file).write_bytes(struct.pack("<Q", len(text)) + text + body)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def cut(file: Path, keep: float) -> None:
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * keep))


def no_weights(model: Path) -> list[str]:
    (model / "model.safetensors").unlink()
    return []


def no_model(model: Path) -> list[str]:
    shutil.rmtree(model)
    return []


def no_config(model: Path) -> list[str]:
    (model / "config.json").unlink()
    return []


def config_cut(model: Path) -> list[str]:
    cut(model / "config.json", 0.5)
    return []


def shard_missing(model: Path) -> list[str]:
    split(model)
    (model / "model-00002-of-00002.safetensors").unlink()
    return []


def shard_cut(model: Path) -> list[str]:
    split(model)
    cut(model / "model-00002-of-00002.safetensors", 0.6)
    return []


def shard_empty(model: Path) -> list[str]:
    (model / "model.safetensors").write_bytes(b"")
    return []


def shard_header_cut(model: Path) -> list[str]:
    with (model / "model.safetensors").open("r+b") as opened:
        opened.truncate(500)
    return []


def git_lfs_pointer(model: Path) -> list[str]:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 825024\n"
    (model / "model.safetensors").write_text(pointer)
    return []


def other_shape(model: Path) -> list[str]:
    edit(model, "config.json", intermediate_size=512)
    return []


def architecture_unknown(model: Path) -> list[str]:
    edit(model, "config.json", architectures=["FalconMoonForCausalLM"], model_type="falcon_moon")
    return []


def architecture_unsupported(model: Path) -> list[str]:
    edit(model, "config.json", architectures=["LlamaForTimeTravel"])
    return []


def code_needed(model: Path) -> list[str]:
    edit(model, "config.json", model_type="falcon_moon", auto_map={"AutoConfig": "configuration_moon.MoonConfig"})
    (model / "configuration_moon.py").write_text("class MoonConfig: ...\n")
    return []


def no_tokenizer(model: Path) -> list[str]:
    (model / "tokenizer.json").unlink()
    return []


def context_too_long(model: Path) -> list[str]:
    return ["--kv-cache-memory-bytes=1048576"]


def context_beyond_model(model: Path) -> list[str]:
    return ["--max-model-len=100000"]


def no_memory_for_cache(model: Path) -> list[str]:
    return ["--kv-cache-memory-bytes=4000000000000"]


def memory_fraction(model: Path) -> list[str]:
    return ["--gpu-memory-utilization=0.999"]


def unknown_argument(model: Path) -> list[str]:
    return ["--max-model-length=5"]


def bad_choice(model: Path) -> list[str]:
    return ["--dtype=float7"]


def bad_value(model: Path) -> list[str]:
    return ["--max-num-batched-tokens=16", "--max-num-seqs=128"]


def bad_tool_parser(model: Path) -> list[str]:
    return ["--enable-auto-tool-choice", "--tool-call-parser=none-such"]


def quantization_unknown(model: Path) -> list[str]:
    edit(model, "config.json", quantization_config={"quant_method": "magic"})
    return []


def port_taken(model: Path) -> list[str]:
    HELD.bind(("127.0.0.1", 0))
    return [f"--port={HELD.getsockname()[1]}"]


def shm_too_small(model: Path) -> list[str]:
    return []


def cache_read_only(model: Path) -> list[str]:
    return []


def disk_full(model: Path) -> list[str]:
    return []


def process_killed(model: Path) -> list[str]:
    return []


CASES: tuple[Case, ...] = (
    unknown_argument,
    bad_choice,
    bad_value,
    bad_tool_parser,
    port_taken,
    no_model,
    no_config,
    config_cut,
    architecture_unknown,
    architecture_unsupported,
    code_needed,
    no_tokenizer,
    quantization_unknown,
    context_beyond_model,
    no_weights,
    shard_missing,
    shard_cut,
    shard_empty,
    shard_header_cut,
    git_lfs_pointer,
    other_shape,
    context_too_long,
    no_memory_for_cache,
    memory_fraction,
    shm_too_small,
    cache_read_only,
    disk_full,
    process_killed,
)
MOUNTS = {
    "shm_too_small": "mount -t tmpfs -o size=64k tmpfs /dev/shm",
    "cache_read_only": "mount -t tmpfs -o ro tmpfs {folder}/cache",
    "disk_full": "mount -t tmpfs -o nr_inodes=1 tmpfs {folder}/sockets",
}
KILL = """
"$@" & server=$!
while kill -0 $server && ! worker=$(pgrep -P "$(pgrep -P $server -f EngineCore)" -f Worker); do sleep 0.1; done
sleep 5
kill -9 $worker
wait $server
"""
"""The kernel's hand, when memory is used up: it takes the worker, five seconds after it began."""


def output(case: Case, watch: Stopwatch) -> str:
    """What `vllm serve` writes until it ends, with the paths of a container."""
    site, program = packages(watch) / vllm_cpu.TARGET.lstrip("/"), interpreter(watch)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("cache", "sockets"):
            (folder / name).mkdir()
        model = folder / "model"
        subprocess.run([sys.executable, MODEL_MAKER, model], check=True, capture_output=True)
        port = free_ports(1)[0]
        arguments = [f"--port={port}", *case(model)]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(site),
            "HOME": str(folder),
            "VLLM_RPC_BASE_PATH": str(folder / "sockets"),
            "VLLM_PLUGINS": "",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "VLLM_CACHE_ROOT": str(folder / "cache/vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache/inductor"),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "TORCH_COMPILE_DISABLE": "1",
        }
        if case not in (no_memory_for_cache, context_too_long, memory_fraction):
            environment["VLLM_CPU_KVCACHE_SPACE"] = "1"
        if case is not cache_read_only:
            known = Path.home() / ".cache/mlservice/vllm/modelinfos"
            if known.is_dir():
                shutil.copytree(known, folder / "cache/vllm/modelinfos")
        command = [program, str(site / "bin/vllm"), "serve", str(model), "--host=127.0.0.1", "--served-model-name=tiny"]
        command += ["--dtype=bfloat16", "--max-model-len=4096", "--enforce-eager", "--shutdown-timeout=5", *arguments]
        if mount := MOUNTS.get(case.__name__):
            script = f'{mount.format(folder=folder)} && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        if case is process_killed:
            command = ["sh", "-c", KILL, "sh", *command]
        return written(command, environment, folder, str(site))


def main() -> None:
    watch = Stopwatch()
    OUTPUTS.mkdir(exist_ok=True)
    for case in CASES:
        if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
            (OUTPUTS / f"{case.__name__}.txt").write_text(output(case, watch))
            print(case.__name__, flush=True)


if __name__ == "__main__":
    main()
