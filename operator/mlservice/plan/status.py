"""The status of an MLService, the whole of it, computed from the present each time."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlservice.api.meta import ANNOTATION_UPDATE, Object
from mlservice.api.reasons import WAITS_FOR_USER, Reason
from mlservice.plan.conditions import Condition, conditions
from mlservice.plan.labels import release_name
from mlservice.plan.release import ReleasePlan
from mlservice.plan.route import route_finding
from mlservice.plan.routing import WAITS_FOR_ROOM
from mlservice.plan.unsupported import fields_supported
from mlservice.plan.url import release_url, service_url
from mlservice.plan.world import Event, Finding, Ref, World

NO_NEWS = frozenset({Reason.PREDICTOR_NOT_READY, Reason.ALL_READY})
"""Reasons that make no Event: starting up is what everybody expects."""


def status(world: World, releases: Sequence[ReleasePlan], routed: ReleasePlan, now: datetime) -> Object:
    """Return the status; `releases` holds those of the spec, and the routed one if the spec no longer has it."""
    service = world.service
    generation = int(service.metadata.get("generation", 0))
    return {
        "observedGeneration": generation,
        "address": {"url": service_url(world)},
        "defaultRelease": routed.name,
        "releaseNames": ",".join(release.name for release in releases),
        "releases": [_release(world, release, release is routed) for release in releases],
        "conditions": conditions(
            _conditions(world, releases, routed), service.status.get("conditions", []), generation, now
        ),
    }


def unreadable_status(obj: Object, error: str, now: datetime) -> Object:
    """The status of an MLService that the API server accepted and we cannot read; the rest of it stays as it was."""
    old, generation = obj.get("status", {}), int(obj["metadata"].get("generation", 0))
    condition = Condition(
        "Ready", False, Reason.INVALID_SPEC, f"The MLService cannot be read: {error}. Correct the field"
    )
    stalled = Condition("Stalled", True, condition.reason, condition.message)
    rendered = conditions([condition, stalled], old.get("conditions", []), generation, now)
    return {**old, "observedGeneration": generation, "conditions": rendered}


def events(name: str, old: Object, new: Object) -> tuple[Event, ...]:
    """Events for what changed: readiness, and a release's trouble while the service itself is ready."""
    happened = (
        [] if old.get("conditions") else [Event("Normal", Reason.CREATED, f"An MLService has been created: {name}")]
    )
    ready = _condition(new, "Ready")
    watched = _condition(new, "ReleasesReady") if ready["status"] == "True" else ready
    for condition in (ready, watched) if ready is not watched else (ready,):
        before, reason = _condition(old, condition["type"]), Reason(condition["reason"])
        if (before.get("status"), before.get("reason")) != (condition["status"], reason) and reason not in NO_NEWS:
            quiet = condition["status"] == "True" or reason == Reason.PAUSED
            happened.append(Event("Normal" if quiet else "Warning", reason, condition["message"]))
    return tuple(happened)


def _condition(status: Object, type_: str) -> Object:
    return next((c for c in status.get("conditions", []) if c["type"] == type_), {})


def _release(world: World, release: ReleasePlan, routed: bool) -> Object:
    finding = release.finding or release.caution
    return {
        "name": release.name,
        "ready": release.ready,
        "trafficPercent": 100 if routed else 0,
        "url": release_url(world, release.name),
        **({"reason": str(finding.reason), "message": finding.message} if finding else {}),
        "readyReplicas": release.ready_replicas,
        "totalReplicas": release.total_replicas,
        **({"revision": release.revision.number} if release.revision else {}),
        **({"readyRevision": release.ready_revision} if release.ready_revision else {}),
    }


def _conditions(world: World, releases: Sequence[ReleasePlan], routed: ReleasePlan) -> Iterator[Condition]:
    paused = world.service.paused
    ready = _readiness(world, releases, routed)
    broken = [r for r in releases if r.finding]
    yield ready
    yield Condition(
        "ReleasesReady",
        status=not broken,
        reason=broken[0].finding.reason if broken and broken[0].finding else Reason.ALL_READY,
        message="; ".join(f"{r.name}: {found.message}" for r in releases if (found := r.finding or r.caution)),
    )
    yield Condition("Paused", paused, Reason.PAUSED if paused else Reason.RUNNING)
    yield _update_available(world, releases)
    troubles = [(ready.reason, ready.message)] if not ready.status else []
    troubles += [(r.finding.reason, r.finding.message) for r in broken if r.finding]
    stalled = [trouble for trouble in troubles if trouble[0] in WAITS_FOR_USER]
    if stalled:
        yield Condition("Stalled", True, *stalled[0])
    elif not paused and ready.reason != Reason.SCALED_TO_ZERO and troubles:
        yield Condition("Reconciling", True, *troubles[0])
    if warning := fields_supported(world):
        yield warning


