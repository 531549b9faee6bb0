"""Rules that hold at every moment, looked at from outside while everything else is tested."""

import contextlib
import http.client
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from kube import Kube, Object, condition
from mlservice.api.meta import LABEL_MANAGED_BY, LABEL_NAME, LABEL_RELEASE, MANAGER
from mlservice.cluster.resources import DEPLOYMENT, MLSERVICE, REVISION, SERVICE, Resource
from rig import Operator

LAG_SECONDS = 20.0
"""How old what the operator knows may be, also while its watches are late; a half-open one may be older."""

WARM = 3
"""Looks at a process before it counts as warm."""

CALM_SECONDS = 10.0
"""Until the process must have let go of what it had to do."""

MORE_SOCKETS, MORE_TASKS, MORE_MEGABYTES = 12, 25, 24
"""What a warm process may have more than when it was warm: connections that are kept, kopf's workers, the allocator."""


@dataclass(frozen=True)
class Sample:
    sockets: int
    tasks: int
    megabytes: float


class Monitor:
    """Watches services and children of all namespaces; what is against a rule is kept until asked for."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.samples: dict[int, list[Sample]] = defaultdict(list)
        self._broken: list[str] = []
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._generations: dict[str, int] = {}
        self._ready: set[str] = set()
        self._served: dict[tuple[str, str, str], float] = {}
        self._deployments: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._claims: list[tuple[float, str, tuple[str, str, str]]] = []
        self._threads = [
            threading.Thread(target=self._watch, args=[resource], daemon=True)
            for resource in (MLSERVICE, DEPLOYMENT, SERVICE, REVISION)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()

    def broken(self) -> list[str]:
        """What was against a rule since the last call."""
        with self._lock:
            due = [claim for claim in self._claims if time.monotonic() - claim[0] > 1]
            self._claims = [claim for claim in self._claims if claim not in due]
            for at, service, deployment in due:  # a second later, since each kind has a watch of its own here
                if at - self._served.get(deployment, float("-inf")) > LAG_SECONDS:
                    self._broken.append(f"{service} said Ready while {'/'.join(deployment)} had no available pod")
            found, self._broken = self._broken, []
        blind = [f"{thread.name} ended" for thread in self._threads if not thread.is_alive()]
        return found + blind + self._growth()

    def sample(self, operator: Operator) -> None:
        """Look at the operator's process, again while it has grown: kopf keeps a task of each object for a second."""
        deadline = time.monotonic() + CALM_SECONDS
        while operator.process.poll() is None:
            self.samples[operator.process.pid].append(self._sample(operator))
            if not self._growth() or time.monotonic() > deadline:
                return
            self.samples[operator.process.pid].pop()
            time.sleep(1)

    def _sample(self, operator: Operator) -> Sample:
        pid = operator.process.pid
        files = [link for link in Path(f"/proc/{pid}/fd").iterdir() if _target(link).startswith("socket:")]
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        tasks = next(line for line in operator.get("/metrics").splitlines() if line.startswith("mlservice_tasks "))
        return Sample(len(files), int(float(tasks.split()[1])), resident / 1024)

    def _growth(self) -> list[str]:
        """Processes that have grown since they were warm."""
        grown = []
        for pid, samples in self.samples.items():
            if len(samples) > WARM:
                warm, now = samples[WARM - 1], samples[-1]
                more = (now.sockets - warm.sockets, now.tasks - warm.tasks, now.megabytes - warm.megabytes)
                if any(a > b for a, b in zip(more, (MORE_SOCKETS, MORE_TASKS, MORE_MEGABYTES), strict=True)):
                    grown.append(f"operator {pid} grew from {warm} to {now}")
        return grown

    def _watch(self, resource: Resource) -> None:
        """List and watch, again and again: the API server may be down at times."""
        while not self._ending.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
                status, text = self.kube.api.request("GET", resource.path())
                if status == 200:
                    listed = json.loads(text)
                    if resource is DEPLOYMENT:  # those that went while nobody watched
                        self._deployments.clear()
                    for obj in listed["items"]:
                        self._see(resource, "ADDED", obj)
                    self._follow(resource, listed["metadata"]["resourceVersion"])
            time.sleep(0.2)

    def _follow(self, resource: Resource, version: str) -> None:
        connection = http.client.HTTPSConnection(self.kube.api.host, context=self.kube.api.tls, timeout=90)
        try:
            connection.request(
                "GET", f"{resource.path()}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            )
            for line in connection.getresponse():
                event = json.loads(line)
                if event["type"] == "ERROR" or self._ending.is_set():
                    return
                if event["type"] != "BOOKMARK":
                    self._see(resource, event["type"], event["object"])
        finally:
            connection.close()

    def _see(self, resource: Resource, what: str, obj: Object) -> None:
        with self._lock:
            if resource is MLSERVICE:
                self._service(what, obj)
            elif obj["metadata"].get("labels", {}).get(LABEL_MANAGED_BY) == MANAGER:
                self._child(resource, what, obj)

    def _service(self, what: str, service: Object) -> None:
        """observedGeneration is honest, and Ready comes only with a pod that serves."""
        metadata, status = service["metadata"], service.get("status", {})
        uid, where = metadata["uid"], f"MLService {metadata['namespace']}/{metadata['name']}"
        observed, generation = status.get("observedGeneration", 0), metadata["generation"]
        if observed > generation or observed < self._generations.get(uid, 0):
            before = self._generations.get(uid, 0)
            self._broken.append(f"{where}: observedGeneration {observed} of {generation}, before {before}")
        self._generations[uid] = observed
        if any(c["observedGeneration"] > observed for c in status.get("conditions", [])):
            self._broken.append(f"{where}: a condition is newer than observedGeneration")
        readable = condition(service, "Ready").get("reason") != "InvalidSpec"
        if observed == generation and readable and condition(service, "Paused"):
            paused = service["spec"].get("runMode") == "paused"
            if (condition(service, "Paused")["status"] == "True") != paused:
                self._broken.append(f"{where}: Paused is not what spec.runMode says")
            missing = {r["name"] for r in service["spec"]["releases"]} - {r["name"] for r in status["releases"]}
            if missing:
                self._broken.append(f"{where}: the status knows nothing of {missing}")
        ready = condition(service, "Ready").get("status") == "True"
        if ready and uid not in self._ready and what != "DELETED":
            release = (metadata["namespace"], metadata["name"], status["defaultRelease"])
            self._claims.append((time.monotonic(), where, release))
        (self._ready.add if ready else self._ready.discard)(uid)

    def _child(self, resource: Resource, what: str, child: Object) -> None:
        """One controller each, and one Deployment for a release of a service."""
        metadata = child["metadata"]
        where = f"{resource.kind} {metadata['namespace']}/{metadata['name']}"
        owners = [owner for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
        if len(owners) != 1 and what != "DELETED":
            self._broken.append(f"{where} has {len(owners)} controllers")
        if resource is not DEPLOYMENT:
            return
        release = metadata["namespace"], metadata["labels"][LABEL_NAME], metadata["labels"][LABEL_RELEASE]
        if child.get("status", {}).get("availableReplicas", 0) > 0:
            self._served[release] = float("inf")
        elif self._served.get(release) == float("inf"):
            self._served[release] = time.monotonic()
        known = self._deployments[owners[0]["uid"] if owners else "", release[2]]
        if what == "DELETED":
            known.pop(metadata["uid"], None)
            if self._served.get(release) == float("inf"):
                self._served[release] = time.monotonic()
        else:
            known[metadata["uid"]] = where
        if len(known) > 1:
            self._broken.append(f"two Deployments for release {release}: {sorted(known.values())}")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
