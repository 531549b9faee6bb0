"""A burst of services up to Ready, the same writes without an operator, a restart, and rest; no other controllers."""

import asyncio
import json
import time
from functools import partial

from builders import a_service, a_world, planned
from measure import Rig, Row, percentile, rig, seconds_for, until
from mlservice.api.meta import Object
from mlservice.cluster.client import Client
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, EVENT, MLSERVICE
from rig import Project

READY_SAMPLES = 200
AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
VERIFY_SECONDS = 60


async def rows(services: int, rest_seconds: int) -> list[Row]:
    async with rig({"MLSERVICE_VERIFY_SECONDS": str(VERIFY_SECONDS)}) as r:
        return [
            *await burst(r, services),
            *await readiness(r),
            *await restart(r, services),
            *await rest(r, rest_seconds),
        ]


async def burst(r: Rig, services: int) -> list[Row]:
    """Created -> status, against the same writes without an operator, half of them before and half after."""
    print(f"Measuring a burst of {services} services ...", flush=True)
    elsewhere, half = Project(r.kube).name, services // 2
    without = await seconds_for(partial(write, r.client, elsewhere, f"a{i}") for i in range(half))
    cpu, writes, began = r.cpu_seconds(), r.writes(), time.perf_counter()
    manifests = [a_service(f"b{i}").namespaced(r.project.name) for i in range(services)]
    await seconds_for(partial(r.client.create, MLSERVICE, manifest) for manifest in manifests)
    await until(lambda: patched(r) >= services and told(r) >= services)
    took = time.perf_counter() - began
    without += await seconds_for(partial(write, r.client, elsewhere, f"z{i}") for i in range(services - half))
    paths = [DEPLOYMENT.path(r.project.name, f"b{i}-predict-v1", "status") for i in range(services)]
    await seconds_for(partial(make_available, r, path) for path in paths)
    await until(lambda: patched(r) >= 2 * services and told(r) >= 2 * services)
    cpu, writes = r.cpu_seconds() - cpu, r.writes() - writes
    return [
        (
            f"burst of {services} MLServices, created → status written",
            f"{services / took:.0f} services/s",
            f"the same writes without an operator: {services / without:.0f} services/s ({without / took:.2f})",
        ),
        ("operator's CPU time per write, watch events included", f"{1000 * cpu / writes:.2f} ms", "created → Ready"),
        (
            "operator's writes per service, created → Ready",
            f"{writes / services:.2f}",
            "ControllerRevision, Deployment, two Services, two statuses, two Events",
        ),
        (f"operator's memory with {services} services", f"{r.rss_mib():.0f} MiB", "resident set"),
    ]


async def write(client: Client, namespace: str, name: str) -> None:
    """The writes of one service up to its first status: itself, its children, its status, its Event."""
    result = planned(a_world(a_service(name)))
    live = await client.create(MLSERVICE, a_service(name).namespaced(namespace))
    for child in result.children:
        metadata = {**child["metadata"], "namespace": namespace, "ownerReferences": []}
        await client.apply(CHILDREN[child["kind"]], {**child, "metadata": metadata})
    body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "status": result.status}
    await client.apply(MLSERVICE, body | {"metadata": {"name": name, "namespace": namespace}}, "status")
    await client.create(EVENT, an_event(name, namespace))


def an_event(name: str, namespace: str) -> Object:
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{name}.created", "namespace": namespace},
        "regarding": {
            "apiVersion": MLSERVICE.api_version,
            "kind": MLSERVICE.kind,
            "name": name,
            "namespace": namespace,
        },
        "type": "Normal",
        "reason": "Created",
        "action": "Reconcile",
        "note": "The MLService was accepted",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "bench",
        "reportingInstance": "bench",
    }


async def readiness(r: Rig) -> list[Row]:
    """Deployment available -> Ready, one at a time, among all the others at rest."""
    print(f"Measuring Deployment available → Ready {READY_SAMPLES} times ...", flush=True)
    states: dict[str, str] = {}
    changed = asyncio.Event()

    async def follow() -> None:
        version = r.kube.api.get(MLSERVICE.path(r.project.name))["metadata"]["resourceVersion"]
        async for event in r.client.watch(MLSERVICE, version, r.project.name, "", seconds=900, silence=900):
            conditions = event["object"].get("status", {}).get("conditions", [])
            states[event["object"]["metadata"]["name"]] = next(
                (c["status"] for c in conditions if c["type"] == "Ready"), ""
            )
            changed.set()

    async def shown(name: str, status: str) -> None:
        while states.get(name) != status:
            changed.clear()
            await changed.wait()

    task = asyncio.create_task(follow())
    await asyncio.sleep(1)
    took = []
    for i in range(READY_SAMPLES):
        path = DEPLOYMENT.path(r.project.name, f"b{i}-predict-v1", "status")
        await make_available(r, path, 0)
        await shown(f"b{i}", "False")
        began = time.perf_counter()
        await make_available(r, path)
        await shown(f"b{i}", "True")
        took.append(1000 * (time.perf_counter() - began))
    task.cancel()
    return [
        (
            "Deployment available → MLService Ready",
            f"p50 {percentile(took, 50):.0f} ms, p99 {percentile(took, 99):.0f} ms",
            "from just before the status is sent until a watcher sees Ready",
        )
    ]


async def restart(r: Rig, services: int) -> list[Row]:
    """From the start of the process until every service was compared with its plan."""
    print(f"Measuring a restart with {services} services ...", flush=True)
    r.operator.kill()
    began = time.perf_counter()
    r.operator.start()
    await until(lambda: compared(r) >= services)
    took = time.perf_counter() - began
    return [
        (
            f"restart with {services} services, until all are compared",
            f"{took:.1f} s",
            f"{r.writes():.0f} writes",
        )
    ]


async def rest(r: Rig, seconds: int) -> list[Row]:
    """Mutating requests that the API server sees from anybody while nothing happens; all is verified each minute."""
    print(f"Watching it rest for {seconds} s ...", flush=True)
    await asyncio.sleep(5)
    before, cpu = r.mutations(), r.cpu_seconds()
    await asyncio.sleep(seconds)
    return [
        (
            f"writes at rest in {seconds} s, verified every {VERIFY_SECONDS} s",
            f"{r.mutations() - before:.0f}",
            f"the Lease's left out; {100 * (r.cpu_seconds() - cpu) / seconds:.1f} % of a core",
        )
    ]


def patched(r: Rig) -> float:
    return r.metric("mlservice_api_requests_total", verb="PATCH", resource="mlservices")


def told(r: Rig) -> float:
    return r.metric("mlservice_api_requests_total", verb="POST", resource="events")


def compared(r: Rig) -> float:
    try:
        return r.metric("mlservice_reconciles_total", outcome="ok")
    except (OSError, IndexError):  # the new process does not answer yet
        return 0


async def make_available(r: Rig, path: str, pods: int = 1) -> None:
    """Play the Deployment controller."""
    status = json.dumps({"status": {**AVAILABLE, "readyReplicas": pods, "availableReplicas": pods}})
    await asyncio.to_thread(r.kube.api.request, "PATCH", path, status, "application/merge-patch+json")
