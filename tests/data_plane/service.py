"""An MLService of vLLM pods on the local cluster, with streams through its URL while something happens to it."""

import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import yaml
from kube import Kube, Object
from live import QUICKSTART, Live
from local_cluster.report import Stopwatch
from streams import Streams

NAME = "tiny-llama"
DEPLOYMENT = f"{NAME}-predict-v1"
LABEL = f"mlservice.tensorstack.dev/name={NAME}"
OURS = "our runtime, with drain"
SLEEP = "plain `vllm serve`, with the operator's preStop sleep"
ALONE = "plain `vllm serve`"
WATCH = Stopwatch()
LEAVE_SECONDS = 900


def runtime(arm: str) -> Object:
    """The quick start's runtime, or the same vLLM as it is run without us: no plugin, its own health, no drain."""
    made: Object = yaml.safe_load((QUICKSTART / "mlservice-runtime.yaml").read_text())
    if arm == OURS:
        return made
    spec = made["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    server["command"] = ["vllm", "serve"]
    spec["terminationGracePeriodSeconds"] = 30  # Kubernetes' default
    ours = ("--shutdown-timeout", "--allowed-origins")
    server["args"] = [arg for arg in server["args"] if not arg.startswith(ours)]
    # What our image sets otherwise: no plugin, and vLLM's own default.
    server["env"] += [{"name": "VLLM_PLUGINS", "value": ""}, {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "5"}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        server[probe]["httpGet"] = {"path": "/health", "port": "http"}
    del server["lifecycle"]
    if arm == ALONE:  # the operator gives a sleep to whoever has no hook
        server["lifecycle"] = {"preStop": {"exec": {"command": ["true"]}}}
    return made


class Service:
    """Two pods of one of the arms, in a namespace of their own."""

    def __init__(self, kube: Kube, arm: str, folder: Path, streams: int) -> None:
        WATCH.say(f"{arm}: starting two pods")
        self.live = Live(kube, folder)
        self.arm, self.streams = arm, streams
        self.live.tiny_model()
        self.live.create(runtime(arm))
        self.manifest: Object = yaml.safe_load((QUICKSTART / "mlservice.yaml").read_text())
        self._size(2)
        self.live.create(deepcopy(self.manifest))
        self.live.sh(f"kubectl wait --for=jsonpath='{{.status.address.url}}' mlservice/{NAME} --timeout=60s")
        self.until_ready(2)

    def _size(self, count: int) -> None:
        self.manifest["spec"]["releases"][0]["predictor"] |= {"minReplicas": count, "maxReplicas": count}

    def _apply(self) -> None:
        self.live.patch("MLService", NAME, {"spec": self.manifest["spec"]})

    def scale(self, count: int) -> None:
        self._size(count)
        self._apply()

    def change(self) -> None:
        """Change a parameter, which replaces the pods."""
        self.manifest["spec"]["releases"][0]["predictor"]["model"]["parameters"]["MAX_MODEL_LEN"] = "1000"
        self._apply()

    def until_ready(self, count: int) -> None:
        ready = f"--for=jsonpath='{{.status.readyReplicas}}'={count}"
        self.live.sh(f"kubectl wait {ready} deployment/{DEPLOYMENT} --timeout=900s", 910)
        self.live.sh(f"kubectl wait --for=condition=Ready mlservice/{NAME} --timeout=60s")

    def until_started_again(self, pod: str) -> None:
        """Wait until the kubelet has noticed that a server died, and the new one is ready."""
        again = "--for=jsonpath='{.status.containerStatuses[0].restartCount}'=1"
        self.live.sh(f"kubectl wait {again} pod/{pod} --timeout=120s", 130)
        self.live.sh(f"kubectl wait --for=condition=Ready pod/{pod} --timeout=300s", 310)

    def pods(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.live.pods(NAME))

    def running(self, pod: str) -> int:
        """Requests in a pod, as vLLM counts them."""
        path = f"/api/v1/namespaces/{self.live.name}/pods/{pod}:8000/proxy/metrics"
        _, text = self.live.kube.api.request("GET", path)
        found = Counter[str]()
        for line in text.splitlines():
            name, _, value = line.partition("{")
            if name in ("vllm:num_requests_running", "vllm:num_requests_waiting"):
                found[name] += int(float(value.rpartition(" ")[2]))
        return found.total()

    def leave(self, begin: Callable[[], object], count: int) -> None:
        """Begin something, and wait until `count` of the pods that there were are gone."""
        before, until = self.pods(), time.monotonic() + LEAVE_SECONDS
        begin()
        while len([pod for pod in before if pod not in self.pods()]) < count:
            assert time.monotonic() < until, f"{self.arm}: {LEAVE_SECONDS} s later the old pods are still there"
            names = " ".join(pod for pod in self.pods() if pod in before)
            self.live.sh(f"kubectl wait --for=delete pod {names} --timeout=5s || true", 60)

    def while_it_streams(self, what: str, happen: Callable[[], object]) -> Streams:
        """Keep streams up through the URL while something happens, and say what became of them."""
        with Streams(self.live.url(NAME), NAME, self.streams) as streams:
            happen()
        WATCH.say(f"{self.arm}, {what}: {streams}")
        for kind in ("refused", "cut"):
            for problem, times in getattr(streams, kind).most_common(3):
                print(f"    {kind} {times}: {problem}", flush=True)
        return streams

    def delete(self) -> None:
        self.live.sh(f"kubectl delete mlservice {NAME}; kubectl wait --for=delete pod -l {LABEL} --timeout=200s", 260)
        self.live.kube.api.request("DELETE", f"/api/v1/namespaces/{self.live.name}")
