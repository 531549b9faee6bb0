"""Events as `kubectl describe` shows them; repeats become one Event with a count."""

import asyncio
import logging
import uuid
from datetime import UTC, datetime

import aiohttp
from cachetools import LRUCache

from mlservice.api.meta import MANAGER, Object
from mlservice.cluster.client import ApiError, Client, NotLeading
from mlservice.cluster.limit import Allowance
from mlservice.cluster.resources import EVENT, MLSERVICE

logger = logging.getLogger(__name__)

NOTE_LIMIT = 1024
"""Characters of a note that the API accepts."""

BURST, SECONDS = 10, 30.0
"""Events of one service: so many at once, then one in so many seconds. A service that flaps floods nothing."""

REMEMBERED = 4096
WAITING = 1000


class Recorder:
    """Writes Events in the background; a service is never held up by its history."""

    def __init__(self, client: Client, instance: str) -> None:
        self.client, self.instance = client, instance
        self._waiting: asyncio.Queue[tuple[Object, str, str, str]] = asyncio.Queue(WAITING)
        self._known: LRUCache[tuple[str, str, str], tuple[str, int]] = LRUCache(REMEMBERED)
        self._allowance = Allowance(BURST, SECONDS)

    def record(self, service: Object, type_: str, reason: str, note: str) -> None:
        """Note that something happened to a service; dropped when a thousand wait already."""
        try:
            self._waiting.put_nowait((service["metadata"], type_, reason, note[:NOTE_LIMIT]))
        except asyncio.QueueFull:
            logger.warning("Event dropped, too many wait: %s %s", reason, note)

    async def write(self) -> None:
        """Write what was recorded, for ever."""
        while True:
            metadata, type_, reason, note = await self._waiting.get()
            if not self._allowance.take(metadata["uid"]):
                continue
            try:
                await self._write(metadata, type_, reason, note)
            except (ApiError, NotLeading, aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.debug("Event %s not written: %s", reason, error)

    async def _write(self, metadata: Object, type_: str, reason: str, note: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        identity = (metadata["uid"], reason, note)
        if known := self._known.get(identity):
            name, count = known[0], known[1] + 1
            try:
                series = {"series": {"count": count, "lastObservedTime": now}}
                await self.client.merge(EVENT, metadata["namespace"], name, series)
                self._known[identity] = name, count
                return
            except ApiError as error:
                if error.status != 404:  # Events live for an hour; a later one starts a new series
                    raise
        name = f"{metadata['name']}.{uuid.uuid4().hex[:12]}"
        await self.client.create(
            EVENT,
            {
                "apiVersion": EVENT.api_version,
                "kind": EVENT.kind,
                "metadata": {"name": name, "namespace": metadata["namespace"]},
                "regarding": {
                    "apiVersion": MLSERVICE.api_version,
                    "kind": MLSERVICE.kind,
                    "name": metadata["name"],
                    "namespace": metadata["namespace"],
                    "uid": metadata["uid"],
                },
                "type": type_,
                "reason": reason,
                "action": "Reconcile",
                "note": note,
                "eventTime": now,
                "reportingController": f"tensorstack.dev/{MANAGER}",
                "reportingInstance": self.instance[:128],
            },
        )
        self._known[identity] = name, 1
