"""An image store of one's own: containerd without Kubernetes and without a network, gone at the end."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cluster import containerd
from local_cluster.images.archive import Image
from local_cluster.images.load import load
from local_cluster.report import Failure, Stopwatch, tail
from local_cluster.state import State

CONFIGURATION = """\
version = 2
root = "{root}/containerd"
state = "{root}/run"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{root}/containerd.sock"
[ttrpc]
  address = "{root}/ttrpc.sock"
"""


class Store:
    """An image store in which images can be run."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.runs = 0

    def load(self, image: Image) -> None:
        load(self.state, image, Stopwatch())

    def run(self, image: Image, *command: str, **options: Any) -> str:
        """Run a command in a new container as the image's user, with a read-only root file system; its output."""
        name, found = self.prepared(image, **options)
        return containerd.ctr(self.state, "run", *found, image.reference, name, *command)

    @contextmanager
    def running(self, image: Image, *arguments: str, **options: Any) -> Iterator["Container"]:
        """Run what the image runs, with these arguments and on this machine's network, as `run` does."""
        name, found = self.prepared(image, **options)
        command = ["ctr", "-a", str(self.state.containerd_socket), "-n", containerd.NAMESPACE, "run", "--net-host"]
        command += [*found, image.reference, name, *image.settings["Entrypoint"], *arguments]
        log = self.state.root / f"{name}.log"
        with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            container = Container(self.state, name, process, log)
            try:
                yield container
            finally:
                with contextlib.suppress(Failure):
                    container.signal("SIGKILL")

    def prepared(self, image: Image, mounts: tuple[str, ...] = (), env: tuple[str, ...] = ()) -> tuple[str, list[str]]:
        """A name for a container and the options of `ctr run`."""
        self.load(image)
        self.runs += 1
        writable = [f"--mount=type=tmpfs,dst={path},options=mode=1777" for path in mounts if ":" not in path]
        bound = [path.split(":") for path in mounts if ":" in path]
        read_only = [f"--mount=type=bind,src={source},dst={path},options=rbind:ro" for source, path in bound]
        options = ["--rm", "--read-only", *writable, *read_only, *(f"--env={variable}" for variable in env)]
        return f"test-{self.runs}", options


@dataclass
class Container:
    """One that runs; `process` ends with it."""

    state: State
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def signal(self, name: str) -> None:
        """Send a signal to its process 1."""
        containerd.ctr(self.state, "task", "kill", f"--signal={name}", self.name)


@contextmanager
def running(root: Path) -> Iterator[Store]:
    """Run containerd in a folder."""
    state = State(root)
    configuration = root / "containerd.toml"
    configuration.write_text(CONFIGURATION.format(root=root))
    log = root / "containerd.log"
    with log.open("w") as output:
        daemon = subprocess.Popen(["containerd", f"--config={configuration}"], stdout=output, stderr=output)
    try:
        wait_for(state, log)
        yield Store(state)
    finally:
        daemon.terminate()
        daemon.wait(20)
        unmount(root)
        shutil.rmtree(root)  # gigabytes, which pytest would keep


def wait_for(state: State, log: Path) -> None:
    """Return when containerd answers."""
    for _ in range(100):
        try:
            containerd.ctr(state, "version")
            return
        except Failure:
            time.sleep(0.1)
    raise AssertionError(f"containerd did not start:\n{tail(log)}")


def unmount(folder: Path) -> None:
    """Unmount what a container that was still running has left."""
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=True)
