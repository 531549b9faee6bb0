"""The API server's words about a pod template, with the names of containers and volumes instead of their positions.

A patch changes the positions: `containers[0]` of the finished pod may be the runtime's second.
"""

import re

from mlservice.api.meta import Object

POSITION = re.compile(r"\b(initContainers|containers|volumes)\[(\d+)\]")


def named(words: str, child: Object) -> str:
    """Return `words` about a refused child, such as `containers[sidecar].image: Required value`."""
    pod = child.get("spec", {}).get("template", {}).get("spec", {})

    def name(match: re.Match[str]) -> str:
        items, position = pod.get(match[1]) or [], int(match[2])
        known = items[position].get("name") if position < len(items) else None
        return f"{match[1]}[{known or position}]"

    return POSITION.sub(name, words)
