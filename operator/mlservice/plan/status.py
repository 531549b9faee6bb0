"""The status of an MLService, the whole of it, computed from the present each time."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlservice.api.meta import ANNOTATION_UPDATE, Object
from mlservice.api.reasons import WAITS_FOR_USER, Reason
from mlservice.plan.conditions import Condition, conditions
from mlservice.plan.release import ReleasePlan
from mlservice.plan.route import route_finding
from mlservice.plan.unsupported import fields_supported
from mlservice.plan.url import release_url, service_url
from mlservice.plan.world import Event, Finding, Ref, World

NO_NEWS = frozenset({Reason.PREDICTOR_NOT_READY, Reason.ALL_READY})
"""Reasons that make no Event: starting up is what everybody expects."""


def status(world: World, releases: Sequence[ReleasePlan], routed: str, now: datetime) -> Object:
    """Return the status; `releases` holds those of the spec, and the routed one if the spec no longer has it."""
    service = world.service
    generation = int(service.metadata.get("generation", 0))
    return {
        "observedGeneration": generation,
        "address": {"url": service_url(world)},
        "defaultRelease": routed,
        "releaseNames": ",".join(release.name for release in releases),
        "releases": [_release(world, release, routed) for release in releases],
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


def events(old: Object, new: Object) -> tuple[Event, ...]:
    """Events for what changed: readiness, and a release's trouble while the service itself is ready."""
    happened = [] if old.get("conditions") else [Event("Normal", Reason.CREATED, "The MLService was accepted")]
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


def _release(world: World, release: ReleasePlan, routed: str) -> Object:
    finding = release.finding or release.caution
    return {
        "name": release.name,
        "ready": release.ready,
        "trafficPercent": 100 if release.name == routed else 0,
        "url": release_url(world, release.name),
        **({"reason": str(finding.reason), "message": finding.message} if finding else {}),
        "readyReplicas": release.ready_replicas,
        "totalReplicas": release.total_replicas,
        **({"revision": release.revision.number} if release.revision else {}),
        **({"readyRevision": release.ready_revision} if release.ready_revision else {}),
    }


def _conditions(world: World, releases: Sequence[ReleasePlan], routed: str) -> Iterator[Condition]:
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
    stalled = [r for r in broken if r.finding and r.finding.reason in WAITS_FOR_USER]
    if stalled and stalled[0].finding:
        yield Condition("Stalled", True, stalled[0].finding.reason, stalled[0].finding.message)
    elif not paused and (broken or not ready.status):
        yield Condition("Reconciling", True, *_reason_of(broken, ready))
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


def _reason_of(broken: Sequence[ReleasePlan], ready: Condition) -> tuple[Reason, str]:
    finding = broken[0].finding if broken else None
    return (finding.reason, finding.message) if finding else (ready.reason, ready.message)


def _readiness(world: World, releases: Sequence[ReleasePlan], routed: str) -> Condition:
    """Ready: the routed release has a ready pod, and the route leads to it."""
    release = next(r for r in releases if r.name == routed)
    waiting = next((r for r in releases if r.name == world.service.spec.default and r.name != routed), None)
    finding = _blocking(world, release)
    if finding:
        return Condition("Ready", False, finding.reason, finding.message)
    message = f"Release {routed} serves at {service_url(world)}{_without_gateway(world)}"
    if waiting and waiting.finding:
        message += f". Release {waiting.name} takes over once it is ready: {waiting.finding.message}"
    elif release.finding:
        message += f". It is being updated: {release.finding.reason}: {release.finding.message}"
    return Condition("Ready", True, Reason.READY, message)


def _blocking(world: World, release: ReleasePlan) -> Finding | None:
    refused = world.refusals.get(Ref("Service", world.service.name)) or world.refusals.get(
        Ref("HTTPRoute", world.service.name)
    )
    if refused:
        return refused
    if world.service.paused or not release.serving:
        return release.finding or Finding(Reason.PREDICTOR_NOT_READY, f"Release {release.name} has no ready pod")
    return route_finding(world)


def _without_gateway(world: World) -> str:
    if world.settings.gateway:
        return ""
    service = world.service
    return (
        f" inside the cluster; from elsewhere: kubectl -n {service.namespace} port-forward svc/{service.name} 8080:80"
    )
