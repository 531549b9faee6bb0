"""A call of the application's own routes inside the process: ASGI without a socket.

httpx's ASGITransport keeps the body until it is complete; a stream needs each part when it comes, and the route has to
learn of a client that left, so that vLLM stops generating for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mlservice_runtime.errors import failed

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
EXTENSION = "mlservice.inner"
BUFFERED = 16  # parts; a slow reader slows the route down, not the engine: vLLM joins what it has not sent yet


@dataclass(frozen=True)
class Reply:
    """A response that is still being sent."""

    status: int
    parts: AsyncIterator[bytes]

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([part async for part in self.parts])


@asynccontextmanager
async def call(
    app: App, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
) -> AsyncIterator[Reply]:
    """Call a route. Leaving the context early is, for the route, a client that disconnects."""
    messages: asyncio.Queue[Message | None] = asyncio.Queue(BUFFERED)
    left = asyncio.Event()
    unread = [body]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if not left.is_set():
            await messages.put(message)

    async def run() -> None:
        try:
            await app(scope(method, path, headers), receive, send)
        finally:
            if not left.is_set():
                await messages.put(None)

    async def parts() -> AsyncIterator[bytes]:
        while (message := await messages.get()) is not None:
            if message["type"] == "http.response.body":
                if message.get("body"):
                    yield bytes(message["body"])
                if not message.get("more_body"):
                    return

    route = asyncio.create_task(run())
    try:
        start = await messages.get()
        if start is None:
            raise failed("vLLM ended without an answer")
        yield Reply(start["status"], parts())
    finally:
        left.set()
        while not messages.empty():
            messages.get_nowait()
        # An exception was logged and answered with 500 by the application; there is nobody else to tell it to.
        await asyncio.gather(route, return_exceptions=True)


def scope(method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Message:
    """An HTTP connection as ASGI 2.3 describes it: there, a route listens for the client's disconnect."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers],
        "client": None,
        "server": None,
        "state": {},
        "extensions": {EXTENSION: {}},
    }
