"""The part of a live object that one field manager wrote by server-side apply.

metadata.managedFields says it as a tree: `f:NAME` is a field, `k:{...}` the element of a list with these keys, `v:...`
an element of a set, `.` the thing itself. A field without a subtree is owned whole.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

import json
from typing import Any

from mlservice.api.meta import MANAGER, Object


def owned_template(deployment: Object) -> Object:
    """The pod template of a Deployment as we applied it; the live one whole when nothing tells what is ours."""
    template: Object = deployment["spec"]["template"]
    for entry in deployment["metadata"].get("managedFields", []):
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields = entry.get("fieldsV1", {}).get("f:spec", {}).get("f:template")
            if fields:
                picked: Object = _owned(template, fields)
                return picked
    return template


def _owned(live: Any, fields: dict[str, Any]) -> Any:
    inside = {key: below for key, below in fields.items() if key != "."}
    if not inside:
        return live
    if isinstance(live, list):
        return [element for item in live if (element := _element(item, inside)) is not None]
    return {name: _owned(value, inside[f"f:{name}"]) for name, value in live.items() if f"f:{name}" in inside}


def _element(item: Any, fields: dict[str, Any]) -> Any:
    for key, below in fields.items():
        kind, _, text = key.partition(":")
        if kind == "k" and isinstance(item, dict) and json.loads(text).items() <= item.items():
            return _owned(item, below)
        if kind == "v" and json.loads(text) == item:
            return item
    return None
