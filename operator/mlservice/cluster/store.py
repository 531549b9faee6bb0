"""Live objects of one kind, kept current by a list and a watch, readable without a request."""

import asyncio
import logging
import marshal
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp
from cachetools import TTLCache

from mlservice.api.meta import Object
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import Resource

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of an MLService."""

SILENCE_SECONDS = 120.0
"""A watch sends a bookmark about every minute; one silent for longer is broken."""

DELETIONS, DELETION_SECONDS = 10_000, 600.0
"""How many deletions are remembered, and for how long: an answer or an event that comes later tells of nothing old."""


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def version_of(obj: Object) -> int:
    """resourceVersion as a number: they are comparable within one resource (KEP-5504)."""
    return int(obj["metadata"].get("resourceVersion") or 0)


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as the store holds it: its bytes, and what is asked of it without looking inside.

    Packed, an object takes a sixth of the memory of its dicts and lists, and the garbage collector, which would stop
    everything to walk through those of ten thousand services, has nothing to do.
    """

    uid: str
    version: int
    owner: Key | None
    packed: bytes | Object

    @property
    def object(self) -> Object:
        if not isinstance(self.packed, bytes):
            return self.packed
        result: Object = marshal.loads(self.packed)  # noqa: S302  it was packed by this very process
        return result


def pack(obj: Object) -> bytes | Object:
    """The object's bytes; the object itself where it is nested deeper than marshal writes, which is 2,000 levels."""
    try:
        return marshal.dumps(obj)
    except ValueError:
        return obj


class Store:
    """Objects by namespace and name, and by the service they belong to; each one handed out is a copy.

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
        self._objects: dict[Key, Kept] = {}
        self._owned: dict[Key, dict[Key, None]] = defaultdict(dict)
        self._deleted: TTLCache[str, int] = TTLCache(DELETIONS, DELETION_SECONDS)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return (kept.object for kept in list(self._objects.values()))

    def known(self) -> list[Key]:
        """Namespace and name of every object."""
        return list(self._objects)

    def get(self, key: Key) -> Object | None:
        kept = self._objects.get(key)
        return kept.object if kept else None

    def owned_by(self, owner: Key) -> list[Object]:
        return [self._objects[key].object for key in self._owned.get(owner, ())]

    def put(self, obj: Object, quietly: bool = False) -> None:
        """Store an object that was watched, listed, or answered to our own write, unless we know a newer one.

        `quietly` rings no doorbell: for the answer to a write whose writer looks at the whole again by itself.

        An answer may come after the watch has told of the object's deletion. A later version of it shows that it lives:
        it had lost the label by which it is watched.
        """
        key, uid, version = key_of(obj), obj["metadata"]["uid"], version_of(obj)
        old = self._objects.get(key)
        if version <= max(self._deleted.get(uid, -1), old.version if old else -1):
            return
        new = self.project({"apiVersion": self.resource.api_version, "kind": self.resource.kind, **obj})
        owner = self.owner(new)
        self._objects[key] = Kept(uid, version, owner, pack(new))
        if old and old.owner != owner:
            self._forget_owner(key, old)
            self.changed(old.object)
        if owner:
            self._owned[owner][key] = None
        if not quietly:
            self.changed(new)

    def remove(self, obj: Object) -> None:
        """Forget an object, which was deleted at its version; another one of its name may be there already."""
        self._remove(key_of(obj), obj["metadata"]["uid"], version_of(obj))

    async def fill(self, client: Client, namespace: str = "", selector: str = "") -> str:
        """List everything once, page by page; return the version to watch from.

        What the list does not hold, and is not newer, was deleted while nobody watched.
        """
        listed: set[str] = set()
        version = "0"
        async for page in client.pages(self.resource, namespace, selector):
            version = page["metadata"]["resourceVersion"]
            for item in page["items"]:
                listed.add(item["metadata"]["uid"])
                self.put(item)
        for key, old in list(self._objects.items()):
            if old.uid not in listed and old.version <= int(version):
                self._remove(key, old.uid, int(version))
        self.heard = time.monotonic()
        self.synced.set()
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

    def _remove(self, key: Key, uid: str, version: int) -> None:
        self._deleted[uid] = version
        old = self._objects.get(key)
        if old and old.uid == uid:
            del self._objects[key]
            self._forget_owner(key, old)
            self.changed(old.object)

    def _forget_owner(self, key: Key, old: Kept) -> None:
        if old.owner and key in self._owned.get(old.owner, ()):
            del self._owned[old.owner][key]
            if not self._owned[old.owner]:
                del self._owned[old.owner]
