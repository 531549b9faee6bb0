"""What is measured, step by step; each returns plain figures (milliseconds, seconds, MiB, counts) for a JSON file."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.request import urlopen

from builders import a_runtime, a_service
from kube import condition
from mlservice.cluster.resources import DEPLOYMENT, EVENT, MLSERVICE, RUNTIME
from pod_states import container, ended, running, waiting
from rig import Project
from scale import load
from scale.follow import Follower, following
from scale.measure import Rig, seconds_for, spread, until

Figures = dict[str, Any]

LOST_SECONDS = 30.0
"""Longer than a Lease's renewals may fail before its holder stops to write, and another one may take it."""


def names(low: int, high: int) -> list[str]:
    return [f"s{i}" for i in range(low, high)]


async def growth(r: Rig, services: int, step: int) -> Figures:
    """Bring services to Ready in bursts of `step`, each between two halves of the same writes without an operator.

    Half as many are written without an operator as with one: they stay, and the API server should not be full of them.
    """
    elsewhere, base = Project(r.kube).name, r.rss_mib()
    rounds: list[Figures] = []
    cpu = cpu_without = writes = 0.0
    for low in range(0, services, step):
        some, half = names(low, low + step), step // 4
        own = time.process_time()
        without = await seconds_for(partial(load.write, r.client, elsewhere, f"a{low + i}") for i in range(half))
        cpu_without += time.process_time() - own
        cpu_before, writes_before, began = r.cpu_seconds(), r.writes(), time.perf_counter()
        await load.create(r, some)
        took = await _told(r, 2 * low + step) - began
        own = time.process_time()
        without += await seconds_for(partial(load.write, r.client, elsewhere, f"z{low + i}") for i in range(half))
        cpu_without += time.process_time() - own
        await seconds_for(partial(load.make_available, r, name) for name in some)
        await _told(r, 2 * (low + step))
        cpu, writes = cpu + r.cpu_seconds() - cpu_before, writes + r.writes() - writes_before
        rounds.append({"services": low + step, "rate": step / took, "ceiling": 2 * half / without, "rss": r.rss_mib()})
        print(f"  {low + step} services, {step / took:.0f}/s of {2 * half / without:.0f}/s", flush=True)
    return {
        "base_rss": base,
        "rounds": rounds,
        "cpu_ms_per_write": 1000 * cpu / writes,
        "cpu_ms_per_write_without": 1000 * cpu_without / (load.WRITES * len(rounds) * 2 * (step // 4)),
        "writes_per_service": writes / services,
        "requests": {f"{verb} {resource}": n for (verb, resource), n in sorted(r.requests().items())},
    }


async def latencies(r: Rig, samples: int) -> Figures:
    """One service after the other, among all the others at rest: created, available, changed."""
    created, ready, changed = [], [], []
    async with following(r) as follower:
        for name in [f"l{i}" for i in range(samples)]:
            creation = r.client.create(MLSERVICE, a_service(name).namespaced(r.project.name))
            created.append(await follower.milliseconds(creation, partial(follower.all_made, name)))
            await follower.until(partial(follower.is_ready, name, "False"))
            available = load.make_available(r, name)
            ready.append(await follower.milliseconds(available, partial(follower.is_ready, name)))
            changed.append(await _changed(r, follower, name, "new"))
    return {"created": spread(created), "ready": spread(ready), "changed": spread(changed)}


async def edited_runtime(r: Rig) -> Figures:
    """The runtime of every service gets another image; meanwhile somebody creates a service."""
    await until(partial(quiet, r))
    services, before, cpu = await r.count(MLSERVICE), r.requests(), r.cpu_seconds()
    template = a_runtime(image="vllm/vllm-openai:next")["spec"]["template"]
    async with following(r) as follower:
        began = time.perf_counter()
        await r.client.merge(RUNTIME, r.project.name, "vllm-openai", {"spec": {"template": template}})
        await follower.until(lambda: bool(follower.updatable))
        creation = r.client.create(MLSERVICE, a_service("newcomer").namespaced(r.project.name))
        newcomer = await follower.milliseconds(creation, partial(follower.all_made, "newcomer"))
        told_before = len(follower.updatable)
        await follower.until(lambda: len(follower.updatable) >= services, seconds=600)
        took = time.perf_counter() - began
        await asyncio.sleep(1)
        deployments = {obj["metadata"]["name"] for _, kind, obj in follower.news if kind == DEPLOYMENT.kind}
        told = [at - began for at, kind, _ in follower.news if kind == MLSERVICE.kind]
        times = Counter(obj["metadata"]["name"] for _, kind, obj in follower.news if kind == MLSERVICE.kind)
        times["newcomer"] -= 1  # its creation
    after = r.requests()
    return {
        "services": services,
        "seconds": took,
        "told": told[:: max(1, len(told) // 200)],
        "newcomer_ms": newcomer,
        "told_before_newcomer": told_before,
        "told_more_than_once": [name for name, count in times.items() if count > 1],
        "status_writes": after["PATCH", MLSERVICE.plural] - before["PATCH", MLSERVICE.plural],
        "deployments_changed": len(deployments - {"newcomer-predict-v1"}),
        "cpu_ms_per_service": 1000 * (r.cpu_seconds() - cpu) / services,
    }


async def busy_service(r: Rig, seconds: float) -> Figures:
    """One service changes ten times a second; another one loses and regains its pod; nothing else may move."""
    await until(partial(quiet, r))  # what the step before changed last may still be written
    took: list[float] = []
    regained: list[float] = []
    cpu, before = r.cpu_seconds(), r.writes()
    async with following(r) as follower:
        began = time.perf_counter()

        async def change() -> None:
            while (now := time.perf_counter()) - began < seconds:
                await asyncio.sleep(max(0.0, began + len(took) / 10 - now))
                took.append(await _changed(r, follower, "s0", f"w{len(took)}"))

        task = asyncio.create_task(change())
        while not task.done():
            await load.make_available(r, "s1", 0)
            await follower.until(partial(follower.is_ready, "s1", "False"))
            available = load.make_available(r, "s1")
            regained.append(await follower.milliseconds(available, partial(follower.is_ready, "s1")))
        await task
        await asyncio.sleep(1)
        written = {obj["metadata"]["name"] for _, kind, obj in follower.news if kind == MLSERVICE.kind}
    return {
        "changed": spread(took),
        "ready": spread(regained),
        "changes_a_second": len(took) / seconds,
        "writes": r.writes() - before,
        "others_written": len(written - {"s0", "s1"}),
        "cpu": (r.cpu_seconds() - cpu) / seconds,
    }


async def crash_loops(r: Rig, services: Sequence[str], rounds: int, pace: float) -> Figures:
    """The pods of these services run, crash and wait, and do so again: so many steps, one in `pace` seconds."""
    await seconds_for(partial(load.start_pod, r, name) for name in services)
    await seconds_for(partial(load.make_available, r, name, 0) for name in services)
    await until(partial(quiet, r))
    crash = ended(1, "KeyError: 'model'")
    states = (running(), {"state": crash}, waiting("CrashLoopBackOff"))
    cpu, before, began = r.cpu_seconds(), r.writes(), time.perf_counter()
    timeline: list[tuple[float, int]] = []
    for step in range(rounds):
        state = container(restarts=step // 3, **states[step % 3], **({"lastState": crash} if step >= 2 else {}))
        await seconds_for(partial(load.set_container, r, name, state) for name in services)
        await asyncio.sleep(max(0.0, began + (step + 1) * pace - time.perf_counter()))
        timeline.append((time.perf_counter() - began, r.writes() - before))
    took = time.perf_counter() - began
    return {
        "services": len(services),
        "pod_changes": rounds * len(services),
        "seconds": took,
        "writes": timeline[-1][1],
        "writes_in_the_second_half": timeline[-1][1] - timeline[rounds // 2][1],
        "timeline": timeline,
        "cpu": (r.cpu_seconds() - cpu) / took,
    }


async def restart(r: Rig, services: int) -> Figures:
    """From the start of the process until every service was compared with its plan."""
    r.operator.kill()
    began = time.perf_counter()
    r.operator.start()

    async def compared() -> bool:
        return r.compared() >= services

    await until(compared)
    took = time.perf_counter() - began
    await asyncio.sleep(1)
    return {"seconds": took, "writes": r.writes(), "rss": r.rss_mib(), "cpu_seconds": r.cpu_seconds()}


async def rest(r: Rig, services: int, seconds: float, verify_seconds: int) -> Figures:
    """Mutating requests that the API server sees from anybody while nothing happens.

    All is compared every `verify_seconds`, more often than by default, for which the operator is started anew. Four
    times a second it is asked whether it lives: its answer waits for whatever holds its event loop.
    """
    r.operator.environment["MLSERVICE_VERIFY_SECONDS"] = str(verify_seconds)
    await restart(r, services)
    del r.operator.environment["MLSERVICE_VERIFY_SECONDS"]
    await until(partial(quiet, r))
    answers: list[float] = []
    url = r.operator.url("/healthz")
    before, cpu, began = r.mutations(), r.cpu_seconds(), time.perf_counter()
    while (asked := time.perf_counter()) - began < seconds:
        (await asyncio.to_thread(urlopen, url, timeout=60)).close()
        answers.append(1000 * (time.perf_counter() - asked))
        await asyncio.sleep(0.25)
    return {
        "seconds": seconds,
        "writes": r.mutations() - before,
        "cpu": (r.cpu_seconds() - cpu) / seconds,
        "healthz": spread(answers) | {"longest": max(answers)},
    }


async def not_ready(r: Rig) -> list[str]:
    """Names of the services that are not Ready for their present generation."""
    found = []
    async for page in r.client.pages(MLSERVICE, r.project.name):
        for service in page["items"]:
            ready = condition(service, "Ready")
            if (ready.get("status"), ready.get("observedGeneration")) != ("True", service["metadata"]["generation"]):
                found.append(service["metadata"]["name"])
    return found


async def _told(r: Rig, events: int) -> float:
    """Wait for so many Events: a service gets one with its first status, and one when it is Ready.

    Returns when the last one was seen. An operator that loses its Lease, as on a machine that stands still, drops
    Events: no more are expected when none has come for longer than that takes.
    """
    count, last = 0, time.perf_counter()
    while count < events and time.perf_counter() - last < LOST_SECONDS:
        await asyncio.sleep(0.2)
        before, count = count, await r.count(EVENT)
        last = time.perf_counter() if count > before else last
    return last


async def quiet(r: Rig) -> bool:
    """Whether the operator writes nothing for half a second."""
    before = r.writes()
    await asyncio.sleep(0.5)
    return r.writes() == before


async def _changed(r: Rig, follower: Follower, name: str, model: str) -> float:
    """Change a parameter of a service; milliseconds until its Deployment has it."""
    releases = a_service(name).with_parameters(MODEL_NAME=model).manifest["spec"]["releases"]
    change = r.client.merge(MLSERVICE, r.project.name, name, {"spec": {"releases": releases}}, "user")
    return await follower.milliseconds(change, lambda: f"--served-model-name={model}" in follower.arguments(name))
