"""An inference as a request to vLLM's completions, and its answers as tensors. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlservice_runtime.errors import failed
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
LEAST = -9999.0  # what vLLM's own routes write for a log probability of minus infinity


@dataclass(frozen=True)
class Choice:
    """What one response says of one of the `n` answers; in a stream, what is new.

    These are fields of vllm.outputs.CompletionOutput; the engine's own objects are used as they are.
    """

    text: str = ""
    token_ids: Sequence[int] = ()
    cumulative_logprob: float | None = None
    logprobs: Sequence[Mapping[int, Any]] | None = None
    finish_reason: str | None = None


NOTHING = Choice()


@dataclass(frozen=True)
class Answer:
    """One response."""

    choices: Sequence[Choice]
    num_input_tokens: int = 0
    final: bool = True


def request(asked: Inference) -> dict[str, Any]:
    """The completion request; raises TritonError for a parameter that is not vLLM's."""
    made: dict[str, Any] = {"model": asked.lora or asked.model, "prompt": asked.text, "stream": asked.stream}
    for name, value in asked.parameters.items():
        if name not in PARAMETERS:
            raise failed(f"Unexpected keyword argument '{name}': it is no sampling parameter")
        made[RENAMED.get(name, name)] = parameter(name, value)
    if {"cumulative_logprob", "logprobs"} & set(asked.outputs):
        made.setdefault("logprobs", 0)
    return made


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


class Answers:
    """Makes answers of what the engine puts out for one request."""

    def __init__(self, asked: Inference) -> None:
        count = asked.parameters.get("n", 1)
        self.count = int(count) if str(count).isdecimal() else 1
        self.num_input_tokens = 0

    def answer(self, output: Any) -> Answer:
        """The answer in one vllm.outputs.RequestOutput; raises TritonError for one that tells of an error."""
        self.num_input_tokens = self.num_input_tokens or len(output.prompt_token_ids or ())
        choices: list[Choice] = [NOTHING] * self.count
        for choice in output.outputs:
            if choice.finish_reason == "error":
                raise failed("Internal server error")
            choices[choice.index] = choice
        return Answer(choices, self.num_input_tokens, output.finished)


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
            return [choice.cumulative_logprob or 0.0 for choice in choices]
        case "logprobs":
            return [json.dumps(choice.logprobs and [*map(position, choice.logprobs)]).encode() for choice in choices]
        case "num_input_tokens":
            return [given.num_input_tokens]
        case _:
            return [len(choice.token_ids) for choice in choices]


def position(logprobs: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
    """The candidates for one token, vllm.logprobs.Logprob by token id; JSON has no infinity, nor has vLLM's own."""
    return {
        token: {"logprob": max(one.logprob, LEAST), "rank": one.rank, "decoded_token": one.decoded_token}
        for token, one in logprobs.items()
    }
