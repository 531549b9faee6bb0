"""An inference as a request to vLLM's /v1/completions, and its answers as tensors. Pure.

The OpenAI route is vLLM's most stable interface: its validation, admission control, LoRA adapters and metrics apply.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlservice_runtime.errors import failed, from_openai
from mlservice_runtime.inference import OUTPUTS, Inference
from mlservice_runtime.tensors import Tensor

# Fields of vllm.SamplingParams that /v1/completions takes under the same name, in vLLM 0.26 to 0.33. Triton's clients
# send text only (their parameters are a map of strings), so it is read as what the field is; `object` is JSON.
PARAMETERS: dict[str, type] = {
    **dict.fromkeys(("n", "top_k", "seed", "max_tokens", "min_tokens", "logprobs", "truncate_prompt_tokens"), int),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "repetition_penalty", "temperature", "top_p"), float),
    **dict.fromkeys(("ignore_eos", "skip_special_tokens", "spaces_between_special_tokens"), bool),
    **dict.fromkeys(("stop_token_ids", "allowed_token_ids", "bad_words", "logit_bias", "structured_outputs"), object),
    **dict.fromkeys(("repetition_detection", "extra_args"), object),
    "min_p": float,
    "thinking_token_budget": int,
    "include_stop_str_in_output": bool,
    "stop": str,
}
RENAMED = {"extra_args": "vllm_xargs"}
DETAILS = frozenset({"cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens"})


@dataclass(frozen=True)
class Choice:
    """What one response says of one of the `n` answers; in a stream, what is new."""

    text: str = ""
    finish_reason: str | None = None
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()
    cumulative_logprob: float = 0.0


@dataclass(frozen=True)
class Answer:
    """One response."""

    choices: tuple[Choice, ...]
    num_input_tokens: int = 0
    final: bool = True


def body(asked: Inference) -> bytes:
    """The completion request; raises TritonError for a parameter that is not vLLM's."""
    request: dict[str, Any] = {"model": asked.lora or asked.model, "prompt": asked.text, "stream": asked.stream}
    for name, value in asked.parameters.items():
        if name not in PARAMETERS:
            raise failed(f"Unexpected keyword argument '{name}': it is no sampling parameter")
        request[RENAMED.get(name, name)] = parameter(name, value)
    if not DETAILS.isdisjoint(asked.outputs):
        request["return_token_ids"] = True
    if {"cumulative_logprob", "logprobs"} & set(asked.outputs):
        request.setdefault("logprobs", 0)
        request["return_tokens_as_token_ids"] = True
    return json.dumps(request).encode()


def parameter(name: str, value: Any) -> Any:
    """The value of a sampling parameter; text must be what the field holds, other types are vLLM's to judge."""
    kind = PARAMETERS[name]
    if not isinstance(value, str) or kind is str:
        return value
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return json.loads(value) if kind is object else kind(value)
    except (ValueError, KeyError, RecursionError):
        wanted = "JSON" if kind is object else kind.__name__
        raise failed(f"parameter '{name}' must be {wanted}, it is {value!r}") from None


def answer(document: dict[str, Any]) -> Answer:
    """The answer of a request without `stream`."""
    choices = sorted(document["choices"], key=lambda choice: int(choice["index"]))
    return Answer(tuple(map(a_choice, choices)), len(choices[0].get("prompt_token_ids") or ()))


class Stream:
    """Makes answers of the events of a stream, one of each, the last of them final."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.unfinished = set(range(count))
        self.num_input_tokens = 0

    def answers(self, event: bytes) -> Iterator[Answer]:
        """The answers in one server-sent event; raises TritonError for an event that tells of an error."""
        data = event.strip().removeprefix(b"data:").strip()
        if not data or data == b"[DONE]" or data.startswith(b":"):
            return
        document = json.loads(data)
        if "error" in document:
            raise from_openai(int(document["error"].get("code") or 500), document)
        for choice in document["choices"]:
            self.num_input_tokens = self.num_input_tokens or len(choice.get("prompt_token_ids") or ())
            if choice.get("finish_reason"):
                self.unfinished.discard(choice["index"])
            choices = [Choice()] * self.count
            choices[choice["index"]] = a_choice(choice)
            yield Answer(tuple(choices), self.num_input_tokens, final=not self.unfinished)


def a_choice(choice: dict[str, Any]) -> Choice:
    text, finish_reason = choice["text"], choice.get("finish_reason")
    token_ids = tuple(choice.get("token_ids") or ())
    logprobs = choice.get("logprobs")
    if not logprobs:
        return Choice(text, finish_reason, token_ids)
    positions = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    told = tuple(position(*at) for at in positions)
    return Choice(text, finish_reason, token_ids, told, math.fsum(logprobs["token_logprobs"]))


def position(token: str, logprob: float, top: dict[str, float] | None) -> dict[str, Any]:
    """Token ids with their log probabilities; the rank of a sampled one that is not among the first is unknown."""
    ranked = sorted((top or {}).items(), key=lambda item: -item[1])
    found = {token: {"logprob": logprob, "rank": None}} | {
        name: {"logprob": value, "rank": rank} for rank, (name, value) in enumerate(ranked, 1)
    }
    return {name.removeprefix("token_id:"): entry for name, entry in found.items()}


def outputs(asked: Inference, given: Answer) -> list[Tensor]:
    """The tensors that were asked for. The prompt is prepended unless it was excluded or the answer is a stream's."""
    return [tensor(name, values(name, asked, given)) for name in asked.outputs]


def tensor(name: str, found: list[Any]) -> Tensor:
    return Tensor(name, OUTPUTS[name], (len(found),), found)


def values(name: str, asked: Inference, given: Answer) -> list[Any]:
    """The values of one output; made for each token of a stream, so only what is wanted."""
    choices = given.choices
    match name:
        case "text_output":
            prompt = "" if asked.exclude_input else asked.text
            return [(prompt + choice.text).encode(errors="replace") for choice in choices]
        case "finish_reason":
            return [str(choice.finish_reason).encode() for choice in choices]
        case "cumulative_logprob":
            return [choice.cumulative_logprob for choice in choices]
        case "logprobs":
            return [json.dumps(choice.logprobs).encode() for choice in choices]
        case "num_input_tokens":
            return [given.num_input_tokens]
        case _:
            return [len(choice.token_ids) for choice in choices]
