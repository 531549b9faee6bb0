"""One release: its revision, its children, its strategy, and what is wrong with it."""

from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.mlservice import Release
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import deployment, is_complete, is_serving, ready_replicas, replicas
from mlservice.plan.diagnosis import pod_finding
from mlservice.plan.difference import in_words
from mlservice.plan.labels import release_name
from mlservice.plan.pod import pod_template
from mlservice.plan.revision import (
    Revision,
    controller_revision,
    has_been_ready,
    history,
    inputs_of,
    is_same,
    last_ready_number,
    revision_in_force,
    without_label,
)
from mlservice.plan.rollout import rollout
from mlservice.plan.route import http_route
from mlservice.plan.services import release_service
from mlservice.plan.url import release_url
from mlservice.plan.world import Finding, Invalid, Ref, World

WAITING = frozenset({Reason.PREDICTOR_NOT_READY, Reason.UNSCHEDULABLE})
"""What pods say while a cause outside of them may be the reason."""


@dataclass(frozen=True)
class ReleasePlan:
    """What one release needs, and how it is."""

    name: str
    template: Object | None
    """Pod template in force, or else live; None when there is neither."""
    children: tuple[Object, ...] = ()
    replicas: int | None = None
    """Count to set on the live Deployment, None to leave it."""
    finding: Finding | None = None
    """Why it is not ready; None when it is."""
    caution: Finding | None = None
    """What stands in the way of its next change while it is ready."""
    serving: bool = False
    """Whether requests to it are answered."""
    ready_replicas: int = 0
    total_replicas: int = 0
    again_seconds: float | None = None
    revision: Revision | None = None
    ready_revision: int | None = None
    """Number of the newest revision that had a ready pod."""
    update: str = ""
    """What the revision in force lacks of what runtime and MLService say now, in words."""

    @property
    def ready(self) -> bool:
        return self.finding is None


def plan_release(release: Release, world: World, now: datetime) -> ReleasePlan:
    """Plan one release; a mistake in the input leaves what runs as it is and becomes the finding."""
    rendered, problem = _rendered(release, world)
    try:
        revision = revision_in_force(release, world, rendered)
    except Invalid as invalid:
        known = history(world, release.name)
        revision, problem = known[-1] if known else None, invalid.finding
    if revision is None:
        return existing_release(release.name, world, problem)
    name = release_name(world.service, release.name)
    live = world.child("Deployment", name)
    choice = rollout(release, world, now)
    children = [
        controller_revision(world.service, release.name, revision),
        deployment(world.service, release, revision.template, revision.inputs, choice.strategy),
        release_service(world.service, release.name, revision.template),
    ]
    if world.settings.gateway:
        children.append(http_route(world, name, release_url(world, release.name)))
    as_asked = release.revision is None and revision.inputs == inputs_of(world.service, release)
    finding = _refused(revision, name, world) or _finding(release.name, live, world, choice.finding)
    if problem and (not as_asked or (finding and finding.reason in WAITING)):
        finding = problem
    return ReleasePlan(
        name=release.name,
        template=revision.template,
        children=tuple(children),
        replicas=replicas(world.service, release, live) if live else None,
        finding=finding,
        caution=problem if problem and finding is None else None,
        serving=is_serving(live),
        ready_replicas=ready_replicas(live),
        total_replicas=_total(live),
        again_seconds=choice.again_seconds,
        revision=revision,
        ready_revision=revision.number
        if has_been_ready(revision, release.name, world)
        else last_ready_number(world, release.name),
        update=_update(revision, rendered),
    )


def existing_release(name: str, world: World, finding: Finding | None) -> ReleasePlan:
    """A release that gets no new children: there is nothing to run yet, or it is on its way out."""
    live = world.child("Deployment", release_name(world.service, name))
    return ReleasePlan(
        name=name,
        template=live["spec"]["template"] if live else None,
        finding=finding,
        serving=is_serving(live),
        ready_replicas=ready_replicas(live),
        total_replicas=_total(live),
    )


def _rendered(release: Release, world: World) -> tuple[Object | None, Finding | None]:
    try:
        return pod_template(release, world), None
    except Invalid as invalid:
        return None, invalid.finding


def _update(revision: Revision, rendered: Object | None) -> str:
    if rendered is None or is_same(revision.template, rendered):
        return ""
    return in_words(without_label(revision.template), rendered)


def _finding(release: str, live: Object | None, world: World, replacing: Finding | None) -> Finding | None:
    name = release_name(world.service, release)
    if world.service.paused:
        return Finding(Reason.PAUSED, "Paused by spec.runMode: set it to running to start the pods")
    if live is None:
        return Finding(Reason.PREDICTOR_NOT_READY, f"Deployment {name} is being created")
    if is_complete(live):
        return None
    failure = next(
        (
            c
            for c in live.get("status", {}).get("conditions", [])
            if c["type"] == "ReplicaFailure" and c["status"] == "True"
        ),
        None,
    )
    if failure:
        return Finding(
            Reason.REFUSED, f"The API server refuses the pods of Deployment {name}: {failure.get('message', '')}"
        )
    found = pod_finding(world, release)
    if found and not (replacing and found.reason == Reason.UNSCHEDULABLE):
        return found
    if replacing:
        return replacing
    return Finding(Reason.PREDICTOR_NOT_READY, _progress(live))


def _progress(live: Object) -> str:
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    ready = status.get("readyReplicas", 0)
    if old > 0:
        return f"{ready} of {wanted} pods are ready, {old} of them to be replaced: each serves until a new pod is ready"
    if ready >= wanted:
        return f"{ready} of {wanted} pods are ready: requests are being led to them"
    return f"{ready} of {wanted} pods are ready: the model is loading"


def _refused(revision: Revision, name: str, world: World) -> Finding | None:
    refs = [Ref("ControllerRevision", revision.name), *(Ref(k, name) for k in ("Deployment", "Service", "HTTPRoute"))]
    return next((world.refusals[ref] for ref in refs if ref in world.refusals), None)


def _total(live: Object | None) -> int:
    return int(live.get("status", {}).get("replicas", 0)) if live else 0
