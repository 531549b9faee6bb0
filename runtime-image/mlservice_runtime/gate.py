"""The outermost middleware: keys, sizes, what is in flight. It stands before vLLM's own, which guards prefixes only."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException

from mlservice_runtime.access import Access, access
from mlservice_runtime.activity import Activity
from mlservice_runtime.health import Health
from mlservice_runtime.keys import Keys
from mlservice_runtime.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Gate:
    """ASGI middleware. `opened` is awaited when the application starts, `closed` when it has served its last."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        keys: Keys,
        activity: Activity,
        health: Health,
        opened: Callable[[], Awaitable[None]],
        closed: Callable[[], Awaitable[None]],
    ) -> None:
        self.app = app
        self.settings = settings
        self.keys = keys
        self.activity = activity
        self.health = health
        self.opened = opened
        self.closed = closed

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        kind = access(path)
        if refusal := self.refusal(kind, path, scope):
            await refuse(scope, send, *refusal)
        elif kind in (Access.HEALTH, Access.METRICS):
            # vLLM's own middleware guards /v2, so the key is added for it.
            if self.keys.all:
                scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {self.keys.all[0]}".encode())]
            await self.app(scope, receive, send)
        else:
            with self.activity.request():
                await self.watched(kind, scope, self.bounded(receive), send)

    def refusal(self, kind: Access | None, path: str, scope: Message) -> tuple[int, dict[str, Any]] | None:
        """The status and body for a request that is not let in."""
        if kind is Access.ADMIN and not self.settings.admin_routes:
            return 404, {"error": "Not Found"}
        if kind is None and path.startswith("/v2/"):
            return 404, {"error": "Not Found"}
        headers = dict(scope["headers"])
        open_route = kind is Access.HEALTH or (kind is Access.METRICS and not self.settings.keyed_metrics)
        # A browser asks with OPTIONS whether it may send the key, so it cannot send the key then.
        if not open_route and scope.get("method") != "OPTIONS" and not self.keys.accept(headers.get(b"authorization")):
            return 401, {"error": "Unauthorized"}
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.settings.max_body_bytes:
            message = self.too_large(int(length))
            if path.startswith("/v2"):
                return 400, {"error": message}
            return 413, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 413}}
        return None

    def too_large(self, size: int) -> str:
        return (
            f"request size of {size} bytes exceeds the maximum allowed input size of {self.settings.max_body_bytes} "
            "bytes. Use MLSERVICE_RUNTIME_MAX_BODY_BYTES to increase the limit."
        )

    def bounded(self, receive: Receive) -> Receive:
        """A body without a length is counted while it comes."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.settings.max_body_bytes:
                raise HTTPException(413, self.too_large(size))
            return message

        return counted

    async def watched(self, kind: Access | None, scope: Message, receive: Receive, send: Send) -> None:
        """Note from when to when a request waits for the engine, and not for its client.

        While draining, each response ends its connection, so that its client goes elsewhere with the next request.
        """
        token = object() if kind is Access.ENGINE else None

        async def read() -> Message:
            message = await receive()
            if token and message["type"] == "http.request" and not message.get("more_body"):
                self.activity.wait(token)
            return message

        async def write(message: Message) -> None:
            if self.health.draining and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            self.activity.stop_waiting(token)
            await send(message)
            if token and message.get("more_body"):
                self.activity.wait(token)

        try:
            await self.app(scope, read, write)
        finally:
            self.activity.stop_waiting(token)

    async def lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        """Open our ports when the application is up, close them before it goes down."""

        async def told() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.closed()
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self.opened()
            await send(message)

        await self.app(scope, told, tell)


async def refuse(scope: Message, send: Send, status: int, content: dict[str, Any]) -> None:
    """Answer a request without letting it in."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "Unauthorized"})
        return
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
