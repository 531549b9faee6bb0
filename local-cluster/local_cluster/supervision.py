"""The owner's side of the supervisor: what it shall run, its start, and what became of its programs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cluster.program import Program

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
        for file in (self.folder / "run").glob("*.json"):
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
