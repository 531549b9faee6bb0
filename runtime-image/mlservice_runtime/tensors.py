"""Tensors and their bytes: the encoding of raw contents in gRPC and of the binary tensor extension in HTTP.

Numbers are little endian, BOOL is one byte, a BYTES element is its length (uint32) and its bytes
(Triton's docs/protocol/extension_binary_data.md).
"""

import struct
from dataclasses import dataclass
from typing import Any

from mlservice_runtime.errors import Code, TritonError

FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


@dataclass(frozen=True)
class Tensor:
    """A named tensor; `values` are flat, those of BYTES are `bytes`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any]


def pack(tensor: Tensor) -> bytes:
    """The tensor's raw bytes."""
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values)
    return struct.pack(f"<{len(tensor.values)}{FORMATS[tensor.datatype]}", *tensor.values)


def unpack(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> Tensor:
    """The tensor of raw bytes; TritonError (INVALID_ARG) where numbers are too many or too few, or text is cut."""
    count = element_count(name, shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, strings(name, raw))
    if datatype not in FORMATS:
        raise wrong(f"inference input '{name}' has unsupported data-type '{datatype}'")
    size = struct.calcsize(FORMATS[datatype]) * count
    if len(raw) != size:
        raise wrong(f"unexpected total byte size {len(raw)} for input '{name}', expecting {size}")
    return Tensor(name, datatype, shape, list(struct.unpack(f"<{count}{FORMATS[datatype]}", raw)))


def strings(name: str, raw: bytes) -> list[bytes]:
    """The elements of a BYTES tensor."""
    values = []
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + length > len(raw):
            raise wrong(
                f"incomplete string data for inference input '{name}', expecting string of length {length} "
                f"but only {max(0, len(raw) - at - 4)} bytes available"
            )
        values.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return values


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """How many elements a shape has. A shape comes from a client: it may be anything."""
    count = 1
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise wrong(f"the shape of input '{name}' must be made of numbers, 0 or more")
        count *= size
    if count > 1 << 20:
        raise wrong(f"input '{name}' has too many elements: {count}")
    return count


def wrong(message: str) -> TritonError:
    return TritonError(Code.INVALID_ARG, message)
