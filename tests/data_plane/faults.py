"""What goes wrong on the local cluster: its programs and the processes of its pods are killed with -9."""

import os
import signal
import time
from contextlib import suppress

from live import Live, server_process
from local_cluster import status, supervision
from local_cluster.state import DEFAULT

SYSTEM = "mlservice-system"


def kill_pod(live: Live, name: str) -> None:
    """Kill the first process of a pod's server, and with it all of the container."""
    pod = live.get("Pod", name)
    assert pod is not None
    os.kill(server_process(pod, b"serve"), signal.SIGKILL)


def kill_program(name: str) -> None:
    """Kill a program of the cluster; its supervisor starts it again a second later."""
    program = supervision.program(DEFAULT, name)
    for parent in supervision.running_in(DEFAULT):
        for pid in supervision.children(parent):
            if program and status.inner_pid(pid) == program["pid"]:
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError(f"{name} does not run")


def keep_down(name: str, seconds: float) -> None:
    """Kill a program whenever it is back."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(AssertionError, ProcessLookupError):
            kill_program(name)
        time.sleep(0.3)


def without_operator(live: Live, seconds: float) -> None:
    """Scale the operator to nothing for a while."""
    live.sh(f"kubectl -n {SYSTEM} scale deployment/mlservice-operator --replicas=0")
    time.sleep(seconds)
    live.sh(f"kubectl -n {SYSTEM} scale deployment/mlservice-operator --replicas=2")
    live.sh(f"kubectl -n {SYSTEM} rollout status deployment/mlservice-operator --timeout=120s")
