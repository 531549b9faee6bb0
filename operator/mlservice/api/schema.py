"""Turn a pydantic model into a Kubernetes structural schema (OpenAPI 3.0, no references, no unions).

Rules of a structural schema: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from typing import Any

from pydantic import BaseModel

DROPPED = {"title", "$defs", "discriminator", "examples", "const", "uniqueItems"}


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a model.

    Raises ValueError on a union of two real types, which no structural schema can express.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _node(schema, schema.get("$defs", {}))


def _node(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    node = dict(node)
    while "$ref" in node:
        node = {**defs[node.pop("$ref").removeprefix("#/$defs/")], **node}
    if "anyOf" in node:
        node = {**_optional(node.pop("anyOf"), defs), **node, "nullable": True}
    if node.get("default", ...) is None:
        del node["default"]
    if "const" in node:
        node["enum"] = [node["const"]]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if type(node.get(exclusive)) in (int, float):
            node |= {bound: node[exclusive], exclusive: True}
    match node.get("additionalProperties"):
        case False:
            del node["additionalProperties"]
        case True:
            del node["additionalProperties"]
            node["x-kubernetes-preserve-unknown-fields"] = True
        case dict() as values:
            node["additionalProperties"] = _node(values, defs)
    if "properties" in node:
        node["properties"] = {k: _node(v, defs) for k, v in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        node["items"] = _node(node["items"], defs)
    if node.get("required") == []:
        del node["required"]
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    return {k: v for k, v in node.items() if k not in DROPPED}


def _optional(variants: list[dict[str, Any]], defs: dict[str, Any]) -> dict[str, Any]:
    real = [v for v in variants if v.get("type") != "null"]
    if len(real) != 1:
        raise ValueError(f"A structural schema has no unions: {variants}")
    return _node(real[0], defs)
