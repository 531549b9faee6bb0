"""NVIDIA's Triton itself, from the package nvidia-pytriton: what our runtime's answers are compared with.

The package has the server and its Python backend, not its vLLM backend: `runtime/triton_backend` stands in for that.
"""

import ctypes.util
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
from local_cluster import checkout
from local_cluster.images import python
from local_cluster.images.recipe import forget, kept
from local_cluster.report import Failure, Stopwatch
from mlservice_runtime import description
from serving import free_ports, interpreter

LOCK = checkout.ROOT / "requirements" / "triton.lock"
BACKEND = Path(__file__).parent / "runtime" / "triton_backend" / "model.py"
START_SECONDS = 60


class Triton:
    """A running server, its ports and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, ports: Sequence[int]) -> None:
        self.process, self.log_file = process, log
        http, grpc, self.metrics_port = ports
        self.url = f"http://127.0.0.1:{http}"
        self.grpc = f"127.0.0.1:{grpc}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/v2/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> int:
        """End it as a kubelet does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def package() -> Path:
    """The package, installed once and kept."""
    folder = checkout.cache() / f"triton-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with kept(folder) as empty:
        if empty:
            watch = Stopwatch()
            watch.say("tests/runtime: installing NVIDIA's Triton (75 MB to fetch, about 10 s) ...")
            with python.interpreter(watch) as image:
                image.install(empty, "/", "--require-hashes", "-r", str(LOCK))
                server, stub = empty / "pytriton" / "tritonserver", "triton_python_backend_stub"
                backend = server / "backends" / "python"
                shutil.copy(server / "python_backend_stubs" / image.version / stub, backend / stub)
            for program in (server / "bin" / "tritonserver", backend / stub):
                program.chmod(0o755)
            forget(folder.parent.glob("triton-*"), keep=0)
    return folder


def backends(folder: Path) -> Path:
    """The folder of Triton's backends: its own for Python, and ours in the place of vLLM's."""
    ours = folder / "vllm"
    ours.mkdir(parents=True)
    (folder / "python").symlink_to(package() / "pytriton" / "tritonserver" / "backends" / "python")
    (ours / "model.py").symlink_to(BACKEND)
    for found in package().glob("numpy*"):  # it looks beside the file, and not at PYTHONPATH
        (ours / found.name).symlink_to(found)
    config = description.config_document("any")
    said = ("name", "data_type", "dims", "optional")
    tensors = {
        part: [{name: entry[name] for name in said if name in entry} for entry in config[part]]
        for part in ("input", "output")
    }
    (ours / "tensors.json").write_text(json.dumps(tensors))
    return folder


@contextmanager
def triton(folder: Path, *arguments: str, wait: bool = True) -> Iterator[Triton]:
    """Run a server with such arguments until the end of the context."""
    ports = free_ports(3)
    command = [str(package() / "pytriton" / "tritonserver" / "bin" / "tritonserver"), *arguments]
    command += [f"--backend-directory={backends(folder / 'backends')}", "--http-address=127.0.0.1"]
    command += [f"--{name}-port={port}" for name, port in zip(("http", "grpc", "metrics"), ports, strict=True)]
    log = folder / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
    server = Triton(process, log, ports)
    try:
        until = time.monotonic() + START_SECONDS
        while wait and not server.ready():
            assert process.poll() is None and time.monotonic() < until, f"Triton did not become ready:\n{server.log}"
            time.sleep(0.1)
        yield server
    finally:
        server.stop()


def environment() -> dict[str, str]:
    """Triton's Python backend needs Python as a library: of the interpreter's folder, or of the system's."""
    program = interpreter(Stopwatch())
    ask = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    beside = subprocess.run([program, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    library = f"lib{Path(program).name}.so.1.0"
    if (Path(beside) / library).exists():
        return {**os.environ, "LD_LIBRARY_PATH": beside}
    if ctypes.util.find_library(Path(program).name) is None:
        raise Failure(f"{library} is not installed.", f"apt-get install lib{Path(program).name}")
    return dict(os.environ)


def config_map(folder: Path, files: Mapping[str, str]) -> None:
    """Files as the kubelet lays out a ConfigMap's volume: a hidden folder, and links to what is in it."""
    data = folder / "..2026_11_29_00_00_00.1"
    for name, content in files.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content)
    (folder / "..data").symlink_to(data.name)
    for name in {Path(name).parts[0] for name in files}:
        (folder / name).symlink_to(f"..data/{name}")
