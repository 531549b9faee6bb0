"""A proxy between operator and API server that breaks what it is told to break; TLS on both sides.

A fault is a function `Exchange -> Action or None`, asked for each request in turn; the first answer counts. So a fault
is one line: `proxy.faults.append(lambda e: Action(status=409) if e.write == 3 else None)`.
"""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROXYS_OWN = {"host", "content-length", "authorization"}
KEPT_HEADERS = {"content-type", "content-encoding", "retry-after"}
MUTATING = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Exchange:
    """One request, before it is sent on."""

    method: str
    path: str
    query: str
    write: int | None
    """Its number among the mutating requests, from 1, those for Leases and Events left out; None for others."""

    @property
    def is_watch(self) -> bool:
        return "watch=true" in self.query

    @property
    def is_first_page(self) -> bool:
        return "limit=" in self.query and "continue=" not in self.query

    @property
    def raw_path(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def resource(self) -> str:
        """Plural of what a list or watch is of."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Action:
    """What is done with a request; by default it is sent on as it is."""

    status: int | None = None
    """Answer this, as the API server would, instead of asking it."""
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    """Close the connection without asking the server."""
    after: Callable[[], Any] | None = None
    """Called once the server has acted; its answer is lost, and the connection closed."""
    delay_seconds: float = 0
    lines: Callable[[bytes], list[bytes]] | None = None
    """What is sent for each line of a watch: nothing drops it, two double it."""
    lag_seconds: float = 0
    """Each line of a watch is sent so much later; their order stays."""
    body: bytes | None = None
    """Answer 200 with this, instead of asking the server."""
    silent: bool = False
    """Keep the connection open, and send nothing for ever."""


Fault = Callable[[Exchange], Action | None]


class FaultProxy:
    """Runs in a thread of its own. `kubeconfig` is the administrator's, by way of this proxy."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.direct, self.folder = yaml.safe_load(kubeconfig.read_text()), folder
        self.kubeconfig = folder / "proxied.kubeconfig"
        self.faults: list[Fault] = []
        self.writes: list[Exchange] = []
        self.lists: set[str] = set()
        """Paths and queries of the lists that were asked for, by their first page."""
        self.token = "first"
        """Every request must carry this bearer token; the server is asked as administrator."""
        self.token_file = folder / "token"
        self.watches: list[web.Request] = []
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.ready.wait(20), "the proxy does not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(20)
        assert not self.thread.is_alive(), "the proxy does not end"

    @contextlib.contextmanager
    def failing(self, *faults: Fault, heals: bool = True) -> Iterator[None]:
        """Have these faults for a while; every watch begins anew with them, and where it heals, again without."""
        self.break_off(*faults)
        try:
            yield
        finally:
            self.faults = []
            if heals:
                self.break_off()

    def break_off(self, *faults: Fault) -> None:
        """Have these faults from now on, and every watch begin anew with them."""
        self.faults = list(faults)
        for request in list(self.watches):
            self.loop.call_soon_threadsafe(_cut, request)

    async def _run(self) -> None:
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        cluster, user = self.direct["clusters"][0]["cluster"], self.direct["users"][0]["user"]
        pair, own = self.folder / "client.pem", self.folder / "proxy.pem"
        pair.write_bytes(
            b"".join(base64.b64decode(user[part]) for part in ("client-certificate-data", "client-key-data"))
        )
        authority, key = certificate()
        own.write_bytes(authority + key)
        upstream = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        upstream.load_cert_chain(pair)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(own)
        connector = aiohttp.TCPConnector(ssl=upstream, limit=0)
        async with aiohttp.ClientSession(cluster["server"], connector=connector, auto_decompress=False) as self.session:
            app = web.Application(client_max_size=16 << 20)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
            self._write_kubeconfig(f"https://127.0.0.1:{runner.addresses[0][1]}", authority)
            self.ready.set()
            await self.stopping.wait()
            await runner.cleanup()

    def _write_kubeconfig(self, server: str, authority: bytes) -> None:
        self.token_file.write_text(self.token)
        user = {"name": self.direct["users"][0]["name"], "user": {"tokenFile": str(self.token_file)}}
        cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
        config = {**self.direct, "clusters": [{**self.direct["clusters"][0], "cluster": cluster}], "users": [user]}
        self.kubeconfig.write_text(yaml.safe_dump(config))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        exchange = self._exchange(request)
        action = next((found for fault in self.faults if (found := fault(exchange))), Action())
        if not exchange.is_watch or action.silent:
            return await self._act(request, exchange, action)
        self.watches.append(request)  # from now on, so that none begins late with faults that have ended
        try:
            return await self._act(request, exchange, action)
        finally:
            self.watches.remove(request)

    async def _act(self, request: web.Request, exchange: Exchange, action: Action) -> web.StreamResponse:
        await asyncio.sleep(action.delay_seconds)
        if request.headers.get("Authorization", "").lower() != f"bearer {self.token}":
            action = Action(status=401)
        if action.cut:
            return _cut(request)
        if action.silent:
            return await self._silence(request, exchange)
        if action.status is not None:
            return _answer(action)
        if action.body is not None:
            return web.Response(body=action.body, content_type="application/json")
        try:
            return await self._pass_on(request, exchange, action)
        except aiohttp.ClientError:  # the server is down, or ends in the middle of an answer
            return _cut(request)

    async def _silence(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if exchange.is_watch:
            await response.prepare(request)
        await self.stopping.wait()
        return response

    async def _pass_on(self, request: web.Request, exchange: Exchange, action: Action) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in PROXYS_OWN}
        timeout = aiohttp.ClientTimeout(total=None)
        body = await request.read()
        async with self.session.request(
            request.method, request.raw_path, headers=headers, data=body or None, timeout=timeout
        ) as answer:
            if exchange.is_watch and answer.status == 200:
                return await self._stream(request, answer, action)
            data = await answer.read()
            if action.after:
                action.after()
                return _cut(request)
            kept = {k: v for k, v in answer.headers.items() if k.lower() in KEPT_HEADERS}
            return web.Response(status=answer.status, body=data, headers=kept)

    def _exchange(self, request: web.Request) -> Exchange:
        counts = request.method in MUTATING and "/leases" not in request.path and "/events" not in request.path
        number = len(self.writes) + 1 if counts else None
        exchange = Exchange(request.method, request.path, request.query_string, number)
        if counts:
            self.writes.append(exchange)
        if exchange.is_first_page:
            self.lists.add(exchange.raw_path)
        return exchange

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse, action: Action) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            async with contextlib.aclosing(_late(answer.content, action.lag_seconds)) as late:
                async for line in late:
                    for sent in action.lines(line) if action.lines else [line]:
                        await response.write(sent)
        except (ConnectionResetError, aiohttp.ClientError):  # the operator or the server is gone, or the watch was cut
            return _cut(request)
        return response


async def _late(lines: aiohttp.StreamReader, seconds: float) -> AsyncGenerator[bytes]:
    """The lines in their order, each so much later than it came."""
    coming: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop()

    async def read() -> None:
        async for line in lines:
            coming.put_nowait((clock.time() + seconds, line))

    reading = asyncio.create_task(read())
    reading.add_done_callback(lambda _: coming.put_nowait((clock.time() + seconds, b"")))
    try:
        while True:
            due, line = await coming.get()
            await asyncio.sleep(due - clock.time())
            if not line:
                break
            yield line
        await reading
    finally:
        reading.cancel()


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def _answer(action: Action) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": action.status, "message": "injected"}
    return web.Response(
        status=action.status or 500,
        text=json.dumps(status),
        content_type="application/json",
        headers=dict(action.headers),
    )


def certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate of 127.0.0.1, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fault-proxy")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), private
