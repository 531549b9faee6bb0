"""The JSON of Triton's generate extension (docs/protocol/extension_generate.md), in and out."""

import json
from typing import Any

from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.inference import INPUTS, Inference, inference
from mlservice_runtime.tensors import Tensor
from mlservice_runtime.triton_json import Pairs, elements, expect, flat, parameter, parse

# Kept: it is used for each token of a stream, and json.dumps would make one each time.
ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def request(model: str, body: bytes) -> Inference:
    """Read the body of `generate` and `generate_stream`.

    A key that names an input becomes that tensor, at the top as well as inside `parameters`; any other key is a request
    parameter. JSON that cannot be read is INTERNAL (500), as in Triton.
    """
    document = parse(body, pairs=True)
    if not isinstance(document, Pairs):
        raise TritonError(Code.INTERNAL, "attempt to get members for non-object")
    tensors: list[Tensor] = []
    parameters: dict[str, Any] = {}
    identifier = ""
    for key, value in document:
        if key == "parameters":
            if not isinstance(value, Pairs):
                text = "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object"
                raise TritonError(Code.INTERNAL, text)
            try:
                for inner, inner_value in value:
                    place(inner, inner_value, tensors, parameters)
            except TritonError as error:
                raise TritonError(error.code, f"Converting keyword: 'parameters': {error.message}") from None
        elif key == "id":
            identifier = expect(value, "string", "Unable to parse 'id'")
        else:
            place(key, value, tensors, parameters)
    return inference(model, tensors, parameters, identifier=identifier)


def place(key: str, value: Any, tensors: list[Tensor], parameters: dict[str, Any]) -> None:
    """Make a key an input tensor or a request parameter."""
    if key in INPUTS:
        tensors.append(tensor(key, value))
    else:
        parameters[key] = parameter(key, value)


def tensor(name: str, value: Any) -> Tensor:
    """A scalar, or a list of one, as the input of that name; all inputs have the shape [1]."""
    values = flat(value)
    if len(values) != 1:
        raise TritonError(Code.INVALID_ARG, f"The schema can not convert input '{name}' to tensor with proper shape")
    return Tensor(name, INPUTS[name], (1,), elements(name, INPUTS[name], values))


def response(asked: Inference, outputs: list[Tensor]) -> bytes:
    """One response: a tensor of one element is a scalar, any other a list; keys in alphabetical order."""
    answer: dict[str, Any] = {"model_name": asked.model, "model_version": "1"}
    if asked.id:
        answer["id"] = asked.id
    for output in outputs:
        values = [value.decode() if isinstance(value, bytes) else value for value in output.values]
        answer[output.name] = values[0] if len(values) == 1 else values
    return ENCODER.encode(answer).encode()
