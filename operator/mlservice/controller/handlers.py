"""kopf's part: it watches our own kinds. A handler stores the object, which rings its doorbell, and no more."""

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import kopf

from mlservice.api.meta import GROUP, MANAGER, VERSION, Object
from mlservice.cluster.client import LOGIN_SECONDS, ApiError, Client
from mlservice.cluster.store import Store
from mlservice.controller.observe import Cluster

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
"""After kopf's watch has ended with an error."""

ENDING_SECONDS = 3.0
"""What kopf's watches get to end once it has cancelled them."""

CRD_SECONDS = 3.0
"""Between two looks whether our kinds are served."""


class NoDiffBase(kopf.DiffBaseStorage):
    """We are level-triggered: there is no last handled state, and nothing to copy for every event."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return {}

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


class Backoffs:
    """Endless, jittered, capped: kopf ends the process once its delays are used up."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.1
        while True:
            yield delay * random.uniform(0.8, 1.2)  # noqa: S311
            delay = min(15.0, delay * 2)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT. kopf sets handlers of its own whenever it starts, and then waits five seconds
    for `stop` to be set too.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def leave_quietly(stop: asyncio.Event) -> None:
    """Once `stop` is set, say nothing of what kopf had begun, a watch or a scan, and fails when it is swept up."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if stop.is_set() and ("asyncgen" in context or _is_kopfs(context.get("future"))):
            logger.debug(context["message"], exc_info=context.get("exception"))
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)


async def cancel_again(**_: Any) -> None:
    """Cancel kopf's watches again and again until they have ended: kopf itself does so once, right before this.

    A watch that ends by itself in that moment swallows it (kopf's `streaming_block` suppresses CancelledError), watches
    on for nobody, and kopf would wait for it without end, deaf to signals too.
    """
    loop = asyncio.get_running_loop()

    def cancel(tasks: list[asyncio.Task[Any]]) -> None:
        if left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            loop.call_later(ENDING_SECONDS, cancel, left)

    watches = [task for task in asyncio.all_tasks() if task.get_name().startswith("watcher for ")]
    loop.call_later(ENDING_SECONDS, cancel, watches)


def _is_kopfs(future: Any) -> bool:
    code = getattr(future.get_coro(), "cr_code", None) if isinstance(future, asyncio.Task) else None
    return code is not None and Path(code.co_filename).is_relative_to(Path(kopf.__file__).parent)


async def watch(cluster: Cluster, client: Client, stop: asyncio.Event) -> None:
    """Have kopf feed the stores of our own kinds until SIGTERM, SIGINT or `stop`.

    An error that kopf does not foresee, such as that of a deleted CRD, ends it: then it begins anew. It looks only once
    which kinds are served, so they must be.
    """
    namespace = cluster.settings.namespace
    while not stop.is_set():
        try:
            await wait_for_crds(cluster, client, stop)
            await kopf.operator(
                registry=registry(cluster, client, stop),
                settings=settings(),
                clusterwide=not namespace,
                namespaces=[namespace] if namespace else [],
                standalone=True,
                stop_flag=stop,
            )
            return
        except Exception as error:
            logger.warning("Watch of MLServices broke, beginning anew: %s: %s", type(error).__name__, error)
            logger.debug("The whole error", exc_info=True)
        stop_on_signals(stop)
        await _pause(stop, AGAIN_SECONDS)


async def wait_for_crds(cluster: Cluster, client: Client, stop: asyncio.Event) -> None:
    """Wait until our kinds are served, or `stop`."""
    while not stop.is_set():
        stores = (cluster.services, cluster.runtimes)
        troubles = [
            trouble for store in stores if (trouble := await _missing(store, client, cluster.settings.namespace))
        ]
        if not troubles:
            return
        for trouble in troubles:
            logger.warning(trouble)
        await _pause(stop, CRD_SECONDS)


async def _missing(store: Store, client: Client, namespace: str) -> str:
    try:
        async for _ in client.pages(store.resource, namespace):
            break
    except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
        hint = "apply crds/ first" if isinstance(error, ApiError) and error.status == 404 else "trying again"
        return f"{store.resource.plural} cannot be listed, {hint}: {error}"
    return ""


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def registry(cluster: Cluster, client: Client, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """Handlers of the two kinds that users write, of the login, which is the client's own, of the start and the end."""
    handlers = kopf.OperatorRegistry()

    async def take_signals_back(**_: Any) -> None:
        asyncio.get_running_loop().call_soon(stop_on_signals, stop)  # kopf sets its own right after this

    kopf.on.startup(registry=handlers)(take_signals_back)
    kopf.on.cleanup(registry=handlers)(cancel_again)
    kopf.on.login(registry=handlers)(_logging_in(client))
    for store in (cluster.services, cluster.runtimes):
        plural = store.resource.plural
        kopf.on.event(GROUP, VERSION, plural, id=plural, registry=handlers)(_storing(store))
    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf as a process shell: no annotations, no finalizers, no Events, no peering, no scan of other kinds."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.networking.connect_timeout = 5
    chosen.networking.request_timeout = 30
    chosen.networking.error_backoffs = Backoffs()
    chosen.watching.chunk_size = 500
    chosen.queueing.idle_timeout = 1.0
    chosen.execution.max_workers = 1
    chosen.process.ultimate_exiting_timeout = None  # it is counted from an end after which kopf began anew, too
    return chosen


def _logging_in(client: Client) -> Any:
    """A connection of kopf's own that never answers 401: it asks again with the credentials of that moment.

    After a 401 kopf would take the same credentials no second time, and close the connection under its other watch too.
    """
    configuration = client.configuration

    async def authorized(request: aiohttp.ClientRequest, ask: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        while True:
            if authorization := await client.authorization():
                request.headers["Authorization"] = authorization
            response = await ask(request)
            if response.status != 401:
                return response
            response.release()
            await client.log_in_again()
            await asyncio.sleep(LOGIN_SECONDS)

    async def login(**_: Any) -> kopf.AiohttpSession:
        trusted = kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )
        connector = aiohttp.TCPConnector(limit=0, ssl=trusted.as_ssl_context())
        session = aiohttp.ClientSession(connector=connector, middlewares=[authorized], headers={"User-Agent": MANAGER})
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    return login


def _storing(store: Store) -> Any:
    # A coroutine, though it awaits nothing: kopf runs plain functions in threads, and the stores know one thread only.
    async def handle(event: Object, **_: Any) -> None:
        if event["type"] == "DELETED":
            store.remove(event["object"])
        else:
            store.put(dict(event["object"]))

    return handle
