"""Reads a model's weights into the page cache while Python imports vLLM, and counts the bytes.

vLLM maps the files and copies them to the GPU much later. A volume that is slow is busy in between this way.
"""

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from mlservice_runtime.progress import Progress

CHUNK = 8 << 20
SHARE_OF_MEMORY = 0.7
"""Files that are larger than this part of the free memory would push each other out of the page cache."""
THREADS = 4
VALUE_FREE = {
    "dummy",
    "runai_streamer",
    "runai_streamer_sharded",
    "instanttensor",
    "fastsafetensors",
    "tensorizer",
    "ipc_cache",
}
"""--load-format of those that read no files, or that read past the page cache."""


def model_of(arguments: list[str]) -> Path | None:
    """The folder that `vllm serve` with these arguments loads; None for a model of a hub."""
    named = value_of(arguments, "--model")
    first = arguments[0] if arguments and not arguments[0].startswith("-") else None
    folder = Path(first or named or "")
    return folder if (first or named) and folder.is_dir() else None


def value_of(arguments: list[str], name: str) -> str | None:
    """The value of an argument, written `--name=value` or `--name value`."""
    for at, argument in enumerate(arguments):
        if argument == name and at + 1 < len(arguments):
            return arguments[at + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def weight_files(folder: Path) -> list[Path]:
    """The files of weights in the order in which vLLM reads them: those of the index, else all safetensors files."""
    try:
        named = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values()
        files = sorted({folder / name for name in named})
    except (OSError, ValueError, KeyError, AttributeError):
        files = sorted(folder.glob("*.safetensors"))
    return [file for file in files if file.is_file()]


def free_memory(cgroup: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that the page cache of this container may take: the node's, or what its limit leaves."""
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used = (cgroup / "memory.max").read_text().strip(), int((cgroup / "memory.current").read_text())
        return free if limit == "max" else min(free, int(limit) - used)
    except (OSError, ValueError):
        return free


class ReadAhead:
    """Reads files on threads of its own, each file from several places at a time."""

    def __init__(self, files: Iterable[Path], progress: Progress) -> None:
        self.files = [(file, file.stat().st_size) for file in files]
        self.progress = progress
        progress.total = sum(size for _, size in self.files)
        self.lock = threading.Lock()
        self.left = [
            (file, at, min(CHUNK * 8, size - at)) for file, size in self.files for at in range(0, size, CHUNK * 8)
        ]
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def work(self) -> None:
        buffer = bytearray(CHUNK)
        while True:
            with self.lock:
                if not self.left:
                    return
                file, at, size = self.left.pop(0)
            try:
                with file.open("rb", buffering=0) as opened:
                    opened.seek(at)
                    while size > 0:
                        got = opened.readinto(memoryview(buffer)[: min(size, CHUNK)])
                        if not got:
                            break
                        size -= got
                        with self.lock:
                            self.progress.read += got
                            self.progress.read_seconds = time.monotonic() - self.began
            except OSError:
                return  # vLLM will meet the same error, and name it


def read_ahead(arguments: list[str], progress: Progress) -> ReadAhead | None:
    """Begin to read the weights of the model that these arguments name, where that is of use."""
    folder = model_of(arguments)
    if folder is None or value_of(arguments, "--load-format") in VALUE_FREE:
        return None
    reader = ReadAhead(weight_files(folder), progress)
    if not progress.total or progress.total > SHARE_OF_MEMORY * free_memory():
        progress.total = 0
        return None
    reader.start()
    return reader
