"""How a release's pods are replaced, so that no rollout waits for ever for room that will not come.

Normally the new pod starts beside the old one. When it cannot (one GPU, one service, one changed parameter; a quota; a
volume that attaches to one node) the old pod is stopped first. That choice is kept, in the Deployment itself, until the
rollout is complete. It is never made for a pod that could not have the old one's place.
"""

from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.mlservice import Release
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import SURGE, Strategy, in_place, is_complete, ready_replicas, strategy_of
from mlservice.plan.labels import release_name
from mlservice.plan.pods import condition, current_pods, has_failed, is_of, is_ready, pods_of
from mlservice.plan.scheduling import fits_in_place_of, lacks_room_since, not_started_since
from mlservice.plan.storage import attached_elsewhere, one_pod_claim
from mlservice.plan.world import Finding, World


@dataclass(frozen=True)
class Rollout:
    strategy: Strategy
    finding: Finding | None = None
    again_seconds: float | None = None


@dataclass(frozen=True)
class Jam:
    """Why the next pod cannot start beside the old ones, and since when."""

    since: datetime
    why: str


def rollout(release: Release, world: World, is_change: bool, now: datetime) -> Rollout:
    """Choose the strategy of the release's Deployment, and say so when it costs downtime.

    `is_change`: the release served another pod template before.
    """
    live = world.child("Deployment", release_name(world.service, release.name))
    claim = one_pod_claim(release.predictor.storage, world)
    if live is None or is_complete(live):
        return Rollout(in_place(1) if claim else SURGE)
    old_pods = _has_old_pods(live, pods_of(world, release.name))
    jam = _jam(release.name, world, live, old_pods)
    left = world.settings.surge_patience_seconds - (now - jam.since).total_seconds() if jam else 0.0
    late = jam if left <= 0 else None
    # A pod that ends, which may take its grace period, makes room already: no other one need go for that.
    room_comes = bool(pods_of(world, release.name, ending=True))
    chosen = strategy_of(live)
    if claim:
        chosen = in_place(max(1, chosen.missing))
    if late and old_pods and not room_comes:
        chosen = in_place(max(chosen.missing, _one_fewer(live)), "" if claim else chosen.why or late.why)
    again = left if left > 0 else None
    is_first_start = claim and not old_pods and not is_change
    # Where no old pod is left to make room, the pods themselves say what they wait for.
    if chosen == SURGE or is_first_start or (late and not old_pods and not room_comes):
        return Rollout(chosen, again_seconds=again)
    why = chosen.why or "no second pod could start beside the old one"
    if claim:
        why = f"PersistentVolumeClaim {claim} is for one pod at a time (ReadWriteOncePod)"
    return Rollout(chosen, _finding(live, chosen.missing, why), again)


def _has_old_pods(live: Object, pods: list[Object]) -> bool:
    """Whether pods of an earlier template are there: the Deployment controller has counted them, or they show."""
    status = live.get("status", {})
    seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    counted = seen and status.get("replicas", 0) > status.get("updatedReplicas", 0)
    return bool(counted or any(not is_of(pod, live["spec"]["template"]) and not has_failed(pod) for pod in pods))


def _one_fewer(live: Object) -> int:
    """How many pods may be missing so that one of those that are ready may stop."""
    wanted = int(live["spec"].get("replicas", 1))
    return min(wanted, wanted - ready_replicas(live) + 1)


def _finding(live: Object, missing: int, why: str) -> Finding:
    wanted = int(live["spec"].get("replicas", 1))
    if wanted > missing:
        how = f"a pod stops before the next one starts, and {wanted - missing} of {wanted} serve meanwhile"
    else:
        how = "the old pod stops before the new one starts, and requests fail until the new one is ready"
    cure = (
        "A claim with ReadWriteMany or ReadOnlyMany lets updates go without downtime"
        if "PersistentVolumeClaim" in why
        else "Free room for one pod more to update without downtime"
    )
    return Finding(Reason.REPLACING_IN_PLACE, f"Replacing in place, since {why}: {how}. {cure}")


def _jam(release: str, world: World, live: Object, old_pods: bool) -> Jam | None:
    """What every new pod that is not ready waits for, if the end of another pod would give it to them.

    A new pod that fails for another reason is none of that: the old pods must not go for its sake.
    """
    placed = [pod for pod in pods_of(world, release) if pod["spec"].get("nodeName") and not has_failed(pod)]
    new = current_pods(world, release, live["spec"]["template"])
    waiting = [pod for pod in new if not is_ready(pod) and not has_failed(pod)]
    found = [_pod_jam(pod, placed if old_pods else None, world) for pod in waiting]
    if quota := _quota_jam(live, placed):
        found.append(quota)
    jams = [jam for jam in found if jam]
    return max(jams, key=lambda jam: jam.since) if jams and len(jams) == len(found) else None


def _pod_jam(pod: Object, placed: list[Object] | None, world: World) -> Jam | None:
    since = lacks_room_since(pod)
    if since and (placed is None or any(fits_in_place_of(pod, other) for other in placed)):
        return Jam(since, "no node has room for a second pod")
    since, elsewhere = not_started_since(pod), attached_elsewhere(pod, world)
    return Jam(since, elsewhere) if since and elsewhere else None


def _quota_jam(live: Object, placed: list[Object]) -> Jam | None:
    failure = condition(live, "ReplicaFailure")
    if failure.get("status") != "True" or "exceeded quota" not in failure.get("message", ""):
        return None
    if not any(fits_in_place_of({"spec": live["spec"]["template"]["spec"]}, other) for other in placed):
        return None
    since = datetime.fromisoformat(failure["lastTransitionTime"])
    return Jam(since, "the namespace's ResourceQuota allows no second pod")
