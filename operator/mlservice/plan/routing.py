"""Which release the service's URL leads to. The live Service's selector is the state: what is routed, not asked for.

Traffic moves only to a release that has a ready pod, and a release that the spec no longer has stays until then.
"""

from collections.abc import Sequence
from datetime import datetime

from mlservice.api.meta import LABEL_RELEASE
from mlservice.api.reasons import Reason
from mlservice.plan.pods import is_ready, pods_of
from mlservice.plan.release import ReleasePlan, existing_release
from mlservice.plan.world import World

WAITS_FOR_ROOM = frozenset({Reason.UNSCHEDULABLE, Reason.QUOTA_EXCEEDED, Reason.CONTAINERS_NOT_STARTED})
LOADED = frozenset({Reason.PROBE_FAILING, Reason.NODE_NOT_READY})
"""What a pod says that is not ready but may serve again any moment."""


def routed_release(world: World, releases: Sequence[ReleasePlan], now: datetime) -> ReleasePlan:
    """Return the plan of spec.default once it has a ready pod, until then that of the release before."""
    by_name = {release.name: release for release in releases}
    wanted = by_name[world.service.spec.default]
    before = selected_release(world) or world.service.status.get("defaultRelease")
    if before is None or before == wanted.name or wanted.serving:
        return wanted
    if before in by_name:
        return by_name[before]
    removed = existing_release(before, world, None, now)
    return wanted if _is_spent(removed, wanted, world) else removed


def selected_release(world: World) -> str | None:
    """The release that the service's Service selects now; None while there is no Service."""
    live = world.child("Service", world.service.name)
    selector = (live or {}).get("spec", {}).get("selector") or {}
    return selector.get(LABEL_RELEASE)


def _is_spent(removed: ReleasePlan, successor: ReleasePlan, world: World) -> bool:
    """Whether a release that the spec no longer has may go before its successor serves: it serves nobody either, and
    has no pods, or keeps the room that its successor waits for.
    """
    if world.service.paused:
        return True
    if removed.serving or any(is_ready(pod) for pod in pods_of(world, removed.name)):
        return False
    waits = successor.finding is not None and successor.finding.reason in WAITS_FOR_ROOM
    loaded = removed.finding is not None and removed.finding.reason in LOADED
    return removed.total_replicas == 0 or (waits and not loaded)
