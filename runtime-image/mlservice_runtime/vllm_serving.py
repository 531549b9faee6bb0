"""vLLM's own completions inside the process: all that its /v1/completions does, without the JSON at the end.

Validation, tokenization, admission control, LoRA adapters, sampling parameters, tracing and the texts of errors are
those of vLLM's OpenAIServingCompletion. Only its last step is another one: it hands on what the engine puts out. To
write each token as OpenAI's JSON, send that through ASGI and read it again cost as much as Triton's protocols.
"""

import copy
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mlservice_runtime.errors import TritonError, failed, from_openai

Header = tuple[bytes, bytes]


class VllmServing:
    """vLLM's completions and models. `app` is the application whose state vLLM has set up."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        found = getattr(app.state, "openai_serving_completion", None)
        self.completions = found and with_outputs(found)

    async def outputs(self, body: dict[str, Any], headers: Iterable[Header]) -> AsyncGenerator[Any, None]:
        """Run a completion request: a vllm.outputs.RequestOutput for each step of a stream, or one.

        Closing the iterator early aborts the request in the engine. Raises TritonError with the text that vLLM's own
        routes have for the error.
        """
        http = Request({"type": "http", "method": "POST", "headers": list(headers), "app": self.app, "state": {}})
        try:
            if self.completions is None:
                raise failed("The model does not support Completions API")
            made = await self.completions.create_completion(valid(body), http)
            if hasattr(made, "error"):
                raise from_openai(made.error.code, made.model_dump())
            if not body["stream"]:
                yield made
                return
            async with aclosing(made) as outputs:
                async for output in outputs:
                    yield output
        except TritonError:
            raise
        except Exception as error:
            raise await self.told(error, http) from error

    async def told(self, error: Exception, http: Request) -> TritonError:
        """An exception as vLLM's own handlers tell it to a client."""
        handlers = self.app.exception_handlers
        handler: Any = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
        answer = await handler(http, error)
        return from_openai(answer.status_code, json.loads(answer.body))

    async def adapters(self) -> list[str]:
        """The names of the LoRA adapters that are loaded now."""
        models = self.app.state.openai_serving_models
        known = {model.name for model in models.base_model_paths}
        return [card.id for card in (await models.show_available_models()).data if card.id not in known]


def with_outputs(serving: Any) -> Any:
    """A vllm.entrypoints.openai.completion.serving.OpenAIServingCompletion that answers with the engine's outputs.

    The two methods that write OpenAI's JSON get the outputs as third and first argument, in vLLM 0.26 to 0.33.
    """

    async def streamed(request: Any, inputs: Any, results: Any, *_: Any, **__: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(results):
            async for _prompt, output in results:
                yield output

    def whole(results: list[Any], *_: Any, **__: Any) -> Any:
        return results[0]

    made = copy.copy(serving)
    replaced = {"completion_stream_generator": streamed, "request_output_to_completion_response": whole}
    for name, replacement in replaced.items():
        if not hasattr(serving, name):
            raise SystemExit(f"vLLM's {type(serving).__name__} has no {name}: the plugin knows vLLM 0.26 to 0.33")
        setattr(made, name, replacement)
    return made


def valid(body: dict[str, Any]) -> Any:
    """The request as vLLM's own class, validated as FastAPI does for its routes."""
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    try:
        return CompletionRequest.model_validate(body)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found) from error
