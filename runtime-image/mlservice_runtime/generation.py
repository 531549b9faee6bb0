"""Inferences are run here: checked against what is served, given to vLLM, counted."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from mlservice_runtime import completion
from mlservice_runtime.activity import Activity
from mlservice_runtime.completion import Answer, Answers
from mlservice_runtime.errors import Code, TritonError, failed
from mlservice_runtime.inference import Inference
from mlservice_runtime.statistics import Statistics
from mlservice_runtime.vllm_serving import Header, VllmServing

EXACTLY_ONE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various "
    "number of responses"
)
DECOUPLED_HTTP = "HTTP end point doesn't support models with decoupled transaction policy"
DECOUPLED_GRPC = "ModelInfer RPC doesn't support models with decoupled transaction policy"
FORWARDED = (b"x-request-id", b"traceparent", b"tracestate")


@dataclass
class Generation:
    """What runs inferences. `names` are the served model names."""

    serving: VllmServing
    activity: Activity
    names: tuple[str, ...]
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

    def counted(self, model: str = "", version: str = "") -> list[dict[str, Any]]:
        """The statistics of a model, or of all; one that is not there is INVALID_ARG here, and not NOT_FOUND."""
        if model and model not in self.names:
            raise TritonError(Code.INVALID_ARG, f"requested model '{model}' is not available")
        if model and version not in ("", "1"):
            raise TritonError(Code.INVALID_ARG, f"requested model version is not available for model '{model}'")
        return [self.statistics[name].document(name) for name in ((model,) if model else self.names)]

    async def answers(self, asked: Inference, headers: Iterable[Header] = ()) -> AsyncGenerator[Answer, None]:
        """Run an inference; closing the iterator early aborts it in the engine. Raises TritonError."""
        statistics = self.statistics[asked.model]
        started = time.monotonic_ns()
        waiting = object()
        try:
            await self.check_adapter(asked)
            answers = Answers(asked)
            kept = [header for header in headers if header[0] in FORWARDED]
            async with aclosing(self.serving.outputs(completion.request(asked), kept)) as outputs:
                self.activity.wait(waiting)
                async for output in outputs:
                    self.activity.stop_waiting(waiting)
                    yield answers.answer(output)
                    self.activity.wait(waiting)
        except (TritonError, GeneratorExit, asyncio.CancelledError) as error:
            statistics.failed(time.monotonic_ns() - started, reason(error))
            raise
        finally:
            self.activity.stop_waiting(waiting)
        statistics.succeeded(time.monotonic_ns() - started)

    async def one(self, asked: Inference, headers: Iterable[Header] = ()) -> Answer:
        """Run an inference that has one response."""
        found = [answer async for answer in self.answers(asked, headers)]
        return found[0]

    async def check_adapter(self, asked: Inference) -> None:
        """A LoRA adapter is named by a parameter, so that the errors are those of Triton's backend."""
        if asked.lora is None:
            return
        if not self.lora_enabled:
            raise failed("LoRA feature is not enabled.")
        adapters = await self.serving.adapters()
        if asked.lora not in adapters:
            raise failed(f"LoRA {asked.lora} is not supported, we currently support {adapters}")


def reason(error: BaseException) -> str:
    """Triton's word for why an inference failed."""
    if not isinstance(error, TritonError):
        return "CANCELED"
    return "REJECTED" if error.code is Code.UNAVAILABLE else "BACKEND"
