"""A real vLLM with our plugin on this machine's CPU: the packages of the image, without a container."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from local_cluster import checkout
from local_cluster.images import python, vllm_cpu, vllm_runtime
from local_cluster.images.recipe import Recipe, forget, kept
from local_cluster.report import Failure, Stopwatch

MODEL = "llama2vllm"
MODEL_MAKER = checkout.ROOT / "examples" / "quickstart" / "make_model.py"
START_SECONDS = 300
STUCK_SECONDS = 5
KEY = "a-secret"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
ORIGIN = "https://chat.example.com"
LIMIT = 100_000
PACKAGES = "MLSERVICE_TEST_PACKAGES"
"""The variable that names other packages than the image's: tests/runtime/other_vllm.py."""
ADAPTER = "poet"


class Serving:
    """A running server, its ports and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, ports: list[int], environment: dict[str, str]):
        self.process = process
        self.model = log.parent / "model"
        self.termination_log = log.parent / "termination-log"
        self.log_file = log
        self.port, self.http_port, self.grpc_port, self.metrics_port = ports
        self.environment = environment
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; `name` may end with labels."""
        text = httpx2.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def generated_by(self, what: Callable[[], object]) -> float:
        """How many tokens vLLM generates while `what` is done and until it is idle."""
        before = self.metric("vllm:generation_tokens_total")
        what()
        wait_until(lambda: self.running() == 0)
        time.sleep(0.3)  # the engine may have been between two steps
        wait_until(lambda: self.running() == 0)
        return self.metric("vllm:generation_tokens_total") - before

    def running(self) -> float:
        """How many requests the engine runs."""
        return self.metric("vllm:num_requests_running")

    def children(self) -> list[int]:
        """The processes that the server started: engine and worker."""
        found, rest = [], [self.process.pid]
        while rest:
            pid = rest.pop()
            lists = Path(f"/proc/{pid}/task").glob("*/children")
            below = [int(child) for list_ in lists for child in list_.read_text().split()]
            found += below
            rest += below
        return found

    def command(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command of the wheel as a hook in the server's container does."""
        command = [sys.executable, "-m", "mlservice_runtime", *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def stop(self, patience: float = 60) -> int:
        """End it as a kubelet does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            for pid in (*self.children(), self.process.pid):
                os.kill(pid, signal.SIGKILL)
            return self.process.wait()


def packages(watch: Stopwatch) -> Path:
    """What vLLM and our wheel need, unpacked once and kept: the layers of the image below our own."""
    if given := os.environ.get(PACKAGES):
        return Path(given)
    recipe = vllm_runtime.RUNTIME_DEPENDENCIES
    folder = checkout.cache() / "images" / f"vllm-cpu-unpacked-{recipe.key}"
    with kept(folder) as empty:
        if empty:
            watch.say("tests/runtime: unpacking the packages of the CPU runtime (2.2 GB, about 15 s) ...")
            for made in (recipe.parent, recipe):
                assert made is not None
                unpack(made, empty, watch)
            forget(folder.parent.glob("vllm-cpu-unpacked-*"), keep=0)
    return folder


def unpack(recipe: Recipe, folder: Path, watch: Stopwatch) -> None:
    with tarfile.open(recipe.layers(watch)[-1].path) as tar:
        tar.extractall(folder, filter="fully_trusted")


def interpreter(watch: Stopwatch) -> str:
    """This machine's Python of the version that the image has: the packages are for no other."""
    with python.interpreter(watch) as image:
        name = f"python{image.version}"
    found = shutil.which(name)
    if found is None:
        raise Failure(
            f"{name} is not installed; vLLM's packages are for it.", "Install it, or run only the other tests."
        )
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it has not come true in {seconds:g} s"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports: list[int] = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    launcher: bool = False,
    wait: bool = True,
    meanwhile: Callable[[], object] = lambda: None,
    **environment: str,
) -> Iterator[Serving]:
    """Run a server until the end of the context; `environment` goes on top of what the image sets.

    With `launcher` as the image runs it, without as plain `vllm serve`. `meanwhile` is called while it starts.
    """
    watch = Stopwatch()
    image, program = packages(watch), interpreter(watch)
    site, ours = (image / target.lstrip("/") for target in (vllm_cpu.TARGET, vllm_runtime.TARGET))
    unpack(vllm_runtime.RECIPE, folder / "wheel", watch)
    subprocess.run([sys.executable, MODEL_MAKER, folder / "model"], check=True, capture_output=True)
    port, http, grpc, metrics = ports = free_ports(4)
    # Sockets have a path of at most 107 characters, which pytest's folders may exceed.
    with tempfile.TemporaryDirectory() as sockets:
        variables = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            **vllm_runtime.ENVIRONMENT,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder / 'wheel' / vllm_runtime.TARGET.lstrip('/')}:{site}:{ours}",
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HF_HOME": str(folder / "cache"),
            "VLLM_CACHE_ROOT": str(checkout.cache() / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
            "VLLM_RPC_BASE_PATH": sockets,
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "MLSERVICE_RUNTIME_HTTP_PORT": str(http),
            "MLSERVICE_RUNTIME_GRPC_PORT": str(grpc),
            "MLSERVICE_RUNTIME_METRICS_PORT": str(metrics),
            "MLSERVICE_RUNTIME_FOLDER": sockets,
            "MLSERVICE_RUNTIME_STATUS_PORT": "0",
            "MLSERVICE_RUNTIME_TERMINATION_LOG": str(folder / "termination-log"),
            **environment,
        }
        start = ["-m", "mlservice_runtime"] if launcher else [str(site / "bin" / "vllm")]
        command = ["nice", "-n", "10", program, *start, "serve", str(folder / "model")]
        command += ["--host=127.0.0.1", f"--port={port}", f"--served-model-name={MODEL}", "--dtype=bfloat16"]
        command += ["--max-model-len=4096", "--enforce-eager", "--shutdown-timeout=20", *arguments]
        log = folder / "vllm.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=variables, stdout=output, stderr=output, cwd=folder)
        server = Serving(process, log, ports, variables)
        try:
            if wait:
                wait_until_ready(server, meanwhile)
            yield server
        finally:
            server.stop()


def wait_until_ready(server: Serving, meanwhile: Callable[[], object]) -> None:
    """Wait, as a startup probe does; a server without our plugin has vLLM's own health only."""
    path = "/v2/health/ready" if server.environment["VLLM_PLUGINS"] else "/health"
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.process.poll() is None:
        try:
            if httpx2.get(f"{server.url}{path}").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        meanwhile()
        time.sleep(0.2)
    raise AssertionError(f"vLLM did not become ready:\n{server.log[-5000:]}")