def _update_available(world: World, releases: Sequence[ReleasePlan]) -> Condition:
    """Whether runtimes, or a newer operator, would make other pods than those that are pinned."""
    waiting = [r for r in releases if r.update]
    if not waiting:
        return Condition("UpdateAvailable", False, Reason.UP_TO_DATE)
    held = {r.name for r in world.service.spec.releases if r.revision is not None}
    differences = "; ".join(f"release {r.name}{' (held)' * (r.name in held)}: {r.update}" for r in waiting)
    service = world.service
    message = (
        f"Pods keep their revision; new ones would differ in {differences}. To update: kubectl -n {service.namespace} "
        f"annotate mls {service.name} {ANNOTATION_UPDATE}=$(date +%s) --overwrite"
    )
    if held:
        message += ", and remove releases[].revision from a held release"
    return Condition("UpdateAvailable", True, Reason.NEWER_TEMPLATE, message)


def _readiness(world: World, releases: Sequence[ReleasePlan], routed: ReleasePlan) -> Condition:
    """Ready: the routed release has a ready pod, and the route leads to it."""
    wanted = next(r for r in releases if r.name == world.service.spec.default)
    in_spec = any(r.name == routed.name for r in world.service.spec.releases)
    # Of a release that the spec no longer has, and that serves nobody, nobody wants to hear.
    if finding := _blocking(world, routed if routed.serving or in_spec else wanted):
        return Condition("Ready", False, finding.reason, finding.message)
    parts = [f"Release {routed.name} serves at {service_url(world)}{_without_gateway(world)}"]
    if trouble := routed.finding or routed.caution:
        parts.append(trouble.message)
    if wanted is not routed:
        trouble = wanted.finding or wanted.caution or _without_pods(world, wanted)
        parts.append(f"Release {wanted.name} takes over once it has a ready pod: {trouble.message}")
        parts.append(_on_its_way_out(world, wanted, routed))
    return Condition("Ready", True, Reason.READY, ". ".join(part for part in parts if part))


def _blocking(world: World, release: ReleasePlan) -> Finding | None:
    refused = world.refusals.get(Ref("Service", world.service.name)) or world.refusals.get(
        Ref("HTTPRoute", world.service.name)
    )
    if refused:
        return refused
    if world.service.paused or not release.serving:
        return release.finding or release.caution or _without_pods(world, release)
    return route_finding(world)


def _without_pods(world: World, release: ReleasePlan) -> Finding:
    """A release that is as it should be, and yet has no ready pod: none is wanted."""
    name, namespace = release_name(world.service, release.name), world.service.namespace
    if release.total_replicas > 0:
        return Finding(Reason.PREDICTOR_NOT_READY, f"Release {release.name} has no ready pod yet")
    return Finding(
        Reason.SCALED_TO_ZERO,
        f"Release {release.name} has no pods: its minReplicas is 0, and nobody has scaled it up. To start one: kubectl "
        f"-n {namespace} scale deployment {name} --replicas=1, or set minReplicas to 1",
    )


def _on_its_way_out(world: World, wanted: ReleasePlan, routed: ReleasePlan) -> str:
    """How to go on where the last room is taken by a release that the spec no longer has."""
    in_spec = any(r.name == routed.name for r in world.service.spec.releases)
    if in_spec or not wanted.finding or wanted.finding.reason not in WAITS_FOR_ROOM:
        return ""
    return (
        f"Release {routed.name} is not in the spec any more and goes then. If there is no room for both, delete it: "
        f"kubectl -n {world.service.namespace} delete deployment {release_name(world.service, routed.name)}; requests "
        f"fail until release {wanted.name} is ready"
    )


def _without_gateway(world: World) -> str:
    if world.settings.gateway:
        return ""
    service = world.service
    return (
        f" inside the cluster; from elsewhere: kubectl -n {service.namespace} port-forward svc/{service.name} 8080:80"
    )
