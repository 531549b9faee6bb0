"""The JSON of Triton's generate extension (docs/protocol/extension_generate.md), in and out."""

import json
from typing import Any

from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.inference import INPUTS, Inference, inference
from mlservice_runtime.tensors import Tensor

# Kept: it is used for each token of a stream, and json.dumps would make one each time.
ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def request(model: str, body: bytes) -> Inference:
    """Read the body of `generate` and `generate_stream`.

    A key that names an input becomes that tensor, at the top as well as inside `parameters`; any other key is a request
    parameter. JSON that cannot be read is INTERNAL (500), as in Triton.
    """
    document = parse(body)
    tensors: dict[str, Tensor] = {}
    parameters: dict[str, Any] = {}
    identifier = ""
    for key, value in document:
        if key == "parameters":
            if not isinstance(value, Pairs):
                raise TritonError(Code.INTERNAL, "Expected JSON object for keyword: 'parameters'")
            try:
                for inner, parameter in value:
                    place(inner, parameter, tensors, parameters)
            except TritonError as error:
                raise TritonError(error.code, f"Converting keyword: 'parameters': {error.message}") from None
        elif key == "id":
            identifier = string(value)
        else:
            place(key, value, tensors, parameters)
    return inference(model, tensors.values(), parameters, identifier=identifier)


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, doubles included."""


def parse(body: bytes) -> Pairs:
    """Parse a JSON object of any content type; an empty body is an empty object."""
    try:
        document = json.loads(body or b"{}", object_pairs_hook=Pairs, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise TritonError(Code.INTERNAL, f"failed to parse the request JSON buffer: {error}") from None
    if not isinstance(document, Pairs):
        raise TritonError(Code.INTERNAL, "failed to parse the request JSON buffer: it must be an object")
    return document


def no_constant(name: str) -> None:
    raise ValueError(f"Invalid value: {name}")


def place(key: str, value: Any, tensors: dict[str, Tensor], parameters: dict[str, Any]) -> None:
    """Make a key an input tensor or a request parameter."""
    if key in INPUTS:
        if key in tensors:
            raise TritonError(Code.INVALID_ARG, f"input '{key}' already exists in request")
        tensors[key] = tensor(key, value)
    elif isinstance(value, str | int | float):
        parameters[key] = value
    else:
        raise TritonError(
            Code.INVALID_ARG,
            f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'.",
        )


def tensor(name: str, value: Any) -> Tensor:
    """A scalar, or a list of one, as the input of that name; all inputs have the shape [1]."""
    if isinstance(value, list) and not isinstance(value, Pairs):
        if len(value) != 1:
            raise TritonError(
                Code.INVALID_ARG, f"The schema can not convert input '{name}' to tensor with proper shape"
            )
        (value,) = value
    if INPUTS[name] == "BYTES":
        return Tensor(name, "BYTES", (1,), [encoded(name, string(value))])
    if not isinstance(value, bool):
        raise TritonError(Code.INTERNAL, "attempt to access JSON non-boolean as boolean")
    return Tensor(name, "BOOL", (1,), [value])


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise TritonError(Code.INTERNAL, "attempt to access JSON non-string as string")
    return value


def encoded(name: str, value: str) -> bytes:
    """UTF-8; JSON can spell half a surrogate pair, which is no text."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TritonError(Code.INVALID_ARG, f"input '{name}' has half a surrogate pair, which is no text") from None


def response(asked: Inference, outputs: list[Tensor]) -> bytes:
    """One response: a tensor of one element is a scalar, any other a list; keys in alphabetical order."""
    answer: dict[str, Any] = {"model_name": asked.model, "model_version": "1"}
    if asked.id:
        answer["id"] = asked.id
    for output in outputs:
        values = [value.decode() if isinstance(value, bytes) else value for value in output.values]
        answer[output.name] = values[0] if len(values) == 1 else values
    return ENCODER.encode(answer).encode()
