"""Why a release is not ready: the nearest cause first, then what the Deployment says, then what its pods say."""

from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import PROGRESS_DEADLINE_SECONDS, is_complete, is_serving, ready_replicas
from mlservice.plan.diagnosis import Diagnosis, diagnosis
from mlservice.plan.labels import release_name
from mlservice.plan.pods import condition, has_failed, is_of, is_ready, pods_of
from mlservice.plan.refusal import refused_pods
from mlservice.plan.world import Finding, World

ANSWERED = frozenset({Reason.UNSCHEDULABLE, Reason.CONTAINERS_NOT_STARTED})
"""What pods say that wait for the end of another one."""


def readiness(release: str, live: Object | None, world: World, replacing: Finding | None, now: datetime) -> Diagnosis:
    """Return what keeps the release from being ready, or no finding when every pod that is wanted is there and ready.

    `replacing`: what the rollout says where it costs downtime.
    """
    name = release_name(world.service, release)
    if world.service.paused:
        return Diagnosis(Finding(Reason.PAUSED, "Paused by spec.runMode: set it to running to start the pods"))
    if live is None:
        return Diagnosis(Finding(Reason.PREDICTOR_NOT_READY, f"Deployment {name} is being created"))
    if live["spec"].get("replicas", 1) == 0:
        return Diagnosis()
    template = live["spec"]["template"]
    pods = [pod for pod in pods_of(world, release) if not has_failed(pod)]
    old = [pod for pod in pods if not is_of(pod, template)]
    # Where the pods tell, it need not wait for the controller to see a change of something else, such as the strategy.
    all_there = not old and len([pod for pod in pods if is_ready(pod)]) >= live["spec"].get("replicas", 1) > 0
    if is_complete(live) or (is_serving(live) and all_there):
        return Diagnosis()
    found = diagnosis(world, release, template, now)
    return Diagnosis(
        _refused_pods(name, live, replacing)
        or _of_the_pods(found.finding, replacing)
        or replacing
        or _late(name, live)
        or Finding(Reason.PREDICTOR_NOT_READY, _progress(live, len(old))),
        found.again_seconds,
    )


def _refused_pods(name: str, live: Object, replacing: Finding | None) -> Finding | None:
    failure = condition(live, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    found = refused_pods(name, failure.get("message", ""))
    if found.reason == Reason.QUOTA_EXCEEDED and replacing:
        return replacing
    return Finding(found.reason, f"{found.message}. Kubernetes tries again by itself, at growing intervals")


def _of_the_pods(said: Finding | None, replacing: Finding | None) -> Finding | None:
    """Their words, except those that the replacement in place is the answer to."""
    return None if said and replacing and said.reason in ANSWERED else said


def _late(name: str, live: Object) -> Finding | None:
    if condition(live, "Progressing").get("reason") != "ProgressDeadlineExceeded":
        return None
    return Finding(
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        f"No new pod of Deployment {name} became ready within {PROGRESS_DEADLINE_SECONDS // 60} minutes. It runs on, "
        f"and may still: its log says how far it is (kubectl -n {live['metadata']['namespace']} logs deploy/{name}), "
        "and its readiness probe may be wrong",
    )


def _progress(live: Object, old_pods: int) -> str:
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    old = max(old_pods, status.get("replicas", 0) - status.get("updatedReplicas", 0) if seen else 0)
    ready = f"{ready_replicas(live)} of {wanted} pods are ready"
    if old > 0:
        return f"{ready}, {old} of them to be replaced: each serves until a new pod is ready"
    return f"{ready}: the model is loading"
