"""How a release's pods are replaced, so that no rollout waits for ever for room that will not come.

Normally the new pod starts beside the old one. When it stays unschedulable (one GPU, one service, one changed
parameter) the old pod is stopped first. That choice is kept, in the Deployment itself, until the rollout is complete.
"""

from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.mlservice import Release
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import IN_PLACE, SURGE, is_complete
from mlservice.plan.labels import release_name
from mlservice.plan.pods import pods_of, requests, unschedulable_since
from mlservice.plan.world import Finding, World


@dataclass(frozen=True)
class Rollout:
    strategy: Object
    finding: Finding | None = None
    again_seconds: float | None = None


def rollout(release: Release, world: World, now: datetime) -> Rollout:
    """Choose the strategy of the release's Deployment, and say so when it costs downtime."""
    live = world.child("Deployment", release_name(world.service, release.name))
    if _attaches_to_one_pod(release, world):
        return Rollout(IN_PLACE, _in_place("its claim is ReadWriteOncePod") if live and _is_replacing(live) else None)
    if live is None or not _is_replacing(live):
        return Rollout(SURGE)
    if live["spec"].get("strategy", {}).get("rollingUpdate") == IN_PLACE["rollingUpdate"]:
        return Rollout(IN_PLACE, _in_place("no node had room for a second pod"))
    waiting = [(since, pod) for pod in pods_of(world, release.name) if (since := unschedulable_since(pod))]
    waiting = [(since, pod) for since, pod in waiting if _fits_in_place_of_another(pod, world, release.name)]
    if not waiting or live.get("status", {}).get("replicas", 0) <= live["status"].get("updatedReplicas", 0):
        return Rollout(SURGE)
    waited = (now - min(since for since, _ in waiting)).total_seconds()
    left = world.settings.surge_patience_seconds - waited
    if left > 0:
        return Rollout(SURGE, again_seconds=left)
    return Rollout(IN_PLACE, _in_place("no node has room for a second pod"))


def _in_place(why: str) -> Finding:
    return Finding(
        Reason.REPLACING_IN_PLACE,
        f"Replacing in place, since {why}: the old pod stops before the new one starts, and requests fail until the "
        "new one is ready. Free room for one pod more to update without downtime",
    )


def _is_replacing(live: Object) -> bool:
    """Whether pods of an older template exist, or the newest is not all there yet."""
    return not is_complete(live)


def _attaches_to_one_pod(release: Release, world: World) -> bool:
    storage = release.predictor.storage
    claim = world.claims.get(storage.pvc.name) if storage and storage.pvc else None
    return claim is not None and claim.get("spec", {}).get("accessModes") == ["ReadWriteOncePod"]


def _fits_in_place_of_another(waiting: Object, world: World, release: str) -> bool:
    """Whether it asks for no more than a scheduled pod of the release has: else stopping that one may not help."""
    wanted = requests(waiting)
    placed = [requests(pod) for pod in pods_of(world, release) if pod.get("spec", {}).get("nodeName")]
    return any(all(amount <= had.get(name, 0) for name, amount in wanted.items()) for had in placed)
