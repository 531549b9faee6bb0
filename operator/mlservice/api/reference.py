"""The page of all fields, docs/reference/fields.md, generated from the CRDs."""

from collections.abc import Iterator
from typing import Any

from mlservice.api import crd

Schema = dict[str, Any]

HEADER = """# Fields

Generated from the CustomResourceDefinitions by `make docs`; `kubectl explain mls.spec --recursive` shows the same. A
null means that the field is unset. `[]` stands for the elements of a list.
"""


def fields_page() -> str:
    """Markdown: a table of fields and a list of rules for each kind."""
    return "\n".join([HEADER, *(line for make in crd.ALL.values() for line in _kind(make()))]) + "\n"


def _kind(definition: Schema) -> Iterator[str]:
    names, version = definition["spec"]["names"], definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}\n\n{schema.get('description', '')}\n"
    yield f"`{definition['spec']['group']}/{version['name']}`, short name `{names['shortNames'][0]}`.\n"
    yield "| field | type | meaning |\n| --- | --- | --- |"
    for path, node, required in _fields(schema, ""):
        yield f"| `{path}` | {_type(node, required)} | {cell(node.get('description', ''))} |"
    yield "\nRules beside the types:\n"
    for path, message in _rules(schema, ""):
        yield f"* {f'`{path}`: ' if path else ''}{cell(message)}"
    yield ""


def _fields(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    for name, field in node.get("properties", {}).items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        below = f"{path}.{name}" if path else name
        yield below, field, name in node.get("required", [])
        yield from _fields(field, below)
        yield from _fields(field.get("items", {}), f"{below}[]")


def _rules(node: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in node.get("x-kubernetes-validations", []):
        yield path, rule["message"]
    for name, field in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield from _rules(field, below)
        yield from _rules(field.get("items", {}), f"{below}[]")


BOUNDS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} elements",
    "maxItems": "at most {} elements",
    "maxProperties": "at most {} keys",
    "pattern": "matches `{}`",
}


def _type(node: Schema, required: bool) -> str:
    words = [f"list of {node['items'].get('type', 'any')}s" if node.get("type") == "array" else node.get("type", "any")]
    if isinstance(node.get("additionalProperties"), dict):
        words = [f"map of {node['additionalProperties'].get('type', 'any')}s"]
    words += ["required"] if required else []
    words += (
        ["one of " + ", ".join(f"`{value}`" for value in node["enum"] if value is not None)] if "enum" in node else []
    )
    words += [text.format(node[key]) for key, text in BOUNDS.items() if key in node]
    return cell(", ".join(words))


def cell(text: str) -> str:
    """Text as Markdown shows it: `|` ends no cell, `<name>` is no tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")
