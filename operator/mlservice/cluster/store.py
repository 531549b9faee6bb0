"""Live objects of one kind, kept current by a list and a watch, readable without a request."""

import asyncio
import logging
import random
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator

import aiohttp

from mlservice.api.meta import Object
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import Resource

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of an MLService."""

SILENCE_SECONDS = 120.0
"""A watch sends a bookmark about every minute; one silent for longer is broken."""

REMEMBERED_DELETIONS = 10_000


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def version_of(obj: Object) -> int:
    """resourceVersion as a number: they are comparable within one resource (KEP-5504)."""
    return int(obj["metadata"].get("resourceVersion") or 0)


class Store:
    """Objects by namespace and name, and by the service they belong to.

    `changed` is called with each object that came, changed or went; it rings doorbells and nothing else.
    """

    def __init__(
        self,
        resource: Resource,
        changed: Callable[[Object], None],
        owner: Callable[[Object], Key | None] = lambda obj: None,
        project: Callable[[Object], Object] = lambda obj: obj,
    ) -> None:
        self.resource, self.changed, self.owner, self.project = resource, changed, owner, project
        self.synced = asyncio.Event()
        self.heard = time.monotonic()
        self._objects: dict[Key, Object] = {}
        self._owned: dict[Key, dict[Key, Object]] = defaultdict(dict)
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def owned_by(self, owner: Key) -> list[Object]:
        return list(self._owned.get(owner, {}).values())

    def put(self, obj: Object) -> None:
        """Store an object that was watched, listed, or answered to our own write, unless we know a newer one.

        An answer may come after the watch has told of the object's deletion: a uid once deleted never comes back.
        """
        key, old = key_of(obj), self._objects.get(key_of(obj))
        if obj["metadata"]["uid"] in self._deleted or (old and version_of(old) >= version_of(obj)):
            return
        new = self._kept(obj)
        self._forget_owner(key, old)
        self._objects[key] = new
        if owner := self.owner(new):
            self._owned[owner][key] = new
        if old:
            self.changed(old)
        self.changed(new)

    def remove(self, obj: Object) -> None:
        self._deleted[obj["metadata"]["uid"]] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        key = key_of(obj)
        old = self._objects.get(key)
        if old and old["metadata"]["uid"] == obj["metadata"]["uid"]:
            del self._objects[key]
            self._forget_owner(key, old)
            self.changed(old)

    def replace(self, objects: Iterable[Object], version: int) -> None:
        """Take over a whole list, as of `version`: what it does not hold was deleted while nobody watched."""
        listed = {obj["metadata"]["uid"] for obj in objects}
        for old in list(self._objects.values()):
            if old["metadata"]["uid"] not in listed and version_of(old) <= version:
                self.remove(old)
        for obj in objects:
            self.put(obj)
        self.heard = time.monotonic()
        self.synced.set()

    async def fill(self, client: Client, namespace: str = "", selector: str = "") -> str:
        """List everything once; return the version to watch from."""
        objects: list[Object] = []
        version = "0"
        async for page in client.pages(self.resource, namespace, selector):
            version = page["metadata"]["resourceVersion"]
            objects += [self._kept(item) for item in page["items"]]
        self.replace(objects, int(version))
        return version

    async def keep(self, client: Client, namespace: str = "", selector: str = "", verify_seconds: float = 600) -> None:
        """List, watch, and list again about every `verify_seconds`, for ever: a missed event lives no longer."""
        failures = 0
        while True:
            try:
                version = await self.fill(client, namespace, selector)
                failures = 0
                until = time.monotonic() + verify_seconds * random.uniform(0.8, 1.2)  # noqa: S311
                while (left := until - time.monotonic()) > 0:
                    version = await self._follow(client, version, namespace, selector, left)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                failures += 1
                if isinstance(error, ApiError) and error.status == 404:
                    self.synced.set()  # the kind is not served: nobody must wait for it
                delay = min(15, 0.1 * 2 ** min(failures, 8)) * random.uniform(0.8, 1.2)  # noqa: S311
                level = logging.WARNING if failures in (3, 10, 100) else logging.DEBUG
                logger.log(level, "Watch of %s broke, listing again in %.1f s: %s", self.resource.plural, delay, error)
                await asyncio.sleep(delay)
            except Exception:
                logger.exception("Watch of %s broke, listing again, this is a bug", self.resource.plural)
                await asyncio.sleep(1)

    async def _follow(self, client: Client, version: str, namespace: str, selector: str, seconds: float) -> str:
        stream = client.watch(self.resource, version, namespace, selector, seconds=seconds, silence=SILENCE_SECONDS)
        async for event in stream:
            self.heard = time.monotonic()
            obj = event["object"]
            match event["type"]:
                case "ERROR":
                    raise ApiError(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")))
                case "DELETED":
                    self.remove(obj)
                case "ADDED" | "MODIFIED":
                    self.put(obj)
            version = obj["metadata"]["resourceVersion"]
        return version

    def _kept(self, obj: Object) -> Object:
        """What is stored of an object; items of a list come without apiVersion and kind, which the list carries."""
        return self.project({"apiVersion": self.resource.api_version, "kind": self.resource.kind, **obj})

    def _forget_owner(self, key: Key, old: Object | None) -> None:
        owner = self.owner(old) if old else None
        if owner and key in self._owned.get(owner, {}):
            del self._owned[owner][key]
            if not self._owned[owner]:
                del self._owned[owner]
