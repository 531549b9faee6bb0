"""One release: its revision, its children, its strategy, and what is wrong with it."""

from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.mlservice import Release
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import deployment, is_serving, ready_replicas, replicas
from mlservice.plan.difference import in_words
from mlservice.plan.labels import release_name
from mlservice.plan.pod import is_whole, pod_template
from mlservice.plan.readiness import readiness
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

WAITING = frozenset({Reason.PREDICTOR_NOT_READY, Reason.UNSCHEDULABLE, Reason.CONTAINERS_NOT_STARTED})
"""What pods say while a cause outside of them may be the reason."""


@dataclass(frozen=True)
class ReleasePlan:
    """What one release needs, and how it is."""

    name: str
    template: Object | None
    """Pod template in force, or else live; None when there is neither, or no port in it that requests could go to."""
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
        return existing_release(release.name, world, problem, now)
    name = release_name(world.service, release.name)
    live = world.child("Deployment", name)
    served = last_ready_number(world, release.name)
    choice = rollout(release, world, served not in (None, revision.number), now)
    children = [
        controller_revision(world.service, release.name, revision),
        deployment(world.service, release, revision.template, revision.inputs, choice.strategy, live),
        release_service(world.service, release.name, revision.template),
    ]
    if world.settings.gateway:
        children.append(http_route(world, name, release_url(world, release.name)))
    as_asked = release.revision is None and revision.inputs == inputs_of(world.service, release)
    found = readiness(release.name, live, world, choice.finding, now)
    finding = _refused(revision, name, world) or found.finding
    # Not before requests reach its pods, as the rest of the status: each change is a write.
    has_served = bool(has_been_ready(revision, release.name, world)) and is_serving(live)
    count = replicas(world.service, release, live, problem) if live else None
    total = _total(live) if count is None else count
    if problem and finding and finding.reason == Reason.PAUSED:
        finding = Finding(Reason.PAUSED, f"{finding.message}. They could not start then: {problem.message}")
    elif problem and (not as_asked or total == 0 or (finding and finding.reason in WAITING)):
        finding = problem
    return ReleasePlan(
        name=release.name,
        template=revision.template,
        children=tuple(children),
        replicas=count,
        finding=finding,
        caution=problem if problem and finding is None else None,
        serving=is_serving(live),
        ready_replicas=ready_replicas(live),
        total_replicas=total,
        again_seconds=min((s for s in (choice.again_seconds, found.again_seconds) if s is not None), default=None),
        revision=revision,
        ready_revision=revision.number if has_served else served,
        update=_update(revision, rendered),
    )


def existing_release(name: str, world: World, problem: Finding | None, now: datetime) -> ReleasePlan:
    """A release that gets no new children: there is nothing to run yet, or it is on its way out."""
    live = world.child("Deployment", release_name(world.service, name))
    template = live["spec"]["template"] if live else {}
    return ReleasePlan(
        name=name,
        template=template if is_whole(template) else None,
        finding=problem or readiness(name, live, world, None, now).finding,
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


def _refused(revision: Revision, name: str, world: World) -> Finding | None:
    refs = [Ref("ControllerRevision", revision.name), *(Ref(k, name) for k in ("Deployment", "Service", "HTTPRoute"))]
    return next((world.refusals[ref] for ref in refs if ref in world.refusals), None)


def _total(live: Object | None) -> int:
    return int(live["spec"].get("replicas", 1)) if live else 0
