"""Free TCP ports, and who holds one that is taken."""

import random
import socket
from pathlib import Path

# Below the range from which Linux takes the ports of outgoing connections, so that none of those comes between.
RANGE = range(20_000, 32_000)


def free(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(RANGE)  # noqa: S311
        if port not in found and is_free(port):
            found.append(port)
    return found


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Can a server listen on the port?"""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on a port of this machine, as `NAME (pid PID)`; `another program` when that cannot be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) in inodes for descriptor in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue
    return "another program"
