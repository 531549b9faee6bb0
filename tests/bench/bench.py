"""Measure the operator against the API server it works on, in the same run; `--write FILE` puts the table there."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from kubernetes.aio import client as official
from kubernetes.aio import config
from local_cluster.apiserver import ApiLevel
from local_cluster.kwok import node
from mlservice.api.meta import Object
from mlservice.cluster.client import Client
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, MLSERVICE, POD

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders import a_runtime, a_service, a_world, planned
from kube import Kube, eventually
from rig import Operator, Project, install_crds

MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
SAMPLES = 60
BURST = 300
CONCURRENCY = 16
Row = tuple[str, str, str]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    target = parser.parse_args().write
    rows = [*await latency(), *await burst()]
    table = "\n".join(["| figure | value | against |", "| --- | --- | --- |", *(f"| {' | '.join(r)} |" for r in rows)])
    print(f"\n{table}")
    if target:
        before, _, rest = target.read_text().partition(MARKS[0])
        target.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")
        print(f"\nWrote {target}. Next: git diff {target}")


async def latency() -> list[Row]:
    """MLService created -> pod created, and bare Deployment created -> pod created, one at a time, in turns."""
    print(f"Measuring the latency of {SAMPLES} services, one at a time ...", flush=True)
    async with rig(controllers=True, scheduler=True, kwok=True) as (client, kube, project, _):
        kube.api.apply("/api/v1/nodes/big", node("big", cpu=4096, memory="64Ti", gpus=4096, taint=False))
        arrivals = Arrivals(client, project.name)
        ours, bare = [], []
        for i in range(SAMPLES):
            service = a_service(f"s{i}").namespaced(project.name)
            ours.append(await arrivals.after(client.create(MLSERVICE, service), f"s{i}-predict-v1-"))
            deployment = bare_deployment(f"d{i}", project.name)
            bare.append(await arrivals.after(client.create(DEPLOYMENT, deployment), f"d{i}-"))
        arrivals.stop()
    return [
        (
            f"MLService created → pod created, {name}",
            f"{percentile(ours, at):.0f} ms",
            f"Deployment created → pod created: {percentile(bare, at):.0f} ms "
            f"({percentile(ours, at) / percentile(bare, at):.1f} ×)",
        )
        for name, at in (("p50", 50), ("p99", 99))
    ]


async def burst() -> list[Row]:
    """Services per second of a burst, and of the same writes sent without an operator."""
    print(f"Measuring a burst of {BURST} services ...", flush=True)
    async with rig() as (client, kube, project, operator):
        elsewhere = Project(kube).name
        ceiling = await rate(lambda name: write_without_operator(client, elsewhere, name))
        cpu = cpu_seconds(operator)
        began = time.perf_counter()
        await rate(lambda name: client.create(MLSERVICE, a_service(name).namespaced(project.name)))
        while await without_status(client, project.name):  # noqa: ASYNC110  the state to wait for is the server's
            await asyncio.sleep(0.1)
        reached, spent = BURST / (time.perf_counter() - began), cpu_seconds(operator) - cpu
        memory = rss_mib(operator)
    return [
        (
            f"burst of {BURST} MLServices, create → status",
            f"{reached:.0f} services/s",
            f"the same writes without an operator: {ceiling:.0f} services/s ({100 * reached / ceiling:.0f} %)",
        ),
        ("operator's CPU time per new service", f"{1000 * spent / BURST:.1f} ms", "three children, status, Event"),
        (f"operator's memory with {BURST} services", f"{memory:.0f} MiB", "resident set"),
    ]


@asynccontextmanager
async def rig(**level: bool) -> AsyncIterator[tuple[Client, Kube, Project, Operator]]:
    """An API server, and an operator that watches one namespace of it."""
    with ApiLevel(**level) as server, tempfile.TemporaryDirectory() as folder:
        kube = Kube(server.kubeconfig)
        install_crds(kube)
        project = Project(kube)
        project.create(a_runtime())
        configuration = official.Configuration()
        await config.load_kube_config(config_file=str(server.kubeconfig), client_configuration=configuration)
        client = Client(configuration)
        operator = Operator(kube, Path(folder) / "log", MLSERVICE_NAMESPACE=project.name)
        try:
            eventually("the operator leads", lambda: "Leading" in operator.text(), seconds=60)
            yield client, kube, project, operator
        finally:
            operator.stop()
            await client.close()


class Arrivals:
    """When each pod was announced by the API server, from one watch."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.seen: dict[str, float] = {}
        self.arrived = asyncio.Event()
        self.task = asyncio.create_task(self._watch(client, namespace))

    async def after(self, creation: Awaitable[Object], prefix: str) -> float:
        """Milliseconds from just before the creation until a pod of that prefix was announced."""
        began = time.perf_counter()
        await creation
        while not (at := next((t for name, t in self.seen.items() if name.startswith(prefix)), None)):
            self.arrived.clear()
            await self.arrived.wait()
        return 1000 * (at - began)

    def stop(self) -> None:
        self.task.cancel()

    async def _watch(self, client: Client, namespace: str) -> None:
        async for event in client.watch(POD, "0", namespace, "", seconds=600, silence=600):
            if event["type"] == "ADDED":
                self.seen[event["object"]["metadata"]["name"]] = time.perf_counter()
                self.arrived.set()


async def rate(act: Callable[[str], Awaitable[object]]) -> float:
    """Calls per second of BURST calls, CONCURRENCY at a time."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(name: str) -> None:
        async with gate:
            await act(name)

    began = time.perf_counter()
    await asyncio.gather(*(one(f"b{i}") for i in range(BURST)))
    return BURST / (time.perf_counter() - began)


async def write_without_operator(client: Client, namespace: str, name: str) -> None:
    """The writes of one service: itself, its children, its status."""
    result = planned(a_world(a_service(name)))
    live = await client.create(MLSERVICE, a_service(name).namespaced(namespace))
    for child in result.children:
        metadata = {**child["metadata"], "namespace": namespace, "ownerReferences": []}
        await client.apply(CHILDREN[child["kind"]], {**child, "metadata": metadata})
    body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "status": result.status}
    await client.apply(MLSERVICE, body | {"metadata": {"name": name, "namespace": namespace}}, "status")


async def without_status(client: Client, namespace: str) -> int:
    return sum([sum("status" not in s for s in page["items"]) async for page in client.pages(MLSERVICE, namespace)])


def bare_deployment(name: str, namespace: str) -> Object:
    deployment = next(child for child in planned(a_world()).children if child["kind"] == "Deployment")
    template = {**deployment["spec"]["template"], "metadata": {"labels": {"app": name}}}
    spec = {**deployment["spec"], "selector": {"matchLabels": {"app": name}}, "template": template}
    return {**deployment, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def cpu_seconds(operator: Operator) -> float:
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rss_mib(operator: Operator) -> float:
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def percentile(values: list[float], at: int) -> float:
    return statistics.quantiles(values[2:], n=100)[at - 1]


if __name__ == "__main__":
    asyncio.run(main())
