"""What differs between two objects, in words short enough for a condition."""

import json
from collections.abc import Iterator
from typing import Any

SHOWN = 3
WIDTH = 60
"""Characters of a value that are shown."""


def in_words(old: Any, new: Any) -> str:
    """Such as `spec.containers[user-container].image: a:1 -> a:2, and 4 more`; empty when they are equal."""
    found = list(differences(old, new))
    shown = ", ".join(found[:SHOWN])
    return shown if len(found) <= SHOWN else f"{shown}, and {len(found) - SHOWN} more"


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Each field that differs, with both values; elements of lists are known by their name, or by their position."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        before, after = _by_name(old), _by_name(new)
        for key in dict.fromkeys([*before, *after]):
            yield from differences(before.get(key), after.get(key), f"{place}[{key}]")
    elif old != new:
        yield f"{place}: {_short(old)} -> {_short(new)}"


def _by_name(items: list[Any]) -> dict[str, Any]:
    if all(isinstance(item, dict) and "name" in item for item in items):
        return {str(item["name"]): item for item in items}
    return {str(position): item for position, item in enumerate(items)}


def _short(value: Any) -> str:
    if value is None:
        return "unset"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"
