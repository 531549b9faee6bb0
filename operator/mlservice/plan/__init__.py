"""What must be true next, as a pure function of what is true now: no I/O, no clock, no state."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.plan.drift import stamped
from mlservice.plan.labels import release_name
from mlservice.plan.release import ReleasePlan, plan_release
from mlservice.plan.revision import superfluous_revisions
from mlservice.plan.route import http_route
from mlservice.plan.routing import routed_release, selected_release
from mlservice.plan.services import main_service
from mlservice.plan.status import events, status
from mlservice.plan.url import service_url
from mlservice.plan.world import Finding, Plan, Ref, World

__all__ = ["Finding", "Plan", "Ref", "World", "plan"]


def plan(world: World, now: datetime) -> Plan:
    """Return the children, replica counts and status that this service must have next.

    Deterministic; never raises on a service that the API server accepts: what is wrong becomes its status.
    """
    releases = [plan_release(release, world, now) for release in world.service.spec.releases]
    routed = routed_release(world, releases, now)
    if routed not in releases:
        releases.append(routed)
    children = [child for release in releases for child in release.children]
    children += _front(world, routed)
    new_status = status(world, releases, routed, now)
    return Plan(
        children=tuple(stamped(child) for child in children),
        unwanted=tuple(_unwanted(world, releases)),
        replicas={release_name(world.service, r.name): r.replicas for r in releases if r.replicas is not None},
        status=new_status,
        events=events(world.service.name, world.service.status, new_status),
        again_seconds=min((r.again_seconds for r in releases if r.again_seconds is not None), default=None),
    )


def _front(world: World, routed: ReleasePlan) -> Iterator[Object]:
    """The service's own Service and route; without a pod template there is no port to lead to: the Service stays."""
    if routed.template is not None:
        yield main_service(world.service, routed.name, routed.template)
    if world.settings.gateway:
        yield http_route(world, world.service.name, service_url(world))


def _unwanted(world: World, releases: Sequence[ReleasePlan]) -> Iterator[Object]:
    """Children of releases that are gone, except of the one that live traffic still goes to."""
    staying = {r.name: r.revision for r in releases}
    if selected := selected_release(world):
        staying.setdefault(selected, None)
    kept = {release_name(world.service, name) for name in staying} | {world.service.name}
    for ref, child in world.children.items():
        if ref.kind != "ControllerRevision" and ref.name not in kept:
            yield child
    yield from superfluous_revisions(world, staying)
