"""HTTPRoutes: the host names of the service and of each release at the configured Gateway."""

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.labels import metadata, service_labels
from mlservice.plan.services import PORT
from mlservice.plan.url import host
from mlservice.plan.world import Finding, World


def http_route(world: World, service_name: str, url: str) -> Object:
    """Route the URL's host to the Service of the same name.

    No timeouts are set: a streamed answer may take as long as the model needs.
    """
    namespace, gateway, *listener = world.settings.gateway.split("/")
    parent = {"name": gateway, "namespace": namespace} | ({"sectionName": listener[0]} if listener else {})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(world.service, service_name, service_labels(world.service)),
        "spec": {
            "parentRefs": [parent],
            "hostnames": [host(url)],
            "rules": [{"backendRefs": [{"name": service_name, "port": PORT}]}],
        },
    }


def route_finding(world: World) -> Finding | None:
    """What keeps the service's URL from leading to it, as the Gateway says, or None."""
    if not world.settings.gateway:
        return None
    where = f"HTTPRoute {world.service.name} at Gateway {world.settings.gateway}"
    live = world.child("HTTPRoute", world.service.name)
    parents = live.get("status", {}).get("parents", []) if live else []
    conditions = [c for parent in parents for c in parent.get("conditions", [])]
    for condition in conditions:
        if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] != "True":
            return Finding(
                Reason.ROUTE_NOT_READY,
                f"{where}: {condition.get('reason')}: {condition.get('message', '')}".strip(": "),
            )
    if not any(c["type"] == "Accepted" for c in conditions):
        return Finding(
            Reason.ROUTE_NOT_READY,
            f"{where} is not accepted yet: check that the Gateway exists and admits routes from namespace "
            f"{world.service.namespace}",
        )
    return None
