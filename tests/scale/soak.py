"""Hours of the same work: services come, change, lose their pods and go, and the operator's process must not grow."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from statistics import linear_regression

from builders import a_service
from kube import eventually
from local_cluster.kwok import node
from mlservice.cluster.resources import MLSERVICE, POD
from scale import steps
from scale.measure import Rig, rig, until

SAMPLE_SECONDS = 10.0
WARM = 0.25
"""The part of the time in which it may still grow: caches fill."""


async def soak(services: int, seconds: float, pace: float = 0.1) -> steps.Figures:
    """Do something to one of so many services every `pace` seconds, where the machine can; the process is looked at
    every ten.
    """
    async with rig(controllers=True, scheduler=True, kwok=True) as r:
        r.kube.api.apply("/api/v1/nodes/n0", node("n0", cpu=4096, memory="64Ti", gpus=4096, taint=False))
        account = f"/api/v1/namespaces/{r.project.name}/serviceaccounts/default"
        eventually("default ServiceAccount", lambda: r.kube.api.get(account))
        names = steps.names(0, services)
        for name in names:
            await r.client.create(MLSERVICE, a_service(name).namespaced(r.project.name))
        chance, done, cpu = random.Random(0), Counter[str](), r.cpu_seconds()
        samples: list[tuple[float, float, int, int]] = []
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            if not samples or now - samples[-1][0] >= SAMPLE_SECONDS:
                samples.append((now, r.rss_mib(), _files(r), _tasks(r)))
            done[await _something(r, chance, chance.choice(names))] += 1
            await asyncio.sleep(max(0.0, began + done.total() * pace - time.monotonic()))
        await asyncio.gather(*(_made(r, name) for name in names))

        async def all_ready() -> bool:
            return not await steps.not_ready(r)

        await until(all_ready)
        samples.append((time.monotonic() - began, r.rss_mib(), _files(r), _tasks(r)))
        log = r.operator.text()
        return {
            "services": services,
            "seconds": seconds,
            "done": dict(done),
            "samples": samples,
            "cpu": (r.cpu_seconds() - cpu) / seconds,
            "complaints": [line for line in log.splitlines() if " WARNING " in line or " ERROR " in line],
        }


async def _something(r: Rig, chance: random.Random, name: str) -> str:
    """What users and nodes do: most often a change, now and then a death."""
    what = chance.choices(("changed", "pod lost", "deleted"), (4, 2, 1))[0]
    if not await _made(r, name):
        return "created"
    if what == "changed":
        releases = a_service(name).with_parameters(MODEL_NAME=f"m{chance.random()}").manifest["spec"]["releases"]
        await r.client.merge(MLSERVICE, r.project.name, name, {"spec": {"releases": releases}}, "user")
    elif what == "deleted":
        r.project.delete("MLService", name)
    else:
        label = f"mlservice.tensorstack.dev/name={name}"
        r.kube.api.request("DELETE", f"{POD.path(r.project.name)}?labelSelector={label}")
    return what


async def _made(r: Rig, name: str) -> bool:
    """Whether the service was there; where it is not it is created."""
    if await r.client.get(MLSERVICE, r.project.name, name):
        return True
    await r.client.create(MLSERVICE, a_service(name).namespaced(r.project.name))
    return False


def slope(found: steps.Figures) -> float:
    """MiB an hour, by least squares over the time after it was warm."""
    warm = [(at, rss) for at, rss, _, _ in found["samples"] if at >= WARM * found["seconds"]]
    return 3600 * linear_regression(*zip(*warm, strict=True)).slope


def _files(r: Rig) -> int:
    return len(list(Path(f"/proc/{r.operator.process.pid}/fd").iterdir()))


def _tasks(r: Rig) -> int:
    lines = r.operator.get("/metrics").splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("mlservice_tasks "))))
