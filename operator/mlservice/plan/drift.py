"""Whether a live object already is what we would apply: then nothing is written."""

import hashlib
import json
from typing import Any

from mlservice.api.meta import ANNOTATION_APPLIED, Object
from mlservice.plan.quantity import quantity

QUANTITIES = ("limits", "requests", "overhead", "sizeLimit", "divisor")
"""Fields of a pod that hold quantities, which the API server rewrites: `0.5` becomes `500m`."""


def stamped(child: Object) -> Object:
    """Return the child with the hash of itself as an annotation.

    A field that we no longer send is still in the live object; only the changed hash tells.
    """
    digest = hashlib.sha256(json.dumps(child, sort_keys=True).encode()).hexdigest()[:16]
    metadata = child["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest}
    return {**child, "metadata": {**metadata, "annotations": annotations}}


def contains(live: Any, wanted: Any, amounts: bool = False) -> bool:
    """Whether everything in `wanted` is in `live`, which may hold defaults and other managers' fields beside it.

    Quantities, which is what these values are if `amounts` says so, compare by amount; what is empty may be absent.
    """
    match wanted:
        case dict():
            return isinstance(live, dict) and all(
                contains(live[key], value, amounts or key in QUANTITIES) if key in live else not value
                for key, value in wanted.items()
            )
        case [dict(), *_]:
            return isinstance(live, list) and all(
                any(contains(item, value, amounts) for item in live) for value in wanted
            )
        case _:
            return bool(live == wanted) or (amounts and _same_quantity(live, wanted))


def first_difference(live: Any, wanted: Any, place: str = "", amounts: bool = False) -> str:
    """Where `live` first lacks what is wanted, such as spec.template.spec.containers[user-container].image."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            if not contains(live, {key: value}, amounts):
                where = f"{place}.{key}" if place else key
                return first_difference(live.get(key), value, where, amounts or key in QUANTITIES)
    if isinstance(wanted, list) and isinstance(live, list):
        for item in wanted:
            if isinstance(item, dict) and not any(contains(other, item, amounts) for other in live):
                name = item.get("name")
                same = next((other for other in live if isinstance(other, dict) and other.get("name") == name), None)
                return first_difference(same, item, f"{place}[{name}]", amounts)
    return place


def _same_quantity(live: Any, wanted: Any) -> bool:
    if not isinstance(live, str | int | float) or not isinstance(wanted, str | int | float):
        return False
    amount = quantity(live)
    return amount is not None and amount == quantity(wanted)
