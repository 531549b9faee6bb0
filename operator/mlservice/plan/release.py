"""One release: its children, its strategy, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.mlservice import Release
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import deployment, is_complete, ready_replicas, replicas
from mlservice.plan.diagnosis import pod_finding
from mlservice.plan.labels import release_name
from mlservice.plan.pod import pod_template
from mlservice.plan.rollout import rollout
from mlservice.plan.route import http_route
from mlservice.plan.services import release_service
from mlservice.plan.url import release_url
from mlservice.plan.world import Finding, Invalid, Ref, World


@dataclass(frozen=True)
class ReleasePlan:
    """What one release needs, and how it is."""

    name: str
    template: Object | None
    """Pod template, wanted or else live; None when there is neither."""
    children: tuple[Object, ...] = ()
    replicas: int | None = None
    """Count to set on the live Deployment, None to leave it."""
    finding: Finding | None = None
    """Why it is not ready; None when it is."""
    ready_replicas: int = 0
    total_replicas: int = 0
    again_seconds: float | None = None

    @property
    def ready(self) -> bool:
        return self.finding is None

    @property
    def serving(self) -> bool:
        return self.ready_replicas > 0


def plan_release(release: Release, world: World, now: datetime) -> ReleasePlan:
    """Plan one release; input that cannot be rendered leaves what runs alone and becomes the finding."""
    name = release_name(world.service, release.name)
    live = world.child("Deployment", name)
    try:
        template = pod_template(release, world)
    except Invalid as invalid:
        return existing_release(release.name, world, invalid.finding)
    choice = rollout(release, world, now)
    children = [
        deployment(world.service, release, template, choice.strategy),
        release_service(world.service, release.name, template),
    ]
    if world.settings.gateway:
        children.append(http_route(world, name, release_url(world, release.name)))
    return ReleasePlan(
        name=release.name,
        template=template,
        children=tuple(children),
        replicas=replicas(world.service, release, live) if live else None,
        finding=_finding(release.name, live, world, choice.finding),
        ready_replicas=ready_replicas(live),
        total_replicas=_total(live),
        again_seconds=choice.again_seconds,
    )


def existing_release(name: str, world: World, finding: Finding | None) -> ReleasePlan:
    """A release that gets no new children: its input is invalid, or it is on its way out."""
    live = world.child("Deployment", release_name(world.service, name))
    return ReleasePlan(
        name=name,
        template=live["spec"]["template"] if live else None,
        finding=finding,
        ready_replicas=ready_replicas(live),
        total_replicas=_total(live),
    )


def _finding(release: str, live: Object | None, world: World, replacing: Finding | None) -> Finding | None:
    name = release_name(world.service, release)
    refused = _first(world.refusals, [Ref(kind, name) for kind in ("Deployment", "Service", "HTTPRoute")])
    if refused:
        return refused
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
    ready = f"{status.get('readyReplicas', 0)} of {wanted} pods are ready"
    if old > 0:
        return f"{ready}, {old} of them to be replaced: each serves until a new pod has loaded the model"
    return f"{ready}: the model is loading"


def _first(refusals: Mapping[Ref, Finding], refs: list[Ref]) -> Finding | None:
    return next((refusals[ref] for ref in refs if ref in refusals), None)


def _total(live: Object | None) -> int:
    return int(live.get("status", {}).get("replicas", 0)) if live else 0
