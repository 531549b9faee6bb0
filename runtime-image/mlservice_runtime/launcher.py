"""`python3 -m mlservice_runtime serve ...`: `vllm serve ...` with a companion that outlives it.

vLLM is a child process of the launcher. Only so can somebody answer while Python imports, and still write down why vLLM
ended when a signal or the kernel ended it. The launcher passes on signals, output and exit status, reaps what is left,
and lets no process of vLLM outlive it: for the kubelet it is vLLM. It is process 1 of the container, so that its end is
the container's.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from mlservice_runtime import status, weights
from mlservice_runtime.failures import Failures, termination_message
from mlservice_runtime.preload import preloaded
from mlservice_runtime.progress import Phase, Progress
from mlservice_runtime.settings import Settings

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
GRACE_SECONDS = 5.0
STARTING_GRACE_SECONDS = 10.0


class Launcher:
    """One start of vLLM, from the first second to its last words."""

    def __init__(self, settings: Settings, arguments: list[str]) -> None:
        self.settings = settings
        self.arguments = arguments
        self.progress = Progress()
        self.failures = Failures()
        self.child = 0
        self.stopped = False

    def run(self) -> int:
        """Serve until vLLM ends; returns the exit status, as a shell tells it."""
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        for number in PASSED_ON:
            signal.signal(number, self.pass_on)
        self.open()
        command = [sys.executable, "-m", "mlservice_runtime.start", "serve", *self.arguments]
        environment = preloaded(os.environ) if self.settings.fork else None
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.child = child.pid
        assert child.stdout and child.stderr
        pumps = [
            threading.Thread(target=self.pump, args=(source.fileno(), target), daemon=True)
            for source, target in ((child.stdout, 1), (child.stderr, 2))
        ]
        for pump in pumps:
            pump.start()
        code = wait_for(child.pid)
        child.returncode = code
        end_all()
        for pump in pumps:
            pump.join(GRACE_SECONDS)
        if code != 0:
            self.write_termination_message(code)
        return code

    def open(self) -> None:
        """Begin everything that needs no vLLM. Without it vLLM serves as well, so no failure here ends the start."""
        try:
            if self.settings.status_port:
                status.serve(self.settings.status_port, self.progress)
        except OSError as error:
            note(f"Status port {self.settings.status_port} cannot be used ({error.strerror}): nothing answers there.")
        try:
            status.listen(self.settings.folder, self.heard)
            if self.settings.read_ahead:
                weights.read_ahead(self.arguments, self.progress)
        except OSError as error:
            note(str(error))

    def heard(self, phase: Phase) -> None:
        if phase is Phase.READY:
            self.ready()
        else:
            self.progress.enter(phase)

    def ready(self) -> None:
        if not self.progress.started:
            self.failures.forget()
        self.progress.enter(Phase.READY)

    def pass_on(self, number: int, _: object) -> None:
        if not self.child:
            raise SystemExit(128 + number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child, number)
        if number == signal.SIGTERM and self.progress.started:
            self.progress.enter(Phase.DRAINING)
        elif number == signal.SIGTERM:
            self.stopped = True
            # vLLM can lose a signal that comes while it starts, and nothing is in flight yet.
            timer = threading.Timer(STARTING_GRACE_SECONDS, os.kill, (self.child, signal.SIGKILL))
            timer.daemon = True
            timer.start()

    def pump(self, source: int, target: int) -> None:
        """Pass output on as it comes, and read it line by line. Progress bars end lines with a carriage return."""
        rest = b""
        while chunk := os.read(source, 1 << 16):
            with contextlib.suppress(OSError):
                write(target, chunk)
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self.read(line.decode(errors="replace"))
            rest = rest[-(1 << 16) :]
        self.read(rest.decode(errors="replace"))

    def read(self, line: str) -> None:
        was = self.progress.started
        self.failures.read(line)
        self.progress.line(line)
        if self.progress.started and not was:
            self.failures.forget()

    def write_termination_message(self, code: int) -> None:
        """Write why vLLM ended where the kubelet looks for it; it makes that file before the container starts."""
        message = termination_message(self.failures, self.progress.phase, code, self.stopped)
        file = self.settings.termination_log
        if file != Settings.termination_log or file.exists():
            with contextlib.suppress(OSError):
                file.write_text(message)
        note(message)


def wait_for(pid: int) -> int:
    """Reap whatever ends, until this one does."""
    while True:
        ended, how = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(how)
            return code if code >= 0 else 128 - code


def end_all() -> None:
    """End what vLLM left: its engine would hold the GPU for ever."""
    until = time.monotonic() + GRACE_SECONDS
    while children := children_of(os.getpid()):
        if time.monotonic() > until:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for list_ in lists for child in list_.read_text().split()]


def write(target: int, content: bytes) -> None:
    while content:
        content = content[os.write(target, content) :]


def note(line: str) -> None:
    """A line among vLLM's own."""
    with contextlib.suppress(OSError):
        write(2, f"mlservice_runtime: {line}\n".encode())


def main(arguments: list[str]) -> int:
    """Run `vllm serve` with these arguments; a setting that cannot be read ends the start, as in the plugin."""
    try:
        settings = Settings.read()
    except ValueError as error:
        note(str(error))
        return 2
    return Launcher(settings, arguments).run()
