"""Triton's HTTP protocol on vLLM's own application (server/src/http_server.cc; docs/protocol of Triton)."""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from mlservice_runtime import completion, description, generate_json, infer_json
from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.generation import DECOUPLED_HTTP, EXACTLY_ONE, Generation
from mlservice_runtime.health import Health
from mlservice_runtime.inference import Inference

# Not only ([^/]+) for the name, as in Triton: names of model hubs have a slash.
MODEL = re.compile(
    r"(?P<model>.+?)(?:/versions/(?P<version>[0-9]+))?"
    r"(?:/(?P<action>infer|generate|generate_stream|ready|config|stats))?"
)
# vLLM owns /v2/embed and /v2/rerank: there is no route for all of /v2.
ROUTES = ("/v2", "/v2/", "/v2/health/{path:path}", "/v2/models/{path:path}", "/v2/repository/{path:path}")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
EVENTS = "text/event-stream; charset=utf-8"
Result = TypeVar("Result")


class TritonHttp:
    """The routes, and what they need."""

    def __init__(self, generation: Callable[[], Generation], health: Health, max_body_bytes: int) -> None:
        self.generation = generation
        self.health = health
        self.max_body_bytes = max_body_bytes

    def attach(self, app: FastAPI) -> None:
        """Add the routes; the handler reads the body itself, so that FastAPI's own validation never answers."""
        for path in ROUTES:
            app.add_api_route(path, self.handle, methods=METHODS, include_in_schema=False, name="triton")

    async def handle(self, request: Request) -> Response:
        """Answer any request below /v2 of ours."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        try:
            return await self.dispatch(request, path)
        except TritonError as error:
            return problem(error)
        except HTTPException as error:  # of reading the body, which the gate bounds
            return problem(TritonError(Code.INVALID_ARG, error.detail))

    async def dispatch(self, request: Request, path: str) -> Response:
        if path in ("/v2", "/v2/"):
            return get(request) or document(description.server())
        if path == "/v2/health/live":
            return get(request) or Response(status_code=200 if await self.health.live() else 400)
        if path == "/v2/health/ready":
            return get(request) or Response(status_code=200 if await self.health.ready() else 400)
        if path == "/v2/models/stats":
            return get(request) or document({"model_stats": self.generation().counted()})
        if path == "/v2/repository/index":
            return post(request) or document(description.index(self.generation().names))
        if loading := re.fullmatch(r"/v2/repository/models/(.+)/(load|unload)", path):
            return post(request) or problem(TritonError(Code.UNAVAILABLE, description.fixed(loading[1])))
        found = path.startswith("/v2/models/") and MODEL.fullmatch(path.removeprefix("/v2/models/"))
        if not found:
            return not_found()
        return await self.model(request, found["model"], found["version"] or "", found["action"])

    async def model(self, request: Request, model: str, version: str, action: str | None) -> Response:
        """A request about one model."""
        if action in ("infer", "generate", "generate_stream"):
            return post(request) or await self.run(request, model, version, action)
        if refused := get(request):
            return refused
        generation = self.generation()
        if action == "ready":
            served = model in generation.names and version in ("", "1")
            if served and await self.health.ready():
                return Response()
            return document({"error": "Model version not ready"}, 400)
        if action == "stats":
            return document({"model_stats": generation.counted(model, version)})
        generation.find(model, version)
        return document(description.metadata(model) if action is None else description.config_document(model))

    async def run(self, request: Request, model: str, version: str, action: str) -> Response:
        """An inference."""
        self.generation().find(model, version)
        body = await request.body()
        if action == "infer":
            return await self.infer(request, model, self.plain(body, request.headers.get("content-encoding")))
        if request.headers.get("content-encoding", "identity") != "identity":
            raise TritonError(Code.INVALID_ARG, "Unsupported content-encoding, only 'identity' is supported.")
        asked = generate_json.request(model, body)
        if action == "generate_stream":
            return await self.stream(request, asked)
        if asked.stream:
            raise TritonError(Code.INTERNAL, EXACTLY_ONE)
        answer = await unless_gone(request, self.generation().one(asked, request.scope["headers"]))
        return Response(generate_json.response(asked, completion.outputs(asked, answer)), media_type="application/json")

    async def infer(self, request: Request, model: str, body: bytes) -> Response:
        """The single-response inference of the V2 protocol, which Triton itself refuses for its vLLM models."""
        asked, as_binary = infer_json.request(model, body, request.headers.get(infer_json.HEADER_LENGTH))
        if asked.stream:
            raise TritonError(Code.UNSUPPORTED, DECOUPLED_HTTP)
        answer = await unless_gone(request, self.generation().one(asked, request.scope["headers"]))
        content, length = infer_json.response(asked, completion.outputs(asked, answer), as_binary)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={infer_json.HEADER_LENGTH: str(length)})

    async def stream(self, request: Request, asked: Inference) -> Response:
        """The first response decides on the status; an error after it is an event."""
        answers = self.generation().answers(asked, request.scope["headers"])

        async def event() -> bytes | None:
            answer = await anext(answers, None)
            if answer is None:
                return None
            return b"data: %b\n\n" % generate_json.response(asked, completion.outputs(asked, answer))

        async def events(first: bytes | None) -> AsyncIterator[bytes]:
            try:
                while first is not None:
                    yield first
                    first = await event()
            except TritonError as error:
                yield b"data: %b\n\n" % json.dumps({"error": error.message}).encode()
            finally:
                await answers.aclose()

        try:
            first = await unless_gone(request, event())
        except TritonError as error:
            content = b"data: %b\n\n" % json.dumps({"error": error.message}).encode()
            return Response(content, error.code.http, media_type=EVENTS)
        return StreamingResponse(events(first), media_type=EVENTS)

    def plain(self, body: bytes, encoding: str | None) -> bytes:
        """A body without its compression; it may not grow above the limit."""
        if encoding in (None, "identity"):
            return body
        if encoding not in ("gzip", "deflate"):
            raise TritonError(Code.UNSUPPORTED, "Unsupported compression type")
        reader = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
        try:
            plain = reader.decompress(body, self.max_body_bytes)
        except zlib.error as error:
            raise TritonError(Code.INVALID_ARG, f"the body is not {encoding}: {error}") from None
        if reader.unconsumed_tail or not reader.eof:
            raise TritonError(
                Code.INVALID_ARG, f"the {encoding} body is cut, or larger than {self.max_body_bytes} bytes"
            )
        return plain


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work, or break it off when the client disconnects: the engine must not generate for nobody."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(gone(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise TritonError(Code.CANCELLED, "the client disconnected")
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def get(request: Request) -> Response | None:
    return None if request.method in ("GET", "HEAD") else not_allowed()


def post(request: Request) -> Response | None:
    return None if request.method == "POST" else not_allowed()


def not_allowed() -> Response:
    return document({"error": "Method Not Allowed"}, 405)


def not_found() -> Response:
    return document({"error": "Not Found"}, 404)


def problem(error: TritonError) -> Response:
    return document({"error": error.message}, error.code.http)


def document(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), status, media_type="application/json")
