"""Inferences are run here: checked against what is served, sent to vLLM's own route, counted."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from mlservice_runtime import completion, inner
from mlservice_runtime.completion import Answer, Stream
from mlservice_runtime.errors import Code, TritonError, failed, from_openai
from mlservice_runtime.inference import Inference
from mlservice_runtime.statistics import Statistics

EXACTLY_ONE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various "
    "number of responses"
)
DECOUPLED_HTTP = "HTTP end point doesn't support models with decoupled transaction policy"
DECOUPLED_GRPC = "ModelInfer RPC doesn't support models with decoupled transaction policy"
FORWARDED = (b"x-request-id", b"traceparent", b"tracestate")


@dataclass
class Generation:
    """What runs inferences. `names` are the served model names; `key` is vLLM's API key, if it has one."""

    app: inner.App
    names: tuple[str, ...]
    key: str | None
    lora_enabled: bool = False
    statistics: dict[str, Statistics] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.statistics = {name: Statistics() for name in self.names}

    def find(self, model: str, version: str = "") -> None:
        """Raise NOT_FOUND for a model or version that is not served; the only version is 1."""
        if model not in self.names:
            raise TritonError(Code.NOT_FOUND, f"Request for unknown model: '{model}' is not found")
        if version not in ("", "1"):
            raise TritonError(Code.NOT_FOUND, f"Request for unknown model: '{model}' version {version} is not found")

    async def answers(
        self, asked: Inference, headers: list[tuple[bytes, bytes]] | None = None
    ) -> AsyncGenerator[Answer, None]:
        """Run an inference; closing the iterator early aborts it in the engine. Raises TritonError."""
        statistics = self.statistics[asked.model]
        started = time.monotonic_ns()
        try:
            await self.check_adapter(asked)
            async with inner.call(
                self.app, "POST", "/v1/completions", completion.body(asked), self.headers(headers or [])
            ) as reply:
                if reply.status != 200:
                    raise from_openai(reply.status, json.loads(await reply.body()))
                if not asked.stream:
                    yield completion.answer(json.loads(await reply.body()))
                else:
                    async for answer in streamed(asked, reply.parts):
                        yield answer
        except (TritonError, GeneratorExit, asyncio.CancelledError):
            statistics.failed(time.monotonic_ns() - started)
            raise
        except (ValueError, KeyError) as error:
            statistics.failed(time.monotonic_ns() - started)
            raise failed(f"vLLM's answer could not be read: {error!r}") from error
        statistics.succeeded(time.monotonic_ns() - started)

    async def one(self, asked: Inference, headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
        """Run an inference that has one response."""
        found = [answer async for answer in self.answers(asked, headers)]
        return found[0]

    async def check_adapter(self, asked: Inference) -> None:
        """A LoRA adapter is named by a parameter, so that the errors are those of Triton's backend."""
        if asked.lora is None:
            return
        if not self.lora_enabled:
            raise failed("LoRA feature is not enabled.")
        async with inner.call(self.app, "GET", "/v1/models", headers=self.headers([])) as reply:
            models = json.loads(await reply.body())["data"]
        adapters = [model["id"] for model in models if model["id"] not in self.names]
        if asked.lora not in adapters:
            raise failed(f"LoRA {asked.lora} is not supported, we currently support {adapters}")

    def headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers for vLLM: the key, and what ties a request to a trace."""
        kept = [(name, value) for name, value in given if name in FORWARDED]
        return [*kept, (b"authorization", f"Bearer {self.key}".encode())] if self.key else kept


async def streamed(asked: Inference, parts: AsyncIterator[bytes]) -> AsyncIterator[Answer]:
    """The answers in a stream of server-sent events, however they are cut into parts."""
    count = asked.parameters.get("n", 1)
    stream = Stream(int(count) if str(count).isdecimal() else 1)
    rest = b""
    async for part in parts:
        *events, rest = (rest + part).split(b"\n\n")
        for event in events:
            for answer in stream.answers(event):
                yield answer
