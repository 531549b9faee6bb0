"""The URLs of a service and of its releases; the one setting `url` says how they look."""

from urllib.parse import urlsplit

from mlservice.plan.labels import release_name
from mlservice.plan.world import World


def service_url(world: World) -> str:
    """Base URL without a trailing slash: clients append /v1/chat/completions."""
    return _url(world, world.service.name)


def release_url(world: World, release: str) -> str:
    return _url(world, release_name(world.service, release))


def host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _url(world: World, name: str) -> str:
    return world.settings.url.format(name=name, namespace=world.service.namespace)
