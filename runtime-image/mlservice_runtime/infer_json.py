"""JSON and binary data of V2 infer over HTTP (Open Inference Protocol; Triton's extension_binary_data.md)."""

import json
import re
from typing import Any

from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.inference import INPUTS, RESERVED, Inference, inference
from mlservice_runtime.tensors import FORMATS, Tensor, element_count, pack, unpack
from mlservice_runtime.triton_json import elements, expect, flat, member, parameter, parse

HEADER_LENGTH = "inference-header-content-length"
ONE_OF = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    "'shared_memory_region' in 'parameters'. But "
)


def request(model: str, body: bytes, header_length: str | None) -> tuple[Inference, set[str]]:
    """Read a request; returns it and the names of the outputs that are to be binary."""
    length = json_length(model, body, header_length)
    document, binary = parse(body[:length]), memoryview(body)[length:]
    identifier = member(document, "id", "string", "")
    tensors = []
    for entry in member(document, "inputs", "array"):
        tensor, used = read(model, entry, binary)
        binary = binary[used:]
        tensors.append(tensor)
    if len(binary):
        raise invalid(f"unexpected additional input data for model '{model}'")
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise TritonError(Code.INTERNAL, "failed to get request params.: attempt to get members for non-object")
    outputs, as_binary = wanted(document, member(parameters, "binary_data_output", "boolean", False))
    given = {name: parameter(name, value) for name, value in parameters.items() if name not in RESERVED}
    return inference(model, tensors, given, outputs, identifier), as_binary


def json_length(model: str, body: bytes, header: str | None) -> int:
    """How much of the body is JSON. A body without any is Triton's raw request, which is for models of one input."""
    length = len(body)
    if header is not None:
        length = int(header) if re.fullmatch(r"-?[0-9]{1,18}", header) else 0
    if not 0 <= length <= len(body):
        raise invalid(f"inference header size should be in range (0, {len(body)}), got: {length}")
    if not length:
        raise invalid(
            f"[request id: <id_unknown>] Raw request must only have 1 input (found 1) to be deduced but got "
            f"{len(INPUTS)} inputs in '{model}' model configuration"
        )
    return length


def read(model: str, entry: Any, binary: memoryview) -> tuple[Tensor, int]:
    """One input and how many bytes of the binary data are its own."""
    fields = entry if isinstance(entry, dict) else {}
    inner = fields.get("parameters")
    where = inner if isinstance(inner, dict) else {}
    given = [name for name in ("data",) if name in fields]
    given += [name for name in ("binary_data_size", "shared_memory_region") if name in where]
    if len(given) != 1:
        names = " ".join(f"'{name}'" for name in given)
        raise invalid(f"{ONE_OF}{f'set {names}' if given else 'no field is set'}")
    name, datatype = member(fields, "name", "string"), member(fields, "datatype", "string")
    sizes = member(fields, "shape", "array")
    shape = tuple(expect(size, "unsigned-integer", "Unable to parse 'shape'") for size in sizes)
    if datatype != "BYTES" and datatype not in FORMATS:
        raise invalid(f"invalid datatype for input {name}")
    if "shared_memory_region" in given:
        raise TritonError(Code.NOT_FOUND, f"Unable to find shared memory region: '{where['shared_memory_region']}'")
    if "binary_data_size" in given:
        size = member(where, "binary_data_size", "unsigned-integer")
        if size > len(binary):
            more = size - len(binary)
            raise invalid(f"unexpected size for input '{name}', expecting {more} additional bytes for model '{model}'")
        return unpack(name, datatype, shape, bytes(binary[:size])), size
    values = elements(name, datatype, flat(member(fields, "data", "array")))
    if datatype != "BYTES" and len(values) != element_count(name, shape):
        text = "Unable to parse 'data': Shape does not match true shape of 'data' field"
        raise TritonError(Code.INTERNAL, text)
    return Tensor(name, datatype, shape, values), 0


def wanted(document: Any, binary: bool) -> tuple[list[str], set[str]]:
    """The names of the requested outputs, and which of them as binary; without names all are."""
    outputs = member(document, "outputs", "array", [])
    names: list[str] = []
    as_binary = set[str]()
    for entry in outputs:
        names.append(member(entry, "name", "string"))
        if member(entry.get("parameters", {}), "binary_data", "boolean", binary):
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


def invalid(message: str) -> TritonError:
    return TritonError(Code.INVALID_ARG, message)
