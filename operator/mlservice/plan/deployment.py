"""The Deployment of a release. Its replica count is not part of it: see `replicas`."""

from mlservice.api.meta import ANNOTATION_INPUTS, Object
from mlservice.api.mlservice import MLService, Release
from mlservice.plan.labels import metadata, predictor_labels, predictor_selector, release_name
from mlservice.plan.pods import condition

PROGRESS_DEADLINE_SECONDS = 3600
"""Above the load time of a large model from a cold volume; Kubernetes' 600 would call a healthy start failed."""

MIN_READY_SECONDS = 2
"""How long a pod is ready before it counts as serving. A ready pod is announced to kube-proxies and Gateways; who asks
at the very moment may still meet one that has not heard of it, or that has only heard of the old pod."""

SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
"""One pod more during a rollout: the old one serves until the new one is ready."""

IN_PLACE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
"""One pod less during a rollout: for a cluster that has no room for one more."""


def deployment(service: MLService, release: Release, template: Object, inputs: str, strategy: Object) -> Object:
    """`template` and `inputs` are the ones of the revision in force."""
    meta = metadata(service, release_name(service, release.name), predictor_labels(service, release.name))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "annotations": {ANNOTATION_INPUTS: inputs}},
        "spec": {
            "selector": {"matchLabels": predictor_selector(service, release.name)},
            "template": template,
            "strategy": strategy,
            "minReadySeconds": MIN_READY_SECONDS,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "revisionHistoryLimit": 3,
        },
    }


def replicas(service: MLService, release: Release, live: Object) -> int | None:
    """Return the replica count to set, or None when the live one is within bounds.

    Within [minReplicas, maxReplicas] an autoscaler or a person decides.
    """
    current = int(live["spec"].get("replicas", 1))
    low, high = bounds(service, release)
    wanted = max(low, current if high is None else min(current, high))
    return None if wanted == current else wanted


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
    return int(live.get("status", {}).get("readyReplicas", 0)) if live else 0


def is_serving(live: Object | None) -> bool:
    """Whether a pod has been ready for long enough that requests reach it."""
    return bool(live and live.get("status", {}).get("availableReplicas", 0))
