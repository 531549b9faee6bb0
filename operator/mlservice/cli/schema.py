"""What is wrong with a manifest before any API server sees it: unknown fields, missing ones, wrong types and bounds.

The API server's rules between fields (CEL) are its own to judge; `plan` asks it where there is one.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from mlservice.api import crd
from mlservice.api.meta import API_VERSION, Object, without_nulls
from mlservice.api.mlservice import MLService
from mlservice.api.runtime import MLServiceRuntime
from mlservice.cli.documents import Document

Schema = dict[str, Any]
Path = tuple[str | int, ...]

KINDS: dict[str, tuple[type[BaseModel], Schema]] = {
    "MLService": (MLService, crd.mlservices()),
    "MLServiceRuntime": (MLServiceRuntime, crd.mlserviceruntimes()),
}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def problems(document: Document) -> Iterator[str]:
    """Each problem with its file, line, field and what the field is for; nothing for kinds that are not ours."""
    if document.kind not in KINDS:
        return
    model, definition = KINDS[document.kind]
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    given = document.content.get("apiVersion")
    if given != API_VERSION:
        yield document.problem(f"apiVersion is {given!r}: {API_VERSION} is expected", ["apiVersion"])
        return
    content = {k: v for k, v in document.content.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    found: dict[Path, str] = {}
    for path, problem in [*_shape(content, schema, ()), *_values(model, content, schema)]:
        found.setdefault(path, problem)
    if not found and document.kind == "MLService":
        found |= dict(_unnamed(content["spec"]))
    for path in sorted(found, key=document.line):
        about = _node(schema, path).get("description", "").removeprefix("Required. ").split(". ")[0].rstrip(".")
        yield document.problem(f"{dotted(path)} {found[path]}{f'. {about}' if about else ''}", path)


def dotted(path: Sequence[str | int]) -> str:
    """Such as `spec.releases[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _shape(value: Any, schema: Schema, path: Path) -> Iterator[tuple[Path, str]]:
    """Unknown and missing fields, and values of another type than the CRD has."""
    wanted = schema.get("type", "")
    if value is None:
        return
    if wanted and (not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
        yield path, _mistyped(value, wanted)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _shape(item, schema.get("items", {}), (*path, i))
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        yield from (((*path, key), "is required") for key in schema.get("required", []) if value.get(key) is None)
        for key, item in value.items():
            if key in known or others is not None:
                yield from _shape(item, known.get(key, others), (*path, key))
            elif "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
                close = next(iter(difflib.get_close_matches(key, known, 1)), "")
                yield (*path, key), f"is no field{f': did you mean {close}?' if close else ''}"


def _mistyped(value: Any, wanted: str) -> str:
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
    cure = ": write it in quotes" if wanted == "string" and isinstance(value, bool | int | float) else ""
    return f"is {shown}, {WORDS[wanted]} is expected{cure}"


def _unnamed(spec: Object) -> Iterator[tuple[Path, str]]:
    """The one rule between fields without which there is nothing to plan."""
    names = [release["name"] for release in spec["releases"]]
    for field in ("default", "canary"):
        if spec.get(field) is not None and spec[field] not in names:
            yield ("spec", field), f"is {spec[field]!r}, which is none of the releases: {', '.join(names)}"


def _values(model: type[BaseModel], content: Object, schema: Schema) -> Iterator[tuple[Path, str]]:
    """What the model refuses; in the words of the CRD's own rule for the field where it has one."""
    try:
        model.model_validate(without_nulls(content), strict=True)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            path, value = error["loc"], error["input"]
            rules = _node(schema, path).get("x-kubernetes-validations", [])
            words = rules[0]["message"] if len(rules) == 1 else f"{error['msg'][:1].lower()}{error['msg'][1:]}"
            yield path, "is required" if error["type"] == "missing" else f"is {value!r}: {words}"


def _node(schema: Schema, path: Path) -> Schema:
    for step in path:
        below = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        schema = below or {}
    return schema
