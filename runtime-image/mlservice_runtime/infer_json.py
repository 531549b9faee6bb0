"""JSON and binary data of V2 infer over HTTP (Open Inference Protocol; Triton's extension_binary_data.md)."""

import json
from typing import Any

from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.generate_json import encoded
from mlservice_runtime.inference import Inference, inference
from mlservice_runtime.tensors import Tensor, elements, pack, unpack

HEADER_LENGTH = "inference-header-content-length"


def request(model: str, body: bytes, header_length: str | None) -> tuple[Inference, set[str]]:
    """Read a request; returns it and the names of the outputs that are to be binary."""
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > len(body):
            raise invalid(f"Inference-Header-Content-Length is {header_length!r}, the body has {len(body)} bytes")
        length = int(header_length)
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise TritonError(Code.INTERNAL, f"failed to parse the request JSON buffer: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise invalid("Unable to find 'inputs' in the request: it must be a list of tensors")
    parameters = objects(document.get("parameters", {}), "parameters")
    binary = memoryview(body)[length:]
    tensors = []
    for entry in document["inputs"]:
        tensor, used = read(objects(entry, "inputs"), binary)
        binary = binary[used:]
        tensors.append(tensor)
    if len(binary):
        raise invalid(f"unexpected additional input data for model '{model}': {len(binary)} bytes")
    outputs, as_binary = wanted(document.get("outputs", []), bool(parameters.pop("binary_data_output", False)))
    identifier = document.get("id", "")
    if not isinstance(identifier, str):
        raise TritonError(Code.INTERNAL, "attempt to access JSON non-string as string")
    return inference(model, tensors, parameters, outputs, identifier), as_binary


def read(entry: dict[str, Any], binary: memoryview) -> tuple[Tensor, int]:
    """One input and how many bytes of the binary data are its own."""
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(datatype, str) or not isinstance(shape, list):
        raise invalid("each input must have a 'name', a 'datatype' and a 'shape'")
    size = objects(entry.get("parameters", {}), f"parameters of input '{name}'").get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or size < 0 or size > len(binary):
            raise invalid(f"unexpected binary_data_size {size} for input '{name}', {len(binary)} bytes are left")
        return unpack(name, datatype, tuple(shape), bytes(binary[:size])), size
    data = flat(entry.get("data"), name)
    if len(data) != elements(name, tuple(shape)):
        raise invalid(f"Unable to parse 'data': the shape of input '{name}' does not have {len(data)} elements")
    kind = str if datatype == "BYTES" else bool if datatype == "BOOL" else (int, float)
    if not all(isinstance(value, kind) for value in data):
        raise invalid(f"Unable to parse 'data': input '{name}' has elements that are not {datatype}")
    values = [encoded(name, value) for value in data] if datatype == "BYTES" else data
    return Tensor(name, datatype, tuple(shape), values), 0


def flat(data: Any, name: str) -> list[Any]:
    """The elements of data, which may be nested like the shape or flat."""
    if not isinstance(data, list):
        raise invalid(f"input '{name}' has no 'data'")
    while any(isinstance(element, list) for element in data):
        data = [inner for element in data for inner in (element if isinstance(element, list) else [element])]
    return list(data)


def wanted(outputs: Any, binary: bool) -> tuple[list[str], set[str]]:
    """The names of the requested outputs, and which of them as binary; without names all are."""
    if not isinstance(outputs, list):
        raise invalid("'outputs' must be a list")
    names: list[str] = []
    as_binary = set[str]()
    for entry in outputs:
        output = objects(entry, "outputs")
        names.append(str(output.get("name")))
        if objects(output.get("parameters", {}), "parameters of an output").get("binary_data", binary):
            as_binary.add(names[-1])
    return names, as_binary if outputs or not binary else {"*"}


def response(asked: Inference, outputs: list[Tensor], as_binary: set[str]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON when binary data follows it."""
    answer: dict[str, Any] = {"model_name": asked.model, "model_version": "1", "outputs": []}
    if asked.id:
        answer["id"] = asked.id
    data = b""
    for output in outputs:
        described: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if output.name in as_binary or "*" in as_binary:
            raw = pack(output)
            described["parameters"] = {"binary_data_size": len(raw)}
            data += raw
        else:
            described["data"] = [value.decode() if isinstance(value, bytes) else value for value in output.values]
        answer["outputs"].append(described)
    header = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return header + data, len(header) if as_binary else None


def objects(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"'{what}' must hold JSON objects")
    return value


def invalid(message: str) -> TritonError:
    return TritonError(Code.INVALID_ARG, message)
