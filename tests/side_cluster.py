"""A cluster of its own beside any other one on this machine: own folder, own networks, own port."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local_cluster import binaries, packages, ports
from local_cluster.api import Api
from local_cluster.network import Network
from local_cluster.sandbox import FOLDERS, SYSCTLS
from local_cluster.state import State

NETWORK = Network(3)  # not the one of a cluster that somebody works with meanwhile


def tool(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line tool."""
    return subprocess.run(
        [sys.executable, "-m", "local_cluster", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "CLUSTER": "local", **environment},
    )


def eventually(what: str, look: Callable[[], bool], seconds: float = 30) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.1)


def machine(state: State) -> dict[str, Any]:
    """What a cluster could leave behind on this machine; processes are those that have to do with its folder."""
    return {
        "processes": [command for command in commands() if str(state.root) in command],
        "mounts": mounts(state),
        "links": sorted(Path("/sys/class/net").iterdir()),
        "routes": [ip("route", "show", "table", "all"), ip("-6", "route", "show", "table", "main")],
        "namespaces": ip("netns"),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("*mlservice*")),
        "sysctls": {name: (Path("/proc/sys") / name).read_text() for name in (*SYSCTLS, "net/ipv4/ip_forward")},
        "rules": rules(),
        "folders": [path for path in (*FOLDERS, "/run/netns") if Path(path).exists()],
    }


def commands() -> Iterator[str]:
    """The command lines of all processes."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue


def mounts(state: State) -> list[str]:
    """The mounts at places where a cluster mounts; elsewhere, images may be being built meanwhile."""
    places = (str(state.root), "/run", "/proc", "/sys", *FOLDERS)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split()[4].startswith(places)]


def rules() -> list[str]:
    """The packet filter rules, without their counters."""
    command = [str(packages.find("iptables-save"))]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split(" [")[0] for line in lines if not line.startswith("#")]


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    for aspect in before:
        assert after[aspect] == before[aspect], aspect


def ip(*arguments: str) -> str:
    return subprocess.run([str(packages.find("ip")), *arguments], check=True, capture_output=True, text=True).stdout


class Running:
    """The cluster of these tests, and the machine as it was before."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state")
        self.http_port = ports.free(1)[0]
        self.before = machine(self.state)

    def up(self, *more: str) -> subprocess.CompletedProcess[str]:
        where = ["--state", str(self.state.root), "--network", str(NETWORK.index)]
        done = tool("up", *where, "--http-port", str(self.http_port), *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def down(self) -> None:
        done = tool("down", "--state", str(self.state.root))
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def api(self) -> Api:
        return Api(self.state.kubeconfig)

    def kubectl(self, *arguments: str, given: dict[str, Any] | None = None) -> str:
        command = [str(binaries.path("kubectl")), f"--kubeconfig={self.state.kubeconfig}", *arguments]
        text = json.dumps(given) if given else None
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pid(self, argument: str) -> int:
        """The process of a program of this cluster, found by one of its arguments."""
        pid = self.pid_or_none(argument)
        assert pid is not None, f"no process has the argument {argument}"
        return pid

    def pid_or_none(self, argument: str) -> int | None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if argument in command.split("\0"):
                return int(process.name)
        return None
