"""Draining: before a pod is stopped it must be out of the endpoints and have finished what it was asked.

vLLM refuses new requests from the moment of SIGTERM, and keeps saying that it is healthy. So the preStop hook runs
`python3 -m mlservice_runtime drain`, which asks the server, over a socket in a folder that only this container sees, to
say that it is not ready, to go on serving while routers learn of it, and to report when it is idle.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from mlservice_runtime import status
from mlservice_runtime.activity import Activity
from mlservice_runtime.health import Health
from mlservice_runtime.log import logger
from mlservice_runtime.progress import Phase

POLL_SECONDS = 0.1
IDLE_SECONDS = 0.5


class Drain:
    """The server's side: one socket for each process that serves."""

    def __init__(
        self, folder: Path, activity: Activity, health: Health, stop: Callable[[float], Coroutine[None, None, None]]
    ) -> None:
        self.socket = folder / f"{os.getpid()}.sock"
        self.activity = activity
        self.health = health
        self.stop = stop
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. What a killed server left is no hindrance."""
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self.serve, path=str(self.socket))

    async def close(self) -> None:
        if self.server:
            self.server.close()
        self.socket.unlink(missing_ok=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Drain for one command, telling it how many requests are in flight."""
        order = json.loads(await reader.readline())
        self.health.draining = True
        status.tell(self.socket.parent, Phase.DRAINING)
        logger.info("Draining: not ready from now on, %d requests in flight", self.activity.in_flight)
        await asyncio.sleep(order["settle"])
        stopping = asyncio.create_task(self.stop(order["max"]))
        loop = asyncio.get_running_loop()
        end, idle = loop.time() + order["max"], 0.0
        while loop.time() < end and idle < IDLE_SECONDS:
            idle = 0.0 if self.activity.in_flight else idle + POLL_SECONDS
            writer.write(f"{self.activity.in_flight}\n".encode())
            await asyncio.sleep(POLL_SECONDS)
        logger.info("Drained: %d requests in flight", self.activity.in_flight)
        writer.write(b"done\n")
        writer.close()
        await stopping


def run(folder: Path, settle: float, longest: float) -> int:
    """The command's side; returns when all processes are idle or `longest` seconds after settling."""
    return asyncio.run(drain_all(sorted(folder.glob("*.sock")), settle, longest))


async def drain_all(sockets: list[Path], settle: float, longest: float) -> int:
    left = await asyncio.gather(*(drain_one(socket, settle, longest) for socket in sockets))
    known = [count for count in left if count is not None]
    if not known:
        print("Nothing to drain: no server is up")
    else:
        print("Drained" if not sum(known) else f"{sum(known)} requests are still in flight after {longest:g} s")
    return 0


async def drain_one(socket: Path, settle: float, longest: float) -> int | None:
    """The requests that are left at the end, or None when no server is behind the socket."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return None
    writer.write(json.dumps({"settle": settle, "max": longest}).encode() + b"\n")
    left, last = 0, None
    async for line in lines(reader):
        if line.isdecimal() and line != last:
            left, last = int(line), line
            print(f"{left} requests in flight", flush=True)
    writer.close()
    return left


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    while line := await reader.readline():
        yield line.decode().strip()
