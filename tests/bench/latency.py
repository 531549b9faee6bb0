"""MLService created -> pod created, with the real controllers, against a bare Deployment, one at a time, in turns."""

import asyncio
import time
from collections.abc import Awaitable

from builders import a_service, a_world, planned
from local_cluster.kwok import node
from mlservice.api.meta import Object
from mlservice.cluster.client import Client
from mlservice.cluster.resources import DEPLOYMENT, MLSERVICE, POD
from scale.measure import Row, percentile, rig

SAMPLES = 60
WARM_UP = 5


async def rows() -> list[Row]:
    print(f"Measuring the latency of {SAMPLES} services, one at a time ...", flush=True)
    async with rig(controllers=True, scheduler=True, kwok=True) as r:
        r.kube.api.apply("/api/v1/nodes/big", node("big", cpu=4096, memory="64Ti", gpus=4096, taint=False))
        arrivals = Arrivals(r.client, r.project.name)
        ours, bare = [], []
        for i in range(WARM_UP + SAMPLES):
            service = a_service(f"s{i}").namespaced(r.project.name)
            ours.append(await arrivals.after(r.client.create(MLSERVICE, service), f"s{i}-predict-v1-"))
            deployment = bare_deployment(f"d{i}", r.project.name)
            bare.append(await arrivals.after(r.client.create(DEPLOYMENT, deployment), f"d{i}-"))
        arrivals.stop()
    del ours[:WARM_UP], bare[:WARM_UP]
    return [
        (
            f"MLService created → pod created, p{at}",
            f"{percentile(ours, at):.0f} ms",
            f"Deployment created → pod created: {percentile(bare, at):.0f} ms "
            f"({percentile(ours, at) / percentile(bare, at):.1f} ×)",
        )
        for at in (50, 99)
    ]


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


def bare_deployment(name: str, namespace: str) -> Object:
    deployment = next(child for child in planned(a_world()).children if child["kind"] == "Deployment")
    template = {**deployment["spec"]["template"], "metadata": {"labels": {"app": name}}}
    spec = {**deployment["spec"], "selector": {"matchLabels": {"app": name}}, "template": template}
    return {**deployment, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
