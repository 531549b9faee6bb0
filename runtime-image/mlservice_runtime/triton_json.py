"""JSON as Triton reads it (common's triton_json.h): what is missing or of another kind is refused in its words."""

import json
from typing import Any, NoReturn

from mlservice_runtime.errors import Code, TritonError

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "unsigned-integer": int,
    "signed-integer": int,
    "number": (int, float),
}


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, doubles included."""


def parse(body: bytes, pairs: bool = False) -> Any:
    """Any JSON, of any content type; objects are dicts or `Pairs`."""
    try:
        return json.loads(body, object_pairs_hook=Pairs if pairs else None, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise TritonError(Code.INTERNAL, f"failed to parse the request JSON buffer: {error}") from None


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"Invalid value: {name}")


def expect(value: Any, kind: str, problem: str) -> Any:
    """The value, which must be of that kind; a boolean is no number, and an object (`Pairs`) no array."""
    fits = isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool | Pairs))
    if not fits or (kind == "unsigned-integer" and value < 0):
        read_as = "double" if kind == "number" else kind
        raise TritonError(Code.INTERNAL, f"{problem}: attempt to access JSON non-{kind} as {read_as}")
    return value


def member(document: Any, name: str, kind: str, default: Any = None) -> Any:
    """What an object has by that name; without a default it must be there."""
    problem = f"Unable to parse '{name}'"
    if not isinstance(document, dict) or name not in document:
        if default is not None:
            return default
        raise TritonError(Code.INTERNAL, f"{problem}: attempt to access non-existing object member '{name}'")
    return expect(document[name], kind, problem)


def flat(value: Any) -> list[Any]:
    """The elements of an array that may be nested, however deep; anything else is one element."""
    found, rest = [], [value]
    while rest:
        one = rest.pop()
        if isinstance(one, list) and not isinstance(one, Pairs):
            rest.extend(reversed(one))
        else:
            found.append(one)
    return found


def elements(name: str, datatype: str, values: list[Any]) -> list[Any]:
    """The elements of the input of that name; text becomes UTF-8."""
    if datatype == "BYTES":
        return [encoded(name, expect(value, "string", "Unable to parse JSON bytes array")) for value in values]
    kind = "boolean" if datatype == "BOOL" else "unsigned-integer" if datatype.startswith("U") else "signed-integer"
    kind = "number" if "F" in datatype else kind
    return [expect(value, kind, "Unable to parse 'data'") for value in values]


def encoded(name: str, value: str) -> bytes:
    """JSON can spell half a surrogate pair, which is no text."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TritonError(Code.INVALID_ARG, f"input '{name}' has half a surrogate pair, which is no text") from None


def parameter(name: str, value: Any) -> str | int | float | bool:
    """A request parameter."""
    if not isinstance(value, str | int | float):
        text = f"parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'."
        raise TritonError(Code.INVALID_ARG, text)
    return value
