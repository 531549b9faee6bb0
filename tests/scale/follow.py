"""When the API server announced what: the stop watch of every latency, since no clock of the operator's is asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from kube import condition
from mlservice.api.meta import Object
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, MLSERVICE, REVISION, SERVICE, Resource
from scale.measure import Rig

WATCHED = (MLSERVICE, DEPLOYMENT, SERVICE, REVISION)


class Follower:
    """The newest state of the namespace's services and their children, from watches of its own."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.children: dict[str, set[tuple[str, str]]] = {}
        """By service: kind and name of what it owns."""
        self.ready: set[str] = set()
        self.updatable: set[str] = set()
        """Services that have been Ready, and that have said UpdateAvailable."""
        self.news: list[tuple[float, str, Object]] = []
        """Time, kind and object of each announcement."""
        self._heard = asyncio.Event()

    def all_made(self, service: str) -> bool:
        """Whether its ControllerRevision, Deployment and both Services are there."""
        return len(self.children.get(service, ())) == 4

    def is_ready(self, service: str, status: str = "True") -> bool:
        return bool(condition(self.objects.get((MLSERVICE.kind, service)), "Ready").get("status") == status)

    def arguments(self, service: str) -> list[str]:
        """What the service's Deployment starts the server with."""
        deployment = self.objects.get((DEPLOYMENT.kind, f"{service}-predict-v1"))
        return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"]) if deployment else []

    async def milliseconds(self, change: Awaitable[object], seen: Callable[[], bool]) -> float:
        """From just before the change is sent until its consequence was announced."""
        began = time.perf_counter()
        await change
        await self.until(seen)
        return 1000 * (time.perf_counter() - began)

    async def until(self, seen: Callable[[], bool], seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while not seen():
                self._heard.clear()
                await self._heard.wait()

    async def follow(self, r: Rig, resource: Resource, version: str) -> None:
        async for event in r.client.watch(resource, version, r.project.name, "", seconds=3600, silence=3600):
            obj = event["object"]
            if event["type"] != "BOOKMARK":
                self._take(resource.kind, obj)

    async def list(self, r: Rig, resource: Resource) -> str:
        version = "0"
        async for page in r.client.pages(resource, r.project.name):
            version = page["metadata"]["resourceVersion"]
            for item in page["items"]:
                self._take(resource.kind, item)
        return version

    def _take(self, kind: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        self.objects[kind, name] = obj
        self.news.append((time.perf_counter(), kind, obj))
        for owner in obj["metadata"].get("ownerReferences", []) if kind in CHILDREN else []:
            self.children.setdefault(owner["name"], set()).add((kind, name))
        for type_, said in (("Ready", self.ready), ("UpdateAvailable", self.updatable)):
            if kind == MLSERVICE.kind and condition(obj, type_).get("status") == "True":
                said.add(name)
        self._heard.set()


@asynccontextmanager
async def following(r: Rig) -> AsyncIterator[Follower]:
    follower = Follower()
    versions = [(resource, await follower.list(r, resource)) for resource in WATCHED]
    follower.news.clear()
    tasks = [asyncio.create_task(follower.follow(r, resource, version)) for resource, version in versions]
    try:
        yield follower
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
