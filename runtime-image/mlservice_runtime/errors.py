"""Triton's errors: a code, which HTTP and gRPC each have a number for, and a text."""

from enum import Enum
from typing import Any


class Code(Enum):
    """TRITONSERVER_Error_Code with its HTTP status (server/src/http_server.cc: HttpCodeFromError) and gRPC name."""

    UNKNOWN = (400, "UNKNOWN")
    INTERNAL = (500, "INTERNAL")
    NOT_FOUND = (404, "NOT_FOUND")
    INVALID_ARG = (400, "INVALID_ARGUMENT")
    UNAVAILABLE = (503, "UNAVAILABLE")
    UNSUPPORTED = (501, "UNIMPLEMENTED")
    CANCELLED = (400, "CANCELLED")

    def __init__(self, http: int, grpc: str) -> None:
        self.http = http
        self.grpc = grpc


class TritonError(Exception):
    """A request that failed, as Triton tells it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"TritonError({self.code.name}, {self.message!r})"


def failed(message: str) -> TritonError:
    """What Triton's vLLM backend answers when vLLM refuses or breaks off a request."""
    return TritonError(Code.INTERNAL, f"Error generating stream: {message}")


def from_openai(status: int, body: Any) -> TritonError:
    """An error of vLLM's OpenAI routes. A full queue stays 503, so that a client or a router tries again elsewhere."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    return TritonError(Code.UNAVAILABLE, message) if status == 503 else failed(message)
