"""The operator's own HTTP server: /healthz, /readyz and /metrics."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], list[str]]
"""Answers what is wrong, one line each; nothing wrong is an empty list."""


async def serve(host: str, port: int, healthy: Check, ready: Check) -> tuple[web.AppRunner, int]:
    """Start serving; return the runner, to be cleaned up, and the port."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(healthy())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return runner, runner.addresses[0][1]


def _answer(problems: list[str]) -> web.Response:
    return web.Response(text="\n".join(problems or ["ok"]) + "\n", status=503 if problems else 200)


class Clock:
    """Remembers when each worker took up its key, to notice one that is stuck."""

    def __init__(self) -> None:
        self._since: dict[object, float] = {}

    def start(self, what: object) -> None:
        self._since[what] = time.monotonic()

    def stop(self, what: object) -> None:
        self._since.pop(what, None)

    def older_than(self, seconds: float) -> list[object]:
        now = time.monotonic()
        return [what for what, since in self._since.items() if now - since > seconds]
