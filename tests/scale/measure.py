"""What the measurements share: a server with an operator on it, load, and what the operator's process says."""

import asyncio
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders import a_runtime
from kube import Kube, eventually
from kubernetes.aio import client as official
from kubernetes.aio import config
from local_cluster.apiserver import ApiLevel
from mlservice.cluster.client import Client
from mlservice.cluster.resources import Resource
from rig import Operator, Project, install_crds

CONCURRENCY = 16
MUTATING = {"POST", "PUT", "PATCH", "DELETE"}
Row = tuple[str, str, str]
"""What was measured, the value, and what it is to be compared with."""


class Rig:
    """An API server, a client of it, and an operator that watches one of its namespaces."""

    def __init__(self, kube: Kube, client: Client, project: Project, operator: Operator) -> None:
        self.kube, self.client, self.project, self.operator = kube, client, project, operator

    def cpu_seconds(self) -> float:
        """CPU time that the operator's process has used."""
        fields = Path(f"/proc/{self.operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def rss_mib(self) -> float:
        """Resident memory of the operator's process."""
        status = Path(f"/proc/{self.operator.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def requests(self) -> Counter[tuple[str, str]]:
        """The operator's requests by verb and resource, those for its Lease left out."""
        found: Counter[tuple[str, str]] = Counter()
        for labels, count in _samples(self.operator.get("/metrics"), "mlservice_api_requests_total"):
            if labels["resource"] != "leases":
                found[labels["verb"], labels["resource"]] += int(count)
        return found

    def writes(self) -> int:
        """Mutating requests that the operator has made."""
        return sum(count for (verb, _), count in self.requests().items() if verb in MUTATING)

    def compared(self) -> int:
        """How many services were handled since the operator's start; 0 while it does not answer yet."""
        try:
            samples = _samples(self.operator.get("/metrics"), "mlservice_reconciles_total")
        except (OSError, IndexError):
            return 0
        return sum(int(count) for labels, count in samples if labels["outcome"] == "ok")

    def mutations(self) -> float:
        """Mutating requests that the API server has seen from anybody, those for Leases left out."""
        status, text = self.kube.api.request("GET", "/metrics")
        assert status == 200, text
        mutating = MUTATING | {"APPLY"}
        samples = _samples(text, "apiserver_request_total")
        return sum(n for labels, n in samples if labels["verb"] in mutating and labels["resource"] != "leases")

    async def count(self, resource: Resource, namespace: str = "") -> int:
        """How many objects there are; asked for in a way that costs the server next to nothing."""
        path = f"{resource.path(namespace or self.project.name)}?limit=1"
        found = await asyncio.to_thread(self.kube.api.get, path)
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))


def _samples(text: str, name: str) -> Iterable[tuple[dict[str, str], float]]:
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            yield dict(re.findall(r'(\w+)="([^"]*)"', line)), float(line.rsplit(" ", 1)[1])


@asynccontextmanager
async def rig(settings: dict[str, str] | None = None, **level: bool) -> AsyncIterator[Rig]:
    with ApiLevel(**level) as server, tempfile.TemporaryDirectory() as folder:
        kube = Kube(server.kubeconfig)
        install_crds(kube)
        project = Project(kube)
        project.create(a_runtime())
        configuration = official.Configuration()
        await config.load_kube_config(config_file=str(server.kubeconfig), client_configuration=configuration)
        client = Client(configuration)
        operator = Operator(kube, Path(folder) / "log", MLSERVICE_NAMESPACE=project.name, **(settings or {}))
        try:
            eventually("the operator leads", lambda: "Leading" in operator.text(), seconds=60)
            yield Rig(kube, client, project, operator)
        finally:
            operator.stop()
            await client.close()


async def seconds_for(calls: Iterable[Callable[[], Awaitable[object]]]) -> float:
    """Make all calls, CONCURRENCY at a time; how long it took."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(call: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(one(call) for call in calls))
    return time.perf_counter() - began


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 1800) -> None:
    """Look five times a second until it is so."""
    deadline = time.monotonic() + seconds
    while not await look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.2)


def percentile(values: list[float], at: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[at - 1]


def spread(values: list[float]) -> dict[str, Any]:
    """Percentiles in milliseconds, and of how many."""
    return {"p50": percentile(values, 50), "p99": percentile(values, 99), "of": len(values)}
