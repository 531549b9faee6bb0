"""The owner's side of the supervisor: what it shall run, its start, and what became of its programs."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cluster.program import Program
from local_cluster.report import Failure

SCRIPT = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class Plan:
    """What a supervisor reads from run.json; with `owned` it ends when its standard input does."""

    folder: Path
    programs: list[Program]
    prepare: list[list[str]]
    owned: bool
    remove: bool = False

    def write(self, host_network: int = -1) -> None:
        """Write run.json and the folders for logs and pids; `host_network` is a descriptor of a network namespace."""
        for name in ("log", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for file in (self.folder / "run").iterdir():
            file.unlink()
        document = {
            "programs": [program.as_json() for program in self.programs],
            "prepare": self.prepare,
            "owned": self.owned,
            "remove": self.remove,
            "ca": str(self.folder / "pki" / "ca.crt"),
            "host_network": host_network,
        }
        (self.folder / "run.json").write_text(json.dumps(document, indent=1))


def start(plan: Plan, *before: str, inherit: int | None = None) -> subprocess.Popen[bytes]:
    """Start the supervisor, in a session of its own, behind the command `before`; it waits for `go`."""
    plan.write(-1 if inherit is None else inherit)
    with (plan.folder / "log" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [*before, sys.executable, "-I", "-S", str(SCRIPT), str(plan.folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            pass_fds=[] if inherit is None else [inherit],
        )


def go(process: subprocess.Popen[bytes]) -> None:
    """Let a started supervisor begin."""
    assert process.stdin is not None
    os.write(process.stdin.fileno(), b"\n")


def program(folder: Path, name: str) -> dict[str, Any] | None:
    """`pid`, `restarts` and `started` of a program as its supervisor wrote it down; None before its first start."""
    try:
        document: dict[str, Any] = json.loads((folder / "run" / f"{name}.json").read_text())
    except FileNotFoundError:
        return None
    return document


def running() -> dict[int, Path]:
    """The folder of every supervisor on this machine, and of every `unshare` that holds one, by its pid."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        if len(argv) > 2 and Path(os.fsdecode(argv[-2])).name == SCRIPT.name:
            found[int(process.name)] = Path(os.fsdecode(argv[-1]))
    return found


def running_in(folder: Path) -> list[int]:
    """The pids of the supervisor of a folder and of the `unshare` that holds it."""
    return [pid for pid, its_folder in running().items() if its_folder == folder]


def children(pid: int) -> list[int]:
    """The child processes of a process; empty when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def stop(folder: Path, number: signal.Signals) -> None:
    """Send a signal to the supervisor of a folder and wait until it is gone, and with it all that it started."""
    ends = select.poll()
    waiting = {}
    for pid in running_in(folder):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            waiting[descriptor] = pid
            ends.register(descriptor, select.POLLIN)
            os.kill(pid, number)
    deadline = time.monotonic() + 20
    while waiting:
        # PID 1 of a namespace ends after all others in it.
        for descriptor, _ in ends.poll(100):
            ends.unregister(descriptor)
            os.close(descriptor)
            del waiting[descriptor]
        if time.monotonic() > deadline:
            raise Failure(
                f"The processes {sorted(waiting.values())} of the cluster in {folder} do not end.",
                "One of them hangs in the kernel, for example on a dead network disk. Look at /proc/PID/stack.",
            )
