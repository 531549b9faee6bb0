"""One inference request, whichever protocol it came by: the tensors of Triton's vLLM backend, checked as there."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlservice_runtime.errors import Code, TritonError, failed
from mlservice_runtime.tensors import Tensor

# What vllm_backend's auto_complete_config() declares (main and 24.12 or newer), but for pictures and embeddings.
RETURNS = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
INPUTS: dict[str, str] = {
    "text_input": "BYTES",
    "stream": "BOOL",
    "sampling_parameters": "BYTES",
    "exclude_input_in_output": "BOOL",
    **{f"return_{name}": "BOOL" for name in RETURNS},
}
OUTPUTS: dict[str, str] = {
    "text_output": "BYTES",
    "finish_reason": "BYTES",
    "cumulative_logprob": "FP32",
    "logprobs": "BYTES",
    "num_input_tokens": "UINT32",
    "num_output_tokens": "UINT32",
}
# Parameters of a request that Triton itself reads; there are no sequences, priorities or time-outs here.
RESERVED = ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output")
EXPLICIT_FALSE = "When streaming, `exclude_input_in_output` = False is not allowed."


@dataclass(frozen=True)
class Inference:
    """A valid request. `parameters` are SamplingParams of vLLM by name, `outputs` what to answer with."""

    model: str
    text: str
    id: str = ""
    stream: bool = False
    exclude_input: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    lora: str | None = None
    outputs: tuple[str, ...] = ("text_output",)


def inference(
    model: str,
    tensors: Iterable[Tensor],
    parameters: Mapping[str, Any],
    outputs: Iterable[str] = (),
    identifier: str = "",
) -> Inference:
    """Check a request in Triton's order (core/src/infer_request.cc) and make it one; raises TritonError."""
    prefix = f"[request id: {identifier or '<id_unknown>'}] "
    given = list(tensors)
    by_name = {tensor.name: tensor for tensor in given}
    wanted = tuple(outputs)
    for name in wanted:
        if name not in OUTPUTS:
            raise invalid(f"unexpected inference output '{name}' for model '{model}'")
    if len(by_name) < len(given):
        twice = next(tensor.name for tensor in given if by_name[tensor.name] is not tensor)
        raise invalid(f"{prefix}input '{twice}' already exists in request")
    if not 1 <= len(given) <= len(INPUTS):
        raise miscounted(by_name, len(given), model, prefix)
    for tensor in given:
        check(tensor, model, prefix)
    if "text_input" not in by_name:
        raise miscounted(by_name, len(given), model, prefix)
    values = {tensor.name: tensor.values[0] for tensor in given}
    stream, exclude = bool(values.get("stream")), values.get("exclude_input_in_output")
    if stream and exclude is False:
        raise failed(EXPLICIT_FALSE)
    sampling = sampling_parameters(values.get("sampling_parameters"), parameters)
    lora = sampling.pop("lora_name", None)
    returned = ("text_output", *(name for name in RETURNS if values.get(f"return_{name}")))
    return Inference(
        model=model,
        text=text(values["text_input"], "text_input"),
        id=identifier,
        stream=stream,
        exclude_input=stream or bool(exclude),
        parameters=sampling,
        lora=None if lora is None else str(lora),
        outputs=tuple(name for name in returned if not wanted or name in wanted),
    )


def miscounted(names: Collection[str], count: int, model: str, prefix: str) -> TritonError:
    """Too few or too many inputs, or not the one that is required."""
    got = ",".join(f"'{name}'" for name in names)
    missing = "" if "text_input" in names else "'text_input'"
    return invalid(
        f"{prefix}expected number of inputs between 1 and {len(INPUTS)} but got {count} inputs for model '{model}'. "
        f"Got input(s) [{got}], but missing required input(s) [{missing}]. Please provide all required input(s)."
    )


def check(tensor: Tensor, model: str, prefix: str) -> None:
    """Name, data type, shape and number of strings of an input."""
    if tensor.name not in INPUTS:
        raise invalid(f"unexpected inference input '{tensor.name}' for model '{model}'")
    if tensor.datatype != INPUTS[tensor.name]:
        raise invalid(
            f"{prefix}inference input '{tensor.name}' data-type is '{tensor.datatype}', "
            f"but model '{model}' expects '{INPUTS[tensor.name]}'"
        )
    if tensor.shape != (1,):
        shape = ",".join(map(str, tensor.shape))
        raise invalid(
            f"{prefix}unexpected shape for input '{tensor.name}' for model '{model}'. Expected [1], got [{shape}]. "
        )
    strings = len(tensor.values)  # of numbers there are as many as the shape says
    if strings != 1:
        where = f"for inference input '{tensor.name}' for model '{model}'"
        raise invalid(
            f"{prefix}unexpected number of string elements {strings} {where}, expecting 1"
            if strings
            else f"{prefix}expected 1 string elements {where}, got 0"
        )


def sampling_parameters(tensor: bytes | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The tensor, which is JSON, wins over the request's own parameters (vllm_backend's src/utils/request.py)."""
    if tensor is None:
        return dict(parameters)
    try:
        parsed = json.loads(text(tensor, "sampling_parameters"))
    except (ValueError, RecursionError) as error:
        raise failed(f"sampling_parameters is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise failed("sampling_parameters must be a JSON object")
    return parsed


def text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"input '{name}' is not UTF-8: byte {error.start} of {len(value)} is {error.reason}") from None


def invalid(message: str) -> TritonError:
    return TritonError(Code.INVALID_ARG, message)
