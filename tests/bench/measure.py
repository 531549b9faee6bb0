"""What the benchmarks share: a server with an operator on it, load, and what the operator's process tells of itself."""

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from builders import a_runtime
from kube import Kube, eventually
from kubernetes.aio import client as official
from kubernetes.aio import config
from local_cluster.apiserver import ApiLevel
from mlservice.cluster.client import Client
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

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric of the operator over its other labels."""
        lines = (line for line in self.operator.get("/metrics").splitlines() if line.startswith(name))
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(w in line for w in wanted))

    def writes(self) -> float:
        """Mutating requests that the operator has made, those for its Lease left out."""
        requests = [
            (float(line.rsplit(" ", 1)[1]), dict(re.findall(r'(\w+)="(\w*)"', line)))
            for line in self.operator.get("/metrics").splitlines()
            if line.startswith("mlservice_api_requests_total{")
        ]
        return sum(n for n, labels in requests if labels["verb"] in MUTATING and labels["resource"] != "leases")

    def mutations(self) -> float:
        """Mutating requests that the API server has seen from anybody, those for Leases left out."""
        status, text = self.kube.api.request("GET", "/metrics")
        assert status == 200, text
        requests = [
            (float(line.rsplit(" ", 1)[1]), dict(re.findall(r'(\w+)="([^"]*)"', line)))
            for line in text.splitlines()
            if line.startswith("apiserver_request_total{")
        ]
        mutating = MUTATING | {"APPLY"}
        return sum(n for n, labels in requests if labels["verb"] in mutating and labels["resource"] != "leases")


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


async def until(look: Callable[[], bool], seconds: float = 600) -> None:
    """Look ten times a second until it is so."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.1)


def percentile(values: list[float], at: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[at - 1]
