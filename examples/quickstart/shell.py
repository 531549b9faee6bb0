"""What the demo does at a shell: commands shown as a user types them, and run."""

import contextlib
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from local_cluster import binaries, checkout
from local_cluster.report import Failure, Stopwatch

HERE = Path(__file__).parent
READY_SECONDS = 900
WATCH = Stopwatch()


def step(title: str) -> None:
    """Begin a part of the demo."""
    print(flush=True)
    WATCH.say(f"=== {title}")


def show(*command: str, then: str = "") -> None:
    """Print a command as a user would type it."""
    print(f"  $ {shlex.join(command)} {then}".rstrip(), flush=True)


def tool(*arguments: str) -> None:
    """Run a verb of the cluster tool, which prints its own progress."""
    show("python", "-m", "local_cluster", *arguments)
    done = subprocess.run([sys.executable, "-m", "local_cluster", *arguments], check=False)
    if done.returncode != 0:
        raise Failure(f"`python -m local_cluster {' '.join(arguments)}` failed.", "The cause is above.")


def kubectl(*arguments: str, given: str | None = None, shown: bool = True) -> str:
    """Run the kubectl that was built here, in the folder of the manifests; shows and returns what it prints."""
    if shown:
        show("kubectl", *arguments)
    done = subprocess.run(
        program(*arguments), check=False, capture_output=True, text=True, input=given, cwd=HERE, env=environment()
    )
    if done.returncode != 0:
        raise Failure(f"`kubectl {shlex.join(arguments)}` failed: {done.stderr.strip()}", look_further())
    if shown and done.stdout.strip() and not done.stdout.startswith("{"):
        print("  " + done.stdout.strip().replace("\n", "\n  "), flush=True)
    return done.stdout


def program(*arguments: str) -> list[str]:
    """kubectl with arguments."""
    return [str(binaries.path("kubectl")), *arguments]


def environment() -> dict[str, str]:
    """What kubectl needs to find the cluster."""
    return {**os.environ, "KUBECONFIG": str(checkout.KUBECONFIG)}


def look_further() -> str:
    """Where the cause of most failures can be seen."""
    return f"See: {binaries.path('kubectl')} --kubeconfig={checkout.KUBECONFIG} describe pods"


def watch_until_ready(file: str) -> None:
    """Show `kubectl get -w` of the MLService in a file until its column READY says True."""
    command = ["get", "-f", file, "-o", "wide", "-w"]
    show("kubectl", *command)
    ready = False
    with subprocess.Popen(program(*command), cwd=HERE, env=environment(), stdout=subprocess.PIPE, text=True) as get:
        assert get.stdout is not None
        limit = threading.Timer(READY_SECONDS, get.terminate)
        limit.start()
        for line in get.stdout:
            WATCH.say(line.rstrip())
            ready = line.split()[1:2] == ["True"]
            if ready:
                break
        limit.cancel()
        get.terminate()
    if not ready:
        raise Failure(f"It is not ready after {READY_SECONDS} s: {ready_message(file)}", look_further())
    print(f"  {ready_message(file)}")


def ready_message(file: str) -> str:
    """The condition that says in words how the service is."""
    path = '{.status.conditions[?(@.type=="Ready")].message}'
    return kubectl("get", "-f", file, "-o", f"jsonpath={path}", shown=False)


def create(file: str) -> None:
    """Create the MLService in a file; one from an earlier run is put back to what the file says."""
    there = kubectl("get", "-f", file, "--ignore-not-found", "-o", "name", shown=False)
    kubectl("replace" if there.strip() else "create", "-f", file)


@contextlib.contextmanager
def forwarded(service: str, *pairs: str) -> Iterator[dict[str, str]]:
    """Forward ports of a Service; yields 127.0.0.1:port for each port of its pods."""
    command = ["port-forward", f"svc/{service}", *pairs]
    show("kubectl", *command, then="&")
    with subprocess.Popen(program(*command), env=environment(), stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        found: dict[str, str] = {}
        try:
            while len(found) < len(pairs):
                words = forward.stdout.readline().split()  # Forwarding from 127.0.0.1:41234 -> 8000
                if "->" not in words:
                    raise Failure("kubectl could not forward a port.", "Its own message is above.")
                found.setdefault(words[-1], words[2])
            yield found
        finally:
            forward.terminate()
