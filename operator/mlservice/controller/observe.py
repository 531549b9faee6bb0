"""Everything known about one service, from the stores: no request is made."""

from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from mlservice.api.meta import LABEL_MANAGED_BY, LABEL_RELEASE, MANAGER, Object, without_nulls
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.cluster.client import Client
from mlservice.cluster.queue import Turn, WorkQueue
from mlservice.cluster.resources import CHILDREN, CLAIM, DEPLOYMENT, HTTP_ROUTE, MLSERVICE, POD, RUNTIME
from mlservice.cluster.store import Key, Store, key_of
from mlservice.controller import projections
from mlservice.plan import World
from mlservice.plan.deployment import ready_replicas
from mlservice.plan.references import references
from mlservice.plan.world import Ref, ref

MANAGED = f"{LABEL_MANAGED_BY}={MANAGER}"
"""Label selector of everything that the operator makes."""


class Cluster:
    """The watched part of the cluster; each change rings the doorbell of the services it concerns."""

    def __init__(self, settings: Settings, queue: WorkQueue) -> None:
        self.settings, self.queue = settings, queue
        self.services = Store(MLSERVICE, self._service_changed, project=projections.without_managed_fields)
        self.runtimes = Store(RUNTIME, self._reference_changed, project=projections.without_managed_fields)
        self.claims = Store(CLAIM, self._reference_changed, project=projections.claim)
        self.pods = Store(POD, self._child_changed, projections.labelled_service, projections.pod)
        self.children = {
            kind: Store(
                resource,
                self._child_changed,
                projections.controlling_service,
                projections.child,
            )
            for kind, resource in CHILDREN.items()
            if resource is not HTTP_ROUTE or settings.gateway
        }
        self._references: dict[Key, frozenset[Ref]] = {}
        self._dependents: dict[tuple[str, Ref], set[Key]] = defaultdict(set)

    def stores(self) -> list[Store]:
        return [self.services, self.runtimes, *self._watched()]

    def watches(self, client: Client) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that keep every store but those that kopf feeds."""
        return [
            store.keep(
                client,
                self.settings.namespace,
                "" if store is self.claims else MANAGED,
                self.settings.verify_seconds,
            )
            for store in self._watched()
        ]

    def world(self, key: Key) -> World | None:
        """Return all that is known about a service; None when it is gone, or going.

        Raises pydantic's ValidationError when the service cannot be read.
        """
        found = self.services.get(key)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return None
        service = MLService.model_validate(without_nulls(found))
        names = references(service)
        return World(
            service=service,
            settings=self.settings,
            runtimes=self._named(self.runtimes, service.namespace, "MLServiceRuntime", names),
            claims=self._named(self.claims, service.namespace, "PersistentVolumeClaim", names),
            children={
                ref(child): child
                for store in self.children.values()
                for child in store.owned_by(key)
                if any(o["uid"] == found["metadata"]["uid"] for o in child["metadata"]["ownerReferences"])
            },
            pods=self.pods.owned_by(key),
        )

    def _watched(self) -> list[Store]:
        return [self.claims, self.pods, *self.children.values()]

    @staticmethod
    def _named(store: Store, namespace: str, kind: str, refs: frozenset[Ref]) -> dict[str, Object]:
        found = {r.name: store.get((namespace, r.name)) for r in refs if r.kind == kind}
        return {name: obj for name, obj in found.items() if obj is not None}

    def _service_changed(self, obj: Object) -> None:
        key = key_of(obj)
        self._index(key)
        self.queue.add(key)

    def _child_changed(self, obj: Object) -> None:
        owner = projections.controlling_service(obj) or projections.labelled_service(obj)
        if owner:
            self.queue.add(owner, Turn.FIRST if self._is_untold(owner, obj) else Turn.USUAL)

    def _is_untold(self, owner: Key, child: Object) -> bool:
        """Whether it is a Deployment that serves by more pods, or by fewer, than its service's status says."""
        service = self.services.get(owner) if child["kind"] == DEPLOYMENT.kind else None
        if service is None:
            return False
        release = child["metadata"].get("labels", {}).get(LABEL_RELEASE)
        releases = service.get("status", {}).get("releases") or []
        told = next((r.get("readyReplicas", 0) for r in releases if r.get("name") == release), 0)
        return bool(ready_replicas(child) != told)

    def _reference_changed(self, obj: Object) -> None:
        namespace, _ = key_of(obj)
        for key in list(self._dependents.get((namespace, ref(obj)), ())):
            self.queue.add(key, Turn.FAN_OUT)

    def _index(self, key: Key) -> None:
        """Keep the reverse map from what services name to the services that name it."""
        found = self.services.get(key)
        try:
            new = references(MLService.model_validate(without_nulls(found))) if found else frozenset()
        except ValueError:
            new = frozenset()
        for gone in self._references.pop(key, frozenset()) - new:
            self._dependents[key[0], gone].discard(key)
            if not self._dependents[key[0], gone]:
                del self._dependents[key[0], gone]
        for named in new:
            self._dependents[key[0], named].add(key)
        if new:
            self._references[key] = new
