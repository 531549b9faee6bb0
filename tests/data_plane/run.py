"""What clients see while pods come and go, and while the cluster around them fails, on the local cluster's Gateway.

Streams of random length are kept up all the time. The stops are measured for our runtime, for plain `vllm serve`, and
for that with the sleep that the operator gives it: the same vLLM with the same model, one after the other. The faults
are measured for our runtime.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import faults
from asking import publish
from kube import Kube
from live import tool
from local_cluster import checkout
from service import ALONE, OURS, SLEEP, Service
from streams import Streams

KUBELET_SECONDS = 30


def stops(service: Service) -> dict[str, str]:
    """A pod is deleted, the service made smaller, its one pod replaced; ends with one pod."""

    def deleted() -> None:
        service.leave(lambda: service.live.delete("Pod", service.pods()[0]), 1)

    def smaller() -> None:
        service.leave(lambda: service.scale(1), 1)

    def replaced() -> None:
        service.leave(service.change, 1)

    found = {"one pod of two deleted": str(service.while_it_streams("pod deleted", deleted))}
    service.until_ready(2)
    found["scaled from two pods to one"] = str(service.while_it_streams("scaled down", smaller))
    found["the one pod replaced by a rollout"] = str(service.while_it_streams("rolled out", replaced))
    return found


def breaks(service: Service, operator_seconds: float, server_seconds: float) -> dict[str, str]:
    """Faults around two pods, which outlive all of them, and the death of one."""

    def operator_away() -> None:
        faults.without_operator(service.live, operator_seconds)

    def server_away() -> None:
        faults.keep_down("kube-apiserver", server_seconds)

    def kubelet_killed() -> None:
        faults.kill_program("kubelet")
        time.sleep(KUBELET_SECONDS)

    rows: dict[str, Callable[[], None]] = {
        f"no operator for {operator_seconds:.0f} s": operator_away,
        f"API server killed whenever it is up, for {server_seconds:.0f} s": server_away,
        "kubelet killed with -9": kubelet_killed,
    }
    found = {what: str(service.while_it_streams(what, happen)) for what, happen in rows.items()}
    service.until_ready(2)
    return found | killed(service)


def killed(service: Service) -> dict[str, str]:
    """Kill one of two servers; only its own streams may be lost, and new ones fail for a moment only."""
    had, when = 0, 0.0

    def kill() -> None:
        nonlocal had, when
        victim = service.pods()[0]
        had, when = service.running(victim), time.monotonic()
        faults.kill_pod(service.live, victim)
        service.until_started_again(victim)
        service.until_ready(2)

    streams: Streams = service.while_it_streams("pod killed", kill)
    after = max(0.0, streams.last_problem - when)
    lost = f"{streams}; it had {had} streams, and the last failed {after:.1f} s after it was killed"
    return {"server of one pod of two killed with -9": lost}


def published(page: Path | None) -> dict[str, str]:
    """The faults that the page has already."""
    table = page.read_text().partition("data-plane: begin")[2].partition("<!--")[0] if page else ""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0]: row[1] for row in rows[2:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose tables are replaced")
    parser.add_argument("--streams", type=int, default=200, help="streams at a time (default: 200)")
    parser.add_argument("--only", choices=("stops", "faults", "killed"), help="one table, or the last fault")
    parser.add_argument("--no-operator", type=float, default=600, metavar="SECONDS", help="default: 600")
    parser.add_argument("--no-server", type=float, default=60, metavar="SECONDS", help="default: 60")
    chosen = parser.parse_args()
    tool("up")
    tool("load", "operator", "vllm-cpu", "busybox")
    tool("install")
    kube = Kube(checkout.KUBECONFIG)
    columns: dict[str, dict[str, str]] = {}
    head = f"{chosen.streams} streams at a time"
    for arm in (OURS,) if chosen.only in ("faults", "killed") else (OURS, SLEEP, ALONE):
        with tempfile.TemporaryDirectory() as folder:
            service = Service(kube, arm, Path(folder), chosen.streams)
            found: dict[str, str] = {}
            if chosen.only == "killed":
                found = published(chosen.write) | killed(service)
            elif arm == OURS and chosen.only != "stops":
                found = breaks(service, chosen.no_operator, chosen.no_server)
            if found:
                publish([(head, "streams"), *found.items()], "data-plane", chosen.write)
            if chosen.only in (None, "stops"):
                columns[arm] = stops(service)
                rows = [(event, *(column[event] for column in columns.values())) for event in columns[OURS]]
                publish([(head, *columns), *rows], "stops", chosen.write)
            service.delete()


if __name__ == "__main__":
    main()
