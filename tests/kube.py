"""A plain client for tests: requests to a real API server, and waiting for a state of the world."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from local_cluster.api import Api
from mlservice.cluster.resources import CHILDREN, CLAIM, LEASE, MLSERVICE, POD, RUNTIME, Resource

T = TypeVar("T")
Object = dict[str, Any]

NAMESPACE = Resource("Namespace", "v1", "namespaces")
RESOURCES = {r.kind: r for r in (MLSERVICE, RUNTIME, CLAIM, POD, LEASE, NAMESPACE, *CHILDREN.values())}


class Refused(Exception):
    """The API server said no; the text is its message."""


class Kube:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.api = Api(kubeconfig)

    def create(self, obj: Object) -> Object:
        resource = RESOURCES[obj["kind"]]
        return self._ask("POST", resource.path(obj["metadata"].get("namespace", "")), obj)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self.api.get(RESOURCES[kind].path(namespace, name))

    def list(self, kind: str, namespace: str) -> list[Object]:
        return list((self.api.get(RESOURCES[kind].path(namespace)) or {"items": []})["items"])

    def patch(self, kind: str, namespace: str, name: str, patch: Object, subresource: str = "") -> Object:
        path = RESOURCES[kind].path(namespace, name, subresource)
        return self._ask("PATCH", path, patch, "application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str, **options: Any) -> None:
        self._ask("DELETE", RESOURCES[kind].path(namespace, name), options)

    def _ask(self, method: str, path: str, body: Object, content_type: str = "application/json") -> Object:
        status, text = self.api.request(method, path, json.dumps(body), content_type)
        if status >= 300:
            raise Refused(json.loads(text).get("message", text))
        result: Object = json.loads(text)
        return result


def eventually(what: str, look: Callable[[], T | None], seconds: float = 30) -> T:
    """Look until something true is seen; an AssertionError after that."""
    deadline = time.monotonic() + seconds
    while True:
        if seen := look():
            return seen
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.02)


def condition(service: Object | None, type_: str) -> Object:
    conditions = (service or {}).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_), {})
