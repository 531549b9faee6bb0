"""Forwards TCP connections: `forward.py PORT HOST PORT`. Run as a script: only the standard library is there.

The host's kubeconfig names 127.0.0.1, so that a dead cluster refuses connections. Its own address would be routed.
"""

import asyncio
import contextlib
import sys

CHUNK = 1 << 16


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends, and pass the end on; a broken connection breaks the other one."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def main(port: int, host: str, target: int) -> None:
    """Listen on 127.0.0.1 and forward every connection."""

    open_connections: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            there, back = await asyncio.open_connection(host, target)
            with contextlib.closing(back):
                await asyncio.gather(copy(reader, back), copy(there, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
