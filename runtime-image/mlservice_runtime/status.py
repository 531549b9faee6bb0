"""The status port, which answers from the first second on, and the socket on which the plugin tells what it knows."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlservice_runtime.progress import Phase, Progress

SOCKET = "launcher"


class Handler(BaseHTTPRequestHandler):
    """GET /startup (200 once the server has been ready, else 503), /status (JSON), / (a line of text)."""

    server: "StatusServer"
    timeout = 10

    def do_GET(self) -> None:
        progress = self.server.progress
        path = self.path.partition("?")[0]
        kind, body = "text/plain; charset=utf-8", f"{progress.text()}\n"
        status = 200
        if path == "/status":
            kind, body = "application/json", f"{json.dumps(progress.state())}\n"
        elif path == "/startup":
            status = 200 if progress.started else 503
        elif path != "/":
            status, body = 404, "There are /startup, /status and /.\n"
        content = body.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class StatusServer(ThreadingHTTPServer):
    """Serves the progress on a port of all addresses."""

    daemon_threads = True

    def __init__(self, port: int, progress: Progress) -> None:
        self.progress = progress
        super().__init__(("", port), Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, which takes seconds where there is none."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "", self.socket.getsockname()[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to write about."""


def serve(port: int, progress: Progress) -> StatusServer:
    """Answer on the port, on a thread. An OSError says that it is taken."""
    server = StatusServer(port, progress)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listen(folder: Path, heard: Callable[[Phase], None]) -> socket.socket:
    """Hear, on a thread, what the plugin tells of a later process: that it is ready, that it drains."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.bind(str(path))

    def loop() -> None:
        while told := opened.recv(64):
            heard(Phase(told.decode()))
        opened.close()

    threading.Thread(target=loop, daemon=True).start()
    return opened


def tell(folder: Path, phase: Phase) -> None:
    """Tell the launcher; without one there is nobody to hear it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        try:
            opened.sendto(phase.encode(), str(folder / SOCKET))
        except OSError:
            return
