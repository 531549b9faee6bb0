"""A validating admission webhook on loopback that denies until it is told to allow."""

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local_cluster.pki import Authority


class Webhook:
    """An HTTPS server with a certificate of its own authority, as a context manager."""

    def __init__(self, folder: Path, message: str, code: int = 403) -> None:
        self.message, self.code = message, code
        self.allows = False
        self.asked: list[str] = []
        """Kind and name of each object that it was asked about."""
        authority = Authority(folder)
        authority.serving("webhook", ["127.0.0.1"])
        self.authority = base64.b64encode(authority.certificate.read_bytes()).decode()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "webhook.crt", folder / "webhook.key")
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def review(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to an AdmissionReview's request."""
        self.asked.append(f"{request['kind']['kind']} {request['name']}")
        refusal = {} if self.allows else {"status": {"message": self.message, "code": self.code}}
        return {"uid": request["uid"], "allowed": self.allows, **refusal}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        review = self.review

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = {k: asked[k] for k in ("apiVersion", "kind")} | {"response": review(asked["request"])}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """pytest shows what fails; requests are no news."""

        return Handler
