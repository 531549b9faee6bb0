"""Leader election by a Lease, so that two replicas never write at once.

Durations are controller-runtime's: the holder renews every 2 s, stops writing when it could not for 10 s, and another
may take over after 15 s. A lost Lease ends nothing: this replica stops writing and campaigns again.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from datetime import UTC, datetime

import aiohttp

from mlservice.api.meta import Object
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.metrics import LEADER
from mlservice.cluster.resources import LEASE

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15
DEADLINE_SECONDS = 10.0
RENEW_SECONDS = 2.0


class Lease:
    """This replica's share in the election."""

    def __init__(self, client: Client, namespace: str, name: str, identity: str) -> None:
        self.client, self.namespace, self.name = client, namespace, name
        self.identity = f"{identity}_{uuid.uuid4().hex[:8]}"
        self.won = asyncio.Event()
        self._renewed = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)
        self._complaint = ""

    def valid(self) -> bool:
        """Whether this replica may write now; asked before every write."""
        return time.monotonic() - self._renewed < DEADLINE_SECONDS

    async def campaign(self) -> None:
        """Hold or seek the Lease, for ever."""
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(DEADLINE_SECONDS / 2):
                    held = await self._hold()
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                self._complain(error)
                held = self.valid()
            else:
                self._renewed = started if held else float("-inf")
                self._complaint = ""
            self._announce(held)
            await asyncio.sleep(RENEW_SECONDS)

    async def release(self) -> None:
        """Give the Lease up, so that a successor need not wait for it to run out."""
        if not self.valid():
            return
        self._renewed = float("-inf")
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
            live = await self.client.get(LEASE, self.namespace, self.name)
            if live and live["spec"].get("holderIdentity") == self.identity:
                spec = {**live["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self.client.replace(LEASE, {**live, "spec": spec})
                logger.info("Released Lease %s", self.name)

    async def _hold(self) -> bool:
        """Renew or take the Lease, compare-and-swap by resourceVersion; return whether it is ours."""
        live = await self.client.get(LEASE, self.namespace, self.name)
        try:
            if live is None:
                await self.client.create(LEASE, self._lease(), gated=False)
                return True
            if live["spec"].get("holderIdentity") != self.identity and not self._ran_out(live):
                return False
            await self.client.replace(LEASE, self._lease(live))
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _ran_out(self, live: Object) -> bool:
        """Whether its holder has been silent for the Lease's duration, on our own clock: clocks of hosts differ."""
        version, now = live["metadata"]["resourceVersion"], time.monotonic()
        if version != self._seen[0]:
            self._seen = version, now
        return not live["spec"].get("holderIdentity") or now - self._seen[1] > live["spec"]["leaseDurationSeconds"]

    def _lease(self, live: Object | None = None) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (live or {}).get("spec", {})
        ours = old.get("holderIdentity") == self.identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": (live or {}).get("metadata", {"name": self.name, "namespace": self.namespace}),
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": old["acquireTime"] if ours else now,
                "renewTime": now,
                "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if ours else 1),
            },
        }

    def _complain(self, error: Exception) -> None:
        """Say once why nothing is done: an operator without the Lease waits for ever, and looks well."""
        complaint = str(error) or type(error).__name__
        if complaint != self._complaint:
            logger.warning("Lease %s/%s cannot be held, trying on: %s", self.namespace, self.name, complaint)
        self._complaint = complaint

    def _announce(self, held: bool) -> None:
        LEADER.set(held)
        if held and not self.won.is_set():
            logger.info("Leading: %s holds Lease %s/%s", self.identity, self.namespace, self.name)
            self.won.set()
        elif not held and self.won.is_set():
            logger.warning("Lost Lease %s/%s: nothing is written until it is ours again", self.namespace, self.name)
            self.won.clear()
