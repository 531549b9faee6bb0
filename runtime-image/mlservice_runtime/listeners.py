"""The ports beside vLLM's own: Triton's 8000 (HTTP), 8001 (gRPC) and 8002 (metrics)."""

import asyncio
import contextlib
import socket
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import grpc
import uvicorn

from mlservice_runtime.gate import App, Message, Receive, Send, refuse
from mlservice_runtime.log import logger
from mlservice_runtime.settings import Settings

GRACE_SECONDS = 5.0


class Server(uvicorn.Server):
    """uvicorn leaves signals to whoever handles them, which is vLLM."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listeners:
    """All our ports. They are bound before the server is ready, so that a port that is taken ends the start."""

    def __init__(self, settings: Settings, app: App, args: Namespace, service: grpc.aio.Server) -> None:
        self.settings = settings
        self.app = app
        self.args = args
        self.service = service
        self.own_port = 0 if args.uds else args.port
        self.host = args.host or "0.0.0.0"  # noqa: S104
        self.http: list[tuple[str, App, socket.socket]] = []
        self.servers: list[Server] = []
        self.serving: list[asyncio.Task[None]] = []

    def bind(self) -> None:
        """Bind the ports; SystemExit names the one that is taken and the variable that moves it."""
        port = self.settings.http_port
        if port and port != self.own_port:
            self.http.append(("HTTPService", self.app, self.bound(port, "HTTP_PORT")))
        if port := self.beside(self.settings.metrics_port, "Metrics Service"):
            self.http.append(("Metrics Service", self.metrics, self.bound(port, "METRICS_PORT")))
        if port := self.beside(self.settings.grpc_port, "GRPCInferenceService"):
            self.bound(port, "GRPC_PORT").close()
            address = f"{self.host}:{port}"
            if self.args.ssl_certfile:
                key, certificate = (Path(self.args.ssl_keyfile), Path(self.args.ssl_certfile))
                pairs = [(key.read_bytes(), certificate.read_bytes())]
                self.service.add_secure_port(address, grpc.ssl_server_credentials(pairs))
            else:
                self.service.add_insecure_port(address)

    def beside(self, port: int, name: str) -> int:
        """The port, or 0 where vLLM itself was told to listen there: what the user says wins."""
        if port and port == self.own_port:
            logger.warning("%s is not started: vLLM listens at its port %d", name, port)
            return 0
        return port

    def bound(self, port: int, setting: str) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if (self.args.api_server_count or 1) > 1:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            made.bind((self.host, port))
        except OSError as error:
            raise SystemExit(
                f"Port {port} cannot be used: {error.strerror}. "
                f"Set MLSERVICE_RUNTIME_{setting} to another port, or to 0 to do without it."
            ) from None
        return made

    async def open(self) -> None:
        """Serve; the log has the three lines that Triton writes when it is up."""
        if self.settings.grpc_port not in (0, self.own_port):
            await self.service.start()
            logger.info("Started GRPCInferenceService at %s:%d", self.host, self.settings.grpc_port)
        if self.settings.http_port == self.own_port:
            logger.info("Started HTTPService at %s:%d", self.host, self.own_port)
        for name, app, bound in self.http:
            config = uvicorn.Config(
                app,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=int(GRACE_SECONDS),
                ssl_keyfile=self.args.ssl_keyfile,
                ssl_certfile=self.args.ssl_certfile,
            )
            self.servers.append(Server(config))
            self.serving.append(asyncio.create_task(self.servers[-1].serve(sockets=[bound])))
            logger.info("Started %s at %s:%d", name, self.host, bound.getsockname()[1])

    async def stop_grpc(self, grace: float) -> None:
        """Let running gRPC calls end, and tell their clients to connect elsewhere."""
        await self.service.stop(grace)

    async def close(self) -> None:
        """Stop serving."""
        for server in self.servers:
            server.should_exit = True
        await self.stop_grpc(GRACE_SECONDS)
        await asyncio.gather(*self.serving, return_exceptions=True)

    async def metrics(self, scope: Message, receive: Receive, send: Send) -> None:
        """vLLM's metrics and nothing else."""
        if scope["path"].rstrip("/") not in ("", "/metrics"):
            await refuse(scope, send, 404, {"error": "Not Found"})
            return
        await self.app({**scope, "path": "/metrics", "raw_path": b"/metrics"}, receive, send)
