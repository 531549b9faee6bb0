"""The Deployment of a release. Its replica count is not part of it: see `replicas`."""

from dataclasses import dataclass

from mlservice.api.meta import ANNOTATION_IN_PLACE, ANNOTATION_INPUTS, SCALER, Object
from mlservice.api.mlservice import MLService, Release
from mlservice.api.reasons import Reason
from mlservice.plan.labels import metadata, predictor_labels, predictor_selector, release_name
from mlservice.plan.pods import condition
from mlservice.plan.world import Finding

PROGRESS_DEADLINE_SECONDS = 3600
"""Above the load time of a large model from a cold volume; Kubernetes' 600 would call a healthy start failed."""

MIN_READY_SECONDS = 2
"""How long a pod is ready before it counts as serving. A ready pod is announced to kube-proxies and Gateways; who asks
at the very moment may still meet one that has not heard of it, or that has only heard of the old pod."""


@dataclass(frozen=True)
class Strategy:
    """How pods are replaced: in place, why is known too, and kept in the Deployment until the rollout is complete."""

    surge: int
    missing: int
    why: str = ""


SURGE = Strategy(surge=1, missing=0)
"""One pod more during a rollout: the old one serves until the new one is ready."""


def in_place(missing: int, why: str = "") -> Strategy:
    """No pod more during a rollout but so many fewer: for a cluster that has no room for one more."""
    return Strategy(0, missing, why)


def strategy_of(live: Object) -> Strategy:
    """The strategy that was chosen for a live Deployment."""
    rolling = live["spec"].get("strategy", {}).get("rollingUpdate") or {}
    missing = rolling.get("maxUnavailable")
    if rolling.get("maxSurge") != 0 or not isinstance(missing, int):
        return SURGE
    return in_place(missing, live["metadata"].get("annotations", {}).get(ANNOTATION_IN_PLACE, ""))


def deployment(
    service: MLService, release: Release, template: Object, inputs: str, strategy: Strategy, live: Object | None
) -> Object:
    """`template` and `inputs` are the ones of the revision in force."""
    meta = metadata(service, release_name(service, release.name), predictor_labels(service, release.name))
    why = {ANNOTATION_IN_PLACE: strategy.why} if strategy.why else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "annotations": {ANNOTATION_INPUTS: inputs, **why}},
        "spec": {
            "selector": {"matchLabels": predictor_selector(service, release.name)},
            "template": template,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": strategy.surge, "maxUnavailable": strategy.missing},
            },
            "minReadySeconds": MIN_READY_SECONDS,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "revisionHistoryLimit": 3,
            **({"paused": True} if _must_not_start(service, release, live) else {}),
        },
    }


def _must_not_start(service: MLService, release: Release, live: Object | None) -> bool:
    """Whether pods must wait until their number is set to 0: the API server makes every Deployment with 1."""
    low, _ = bounds(service, release)
    return low == 0 and (live is None or bool(live["spec"].get("paused") and live["spec"].get("replicas", 1) > 0))


def replicas(service: MLService, release: Release, live: Object, problem: Finding | None) -> int | None:
    """Return the replica count to set, or None to leave the live one.

    minReplicas is what runs. Where another manager scaled, a person or an autoscaler, its count is kept within
    [minReplicas, maxReplicas]. A disabled runtime gets no new pods.
    """
    current = int(live["spec"].get("replicas", 1))
    low, high = bounds(service, release)
    wanted = low
    if _is_anothers_count(live, current) or current == high:
        wanted = max(low, current if high is None else min(current, high))
    if problem and problem.reason == Reason.RUNTIME_DISABLED:
        wanted = min(wanted, current)
    return None if wanted == current else wanted


def _is_anothers_count(live: Object, current: int) -> bool:
    """Whether somebody else wrote the replica count; nobody wrote the 1 that the API server fills in."""
    entries = live["metadata"].get("managedFields", [])
    owners = {e["manager"] for e in entries if "f:replicas" in e.get("fieldsV1", {}).get("f:spec", {})}
    return bool(owners - {SCALER}) or (not owners and current != 1)


def bounds(service: MLService, release: Release) -> tuple[int, int | None]:
    """Fewest and most pods of a release; no upper bound is None."""
    if service.paused:
        return 0, 0
    low = 1 if release.predictor.min_replicas is None else release.predictor.min_replicas
    high = release.predictor.max_replicas or None
    return low, None if high is None else max(low, high)


def is_complete(live: Object) -> bool:
    """Whether the Deployment controller has seen the newest template and every pod is of it, and available."""
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and status.get("availableReplicas", 0) >= wanted
    )


def has_been_complete(live: Object) -> bool | None:
    """Whether the newest template was rolled out once, whatever became of its pods since; None while nobody can tell.

    The Deployment controller keeps this reason until the template changes:
    https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#complete-deployment
    """
    if live.get("status", {}).get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return None
    return is_complete(live) or condition(live, "Progressing").get("reason") == "NewReplicaSetAvailable"


def ready_replicas(live: Object | None) -> int:
    """How many pods have been ready for long enough that requests reach them: what Kubernetes calls available."""
    return int(live.get("status", {}).get("availableReplicas", 0)) if live else 0


def is_serving(live: Object | None) -> bool:
    return ready_replicas(live) > 0
