"""Conditions as the API conventions and kstatus have them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason

MESSAGE_LIMIT = 32768
"""Characters of a condition's message that the API conventions allow (metav1.Condition)."""


@dataclass(frozen=True)
class Condition:
    type: str
    status: bool
    reason: Reason
    message: str = ""


def conditions(wanted: Iterable[Condition], previous: Sequence[Object], generation: int, now: datetime) -> list[Object]:
    """Render conditions; lastTransitionTime moves only when the status does."""
    before = {c["type"]: c for c in previous}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = []
    for condition in wanted:
        old, status = before.get(condition.type, {}), str(condition.status)
        result.append(
            {
                "type": condition.type,
                "status": status,
                "reason": str(condition.reason),
                "message": condition.message[:MESSAGE_LIMIT],
                "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else stamp,
                "observedGeneration": generation,
            }
        )
    return result
