"""The operator process: start in order, work until told to stop, stop in order."""

import asyncio
import contextlib
import logging
import platform
import random
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp

from mlservice.api.settings import Settings
from mlservice.cluster.client import ApiError, Client, NotLeading, load_configuration
from mlservice.cluster.events import Recorder
from mlservice.cluster.lease import Lease
from mlservice.cluster.metrics import RECONCILE_SECONDS, RECONCILES, SERVICES
from mlservice.cluster.queue import Turn, WorkQueue
from mlservice.cluster.store import SILENCE_SECONDS, Key
from mlservice.controller import handlers
from mlservice.controller.observe import Cluster
from mlservice.controller.reconcile import Reconciler
from mlservice.controller.server import Clock, serve

logger = logging.getLogger(__name__)

STUCK_SECONDS = 300.0
"""A service that is handled for longer than this has stuck its worker; every request has a shorter limit."""

GRACE_SECONDS = 10.0
"""What running work gets to finish when the process is told to stop."""

RUNTIMES_SECONDS = 30.0
"""Between two lists of the runtimes."""


class Operator:
    def __init__(self, settings: Settings, client: Client) -> None:
        self.settings, self.client = settings, client
        self.queue = WorkQueue(fan_out=max(1, settings.workers // 4))
        self.cluster = Cluster(settings, self.queue)
        self.lease = Lease(client, settings.lease_namespace, "mlservice-operator", platform.node())
        client.may_write = self.lease.valid
        self.recorder = Recorder(client, platform.node())
        self.reconciler = Reconciler(client, self.cluster, self.queue, self.recorder)
        self.working = Clock()
        self._complaints: dict[Key, str] = {}
        self.port = 0

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Work until SIGTERM, SIGINT or `stop`; running work may finish, then the Lease is given up."""
        server, self.port = await serve(self.settings.http_host, self.settings.http_port, self.unhealthy, self.unready)
        logger.info("Serving /healthz, /readyz and /metrics on port %d", self.port)
        stop = stop or asyncio.Event()
        handlers.stop_on_signals(stop)
        handlers.leave_quietly(stop)
        tasks: list[asyncio.Task[Any]] = []

        def start(*coroutines: Coroutine[Any, Any, Any]) -> None:
            tasks.extend(asyncio.create_task(coroutine) for coroutine in coroutines)

        try:
            await handlers.wait_for_crds(self.cluster, self.client, stop)
            start(*self.cluster.watches(self.client), self._verify(), self._verify_runtimes())
            await _until_first_ends(asyncio.create_task(self._synced()), tasks)
            logger.info("Knowing %d MLServices; campaigning for the Lease", len(self.cluster.services))
            start(self.lease.campaign(), self.recorder.write(), *(self._work() for _ in range(self.settings.workers)))
            watching = handlers.watch(self.cluster, self.client, stop)
            await _until_first_ends(asyncio.create_task(watching), tasks)
        finally:
            await self._stop(tasks)
            await server.cleanup()

    def unhealthy(self) -> list[str]:
        """What only a restart would cure: a silent watch or a stuck worker."""
        now = time.monotonic()
        silent = [
            f"watch of {store.resource.plural} is silent for {now - store.heard:.0f} s"
            for store in self.cluster.stores()
            if store.synced.is_set() and now - store.heard > 3 * max(SILENCE_SECONDS, self.settings.verify_seconds)
        ]
        return silent + [f"worker is stuck on {key}" for key in self.working.older_than(STUCK_SECONDS)]

    def unready(self) -> list[str]:
        """A standby replica is ready: it is warm, and takes over as soon as the Lease is free."""
        return [f"{s.resource.plural} are not listed yet" for s in self.cluster.stores() if not s.synced.is_set()]

    async def _synced(self) -> None:
        for store in self.cluster.stores():
            await store.synced.wait()

    async def _work(self) -> None:
        while True:
            await self.lease.won.wait()
            key = await self.queue.get()
            self.working.start(key)
            started = time.perf_counter()
            try:
                done = await self._handle(key)
            finally:
                self.working.stop(key)
                self.queue.done(key)
                RECONCILE_SECONDS.observe(time.perf_counter() - started)
            if done:
                self.queue.forget(key)
            else:
                self.queue.retry(key)
            RECONCILES.labels("ok" if done else "retry").inc()

    async def _handle(self, key: Key) -> bool:
        """Reconcile; whatever goes wrong with one service is logged and tried again, and never ends the worker."""
        try:
            done = await self.reconciler.reconcile(key)
        except NotLeading:
            logger.debug("MLService %s/%s waits: the Lease is not ours", *key)
            return False
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            complaint = str(error) or type(error).__name__
            if self._complaints.get(key) != complaint:  # a line for each change, not for each attempt
                logger.warning("MLService %s/%s is tried again: %s", *key, complaint)
            self._complaints[key] = complaint
            return False
        except Exception:
            logger.exception("MLService %s/%s is tried again, this is a bug", *key)
            return False
        self._complaints.pop(key, None)
        return done

    async def _verify(self) -> None:
        """List our own kinds now and then: kopf does not report what was deleted while its watch was broken."""
        while True:
            try:
                await self.cluster.runtimes.fill(self.client, self.settings.namespace)
                await self.cluster.services.fill(self.client, self.settings.namespace)
                SERVICES.set(len(self.cluster.services))
                for key in self.cluster.services.known():
                    self.queue.add(key, Turn.FAN_OUT)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.warning("MLServices could not be listed, trying again: %s", error)
                await asyncio.sleep(5)
                continue
            await asyncio.sleep(self.settings.verify_seconds * random.uniform(0.8, 1.2))  # noqa: S311

    async def _verify_runtimes(self) -> None:
        """List the runtimes, which are few, more often: plans are made of one that is gone until somebody notices.

        A service that is gone is noticed before its children are changed.
        """
        while True:
            await asyncio.sleep(min(RUNTIMES_SECONDS, self.settings.verify_seconds))
            with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
                await self.cluster.runtimes.fill(self.client, self.settings.namespace)

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Let running work finish, then give the Lease up: the successor must not meet our last write."""
        deadline = time.monotonic() + GRACE_SECONDS
        self.lease.won.clear()
        while self.working.older_than(0) and time.monotonic() < deadline:  # noqa: ASYNC110  it ends in 10 s
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.lease.release()
        logger.info("Stopped")


async def _until_first_ends(main: asyncio.Task[None], others: list[asyncio.Task[Any]]) -> None:
    """Wait for `main`. The others run for ever: one that ends has an error nobody foresaw, and without it the process
    would look well and do half its work; so the process ends too, and starts anew.
    """
    await asyncio.wait([main, *others], return_when=asyncio.FIRST_COMPLETED)
    for task in [main, *(task for task in others if task.done())]:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        elif error := task.exception():
            logger.critical("Ending, this is a bug", exc_info=error)
            raise error


async def run(settings: Settings) -> None:
    """Run the operator with the configuration of this environment."""
    client = Client(await load_configuration())
    try:
        await Operator(settings, client).run()
    finally:
        await client.close()
