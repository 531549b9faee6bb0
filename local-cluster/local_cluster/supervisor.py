"""Starts the programs of a cluster and restarts those that end. Run as a script: only the standard library is there.

On the node level it is PID 1 of a new process, mount and network namespace, so the kernel ends every program with it.
On the API level there are no namespaces: each program asks the kernel to be killed when its supervisor ends, and the
supervisor ends when its standard input does, which is a pipe whose other end only the owner holds.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

RESTART_SECONDS = 1.0
POLL_SECONDS = 0.1
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def main(folder: Path) -> None:
    """Wait for the word to start, prepare, then keep the programs running until the owner is gone."""
    run = json.loads((folder / "run.json").read_text())
    if not os.read(0, 1):
        return  # whoever started us died before everything was ready for us
    for command in run["prepare"]:
        say(f"prepare: {' '.join(command)}")
        subprocess.run(command, check=True)
    supervisor = Supervisor(folder, run)
    try:
        supervisor.loop(owned=run["owned"])
    finally:
        supervisor.kill()
        if run["remove"]:
            shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Write one line with the time to the supervisor's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Supervisor:
    """The programs that run, that wait for their URL, and that are due to be started again."""

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self.folder = folder
        self.host_network: int = run["host_network"]
        if self.host_network >= 0:
            os.set_inheritable(self.host_network, False)
        self.tls = ssl.create_default_context(cafile=run["ca"])
        self.programs: dict[str, dict[str, Any]] = {program["name"]: program for program in run["programs"]}
        self.waiting = {name for name, program in self.programs.items() if program["after"]}
        self.due = {name: 0.0 for name in self.programs if name not in self.waiting}
        self.starts = dict.fromkeys(self.programs, 0)
        self.pids: dict[int, str] = {}

    def loop(self, owned: bool) -> None:
        """Start what is due, restart what ended; returns when the owner closed its end of standard input."""
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_read, False)
        os.set_blocking(wakeup_write, False)
        signal.set_wakeup_fd(wakeup_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        watched = [wakeup_read, 0] if owned else [wakeup_read]
        while True:
            self.reap()
            self.start_due()
            readable, _, _ = select.select(watched, [], [], self.patience())
            if wakeup_read in readable:
                os.read(wakeup_read, 1024)
            if 0 in readable and not os.read(0, 1024):
                return

    def patience(self) -> float | None:
        """Seconds until there is something to do besides waiting for a program to end."""
        if self.waiting:
            return POLL_SECONDS
        if self.due:
            return max(0.0, min(self.due.values()) - time.monotonic())
        return None

    def reap(self) -> None:
        """Note every program that ended; PID 1 also inherits the orphans of its namespace."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if name := self.pids.pop(pid, None):
                say(f"{name} ended with {os.waitstatus_to_exitcode(status)}, starts again in {RESTART_SECONDS:.0f} s")
                self.due[name] = time.monotonic() + RESTART_SECONDS

    def start_due(self) -> None:
        """Start what is due and what no longer has to wait."""
        answers = {url: self.answers(url) for url in {self.programs[name]["after"] for name in self.waiting}}
        for name in [name for name in self.waiting if answers[self.programs[name]["after"]]]:
            self.waiting.remove(name)
            self.due[name] = 0.0
        for name in [name for name, when in self.due.items() if when <= time.monotonic()]:
            del self.due[name]
            self.start(name)

    def answers(self, url: str) -> bool:
        """Does https://... answer 200, does tcp://HOST:PORT accept a connection, does file://... exist?"""
        scheme, _, place = url.partition("://")
        if scheme == "file":
            return Path(place).exists()
        try:
            if scheme == "tcp":
                host, _, port = place.rpartition(":")
                socket.create_connection((host, int(port)), timeout=2).close()
                return True
            with urllib.request.urlopen(url, timeout=2, context=self.tls) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

    def start(self, name: str) -> None:
        """Start a program with its output in log/NAME.log, and write its pid to run/NAME.json."""
        program = self.programs[name]
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                self.become(program, supervisor)
            os._exit(127)
        self.pids[pid] = name
        self.starts[name] += 1
        say(f"{name} started as {pid}")
        state = {"pid": pid, "restarts": self.starts[name] - 1, "started": time.time()}
        temporary = self.folder / "run" / f".{name}"
        temporary.write_text(json.dumps(state))
        temporary.rename(self.folder / "run" / f"{name}.json")

    def become(self, program: dict[str, Any], supervisor: int) -> None:
        """In the child: turn into the program."""
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            return
        log = os.open(self.folder / "log" / f"{program['name']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if program["on_host_network"] and LIBC.setns(self.host_network, CLONE_NEWNET) != 0:
            os.write(2, f"cannot enter the host's network: {os.strerror(ctypes.get_errno())}\n".encode())
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        try:
            os.execve(program["argv"][0], program["argv"], {**os.environ, **program["env"]})  # noqa: S606
        except OSError as error:
            os.write(2, f"{program['argv'][0]}: {error}\n".encode())

    def kill(self) -> None:
        """End every program at once."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self.pids):
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
