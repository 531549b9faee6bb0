"""Services with pods: the real controllers and scheduler, and kwok's nodes that say the pods run."""

import time
from functools import partial

from builders import a_service
from kube import condition, eventually
from local_cluster.kwok import node
from mlservice.cluster.resources import DEPLOYMENT, MLSERVICE
from scale.follow import Follower, following
from scale.measure import rig, seconds_for, spread, until
from scale.steps import Figures, names, quiet, restart

PODS_OF_A_NODE = 500
"""What `local_cluster.kwok.node` gives a node room for."""


async def with_pods(services: int) -> Figures:
    """A burst of services up to Ready, with a pod each; the pace is that of Kubernetes' own controllers."""
    async with rig(controllers=True, scheduler=True, kwok=True) as r:
        for i in range(2 + services // PODS_OF_A_NODE):
            big = node(f"n{i}", cpu=4096, memory="64Ti", gpus=4096, taint=False)
            r.kube.api.apply(f"/api/v1/nodes/n{i}", big)
        account = f"/api/v1/namespaces/{r.project.name}/serviceaccounts/default"
        eventually("default ServiceAccount", lambda: r.kube.api.get(account))
        cpu, writes, base = r.cpu_seconds(), r.writes(), r.rss_mib()
        async with following(r) as follower:
            began = time.perf_counter()
            manifests = [a_service(name).namespaced(r.project.name) for name in names(0, services)]
            await seconds_for(partial(r.client.create, MLSERVICE, manifest) for manifest in manifests)
            await follower.until(lambda: len(follower.ready) >= services, seconds=1800)
            took = time.perf_counter() - began
            lag = _available_to_ready(follower)
            timeline = _timeline(follower, began)
        await until(partial(quiet, r))
        figures = {
            "services": services,
            "seconds": took,
            "available_to_ready": spread(lag),
            "cpu_ms_per_service": 1000 * (r.cpu_seconds() - cpu) / services,
            "writes_per_service": (r.writes() - writes) / services,
            "rss": r.rss_mib(),
            "base_rss": base,
            "timeline": timeline,
        }
        return figures | {"restart": await restart(r, services)}


def _available_to_ready(follower: Follower) -> list[float]:
    """Milliseconds from the announcement of each Deployment's available pod to that of its service's readiness."""
    available: dict[str, float] = {}
    ready: dict[str, float] = {}
    for at, kind, obj in follower.news:
        name = obj["metadata"]["name"]
        if kind == DEPLOYMENT.kind and obj.get("status", {}).get("availableReplicas"):
            available.setdefault(name.removesuffix("-predict-v1"), at)
        elif kind == MLSERVICE.kind and condition(obj, "Ready").get("status") == "True":
            ready.setdefault(name, at)
    return [1000 * max(0.0, at - available[name]) for name, at in ready.items()]


def _timeline(follower: Follower, began: float) -> dict[str, list[float]]:
    """When services were created, and when they were Ready: seconds, of a hundred of them."""
    created: dict[str, float] = {}
    ready: dict[str, float] = {}
    for at, kind, obj in follower.news:
        if kind == MLSERVICE.kind:
            created.setdefault(obj["metadata"]["name"], at - began)
            if condition(obj, "Ready").get("status") == "True":
                ready.setdefault(obj["metadata"]["name"], at - began)
    return {"created": _some(sorted(created.values())), "ready": _some(sorted(ready.values()))}


def _some(values: list[float]) -> list[float]:
    return values[:: max(1, len(values) // 100)]
