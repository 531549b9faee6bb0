"""What clients see of a rollout, a smaller size and a deleted pod: our runtime with its drain, and plain `vllm serve`.

On the local cluster, through its Gateway, with streams of random length all the time. The servers are the same vLLM
with the same model, one after the other; only what stands in their runtime differs.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from asking import publish
from kube import Kube, Object
from live import QUICKSTART, Live, tool
from local_cluster import checkout
from local_cluster.report import Stopwatch
from streams import Streams

NAME = "tiny-llama"
LABEL = f"mlservice.tensorstack.dev/name={NAME}"
OURS = "our runtime, with drain"
DEFAULTS = "plain `vllm serve`, with the operator's preStop sleep"
ALONE = "plain `vllm serve`"
WATCH = Stopwatch()


def runtime(arm: str) -> Object:
    """The quick start's runtime, or the same vLLM as it is run without us: no plugin, its own health, no drain."""
    made: Object = yaml.safe_load((QUICKSTART / "mlservice-runtime.yaml").read_text())
    if arm == OURS:
        return made
    spec = made["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    spec["terminationGracePeriodSeconds"] = 30  # Kubernetes' default
    ours = ("--shutdown-timeout", "--allowed-origins")
    server["args"] = [arg for arg in server["args"] if not arg.startswith(ours)]
    server["env"].append({"name": "VLLM_PLUGINS", "value": ""})
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        server[probe]["httpGet"]["path"] = "/health"
    del server["lifecycle"]
    if arm == ALONE:  # the operator gives a sleep to whoever has no hook
        server["lifecycle"] = {"preStop": {"exec": {"command": ["true"]}}}
    return made


class Arm:
    """A namespace where one of the servers runs."""

    def __init__(self, kube: Kube, arm: str, folder: Path, streams: int) -> None:
        self.live = Live(kube, folder)
        self.arm, self.streams = arm, streams
        self.live.tiny_model()
        self.live.create(runtime(arm))
        self.service: Object = yaml.safe_load((QUICKSTART / "mlservice.yaml").read_text())
        self.sized(2)
        self.live.create(deepcopy(self.service))
        self.live.sh(f"kubectl wait --for=jsonpath='{{.status.address.url}}' mlservice/{NAME} --timeout=60s")
        self.until_ready(2)

    def sized(self, count: int) -> None:
        self.service["spec"]["releases"][0]["predictor"] |= {"minReplicas": count, "maxReplicas": count}

    def apply(self) -> None:
        self.live.patch("MLService", NAME, {"spec": self.service["spec"]})

    def until_ready(self, count: int) -> None:
        deployment = f"deployment/{NAME}-predict-v1"
        self.live.sh(
            f"kubectl wait --for=jsonpath='{{.status.readyReplicas}}'={count} {deployment} --timeout=900s", 910
        )
        self.live.sh(f"kubectl wait --for=condition=Ready mlservice/{NAME} --timeout=60s")

    def pods(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.live.pods(NAME))

    def under_load(self, what: str, happen: Callable[[], None], leaving: int) -> str:
        """Let something happen to the pods under load, until as many of them as were to leave are gone."""
        before = self.pods()
        with Streams(self.live.url(NAME), NAME, self.streams) as streams:
            happen()
            while len(gone := [pod for pod in before if pod not in self.pods()]) < leaving:
                names = " ".join(pod for pod in before if pod not in gone)
                self.live.sh(f"kubectl wait --for=delete pod {names} --timeout=5s || true", 60)
        WATCH.say(f"{self.arm}, {what}: {streams}")
        for kind in ("refused", "cut"):
            for problem, count in getattr(streams, kind).most_common(3):
                print(f"    {kind} {count}: {problem}", flush=True)
        return str(streams)

    def scale_down(self) -> None:
        self.sized(1)
        self.apply()

    def roll(self) -> None:
        self.service["spec"]["releases"][0]["predictor"]["model"]["parameters"]["MAX_MODEL_LEN"] = "1000"
        self.apply()

    def delete(self) -> None:
        self.live.delete("Pod", self.pods()[0])

    def measure(self) -> dict[str, str]:
        found = {"one pod of two deleted": self.under_load("pod deleted", self.delete, 1)}
        self.until_ready(2)
        found["scaled from two pods to one"] = self.under_load("scaled down", self.scale_down, 1)
        found["the one pod replaced by a rollout"] = self.under_load("rolled out", self.roll, 1)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    parser.add_argument("--streams", type=int, default=200, help="streams at a time (default: 200)")
    chosen = parser.parse_args()
    tool("up")
    tool("load", "operator", "vllm-cpu", "busybox")
    tool("install")
    kube = Kube(checkout.KUBECONFIG)
    columns: dict[str, dict[str, str]] = {}
    for arm in (OURS, DEFAULTS, ALONE):
        WATCH.say(f"{arm}: starting two pods")
        with tempfile.TemporaryDirectory() as folder:
            made = Arm(kube, arm, Path(folder), chosen.streams)
            columns[arm] = made.measure()
            made.live.sh(
                f"kubectl delete mlservice {NAME}; kubectl wait --for=delete pod -l {LABEL} --timeout=200s", 260
            )
            kube.api.request("DELETE", f"/api/v1/namespaces/{made.live.name}")
    head = (f"{chosen.streams} streams at a time", *columns)
    rows = [(event, *(column[event] for column in columns.values())) for event in columns[OURS]]
    publish([head, *rows], "bench-drain", chosen.write)


if __name__ == "__main__":
    main()
