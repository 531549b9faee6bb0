"""One namespace as it is, with the manifests of files laid over it as `kubectl apply` would: what plans are made on."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from mlservice.api.meta import Object, without_nulls
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.cli.documents import Document, Unusable
from mlservice.cli.rehearsal import NO_UID, Assumed, Attempt, DryRun, Rehearsal, is_unasked, rehearse
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.queue import WorkQueue
from mlservice.cluster.resources import CLAIM, DEPLOYMENT, MLSERVICE, RUNTIME
from mlservice.cluster.store import Key, Store, key_of, version_of
from mlservice.controller.observe import MANAGED, Cluster
from mlservice.plan.owned import owned_template
from mlservice.plan.references import references
from mlservice.plan.revision import unpinned
from mlservice.plan.world import Ref

KINDS = (MLSERVICE.kind, RUNTIME.kind, CLAIM.kind)
"""Kinds of manifests that a plan depends on."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Stage:
    """The operator's own stores of one namespace, filled once by plain lists; empty without a client."""

    def __init__(self, settings: Settings, namespace: str, client: Client | None) -> None:
        self.namespace, self.client = namespace, client
        self.cluster = Cluster(settings, WorkQueue())
        self.notes: list[str] = []
        self.unasked: list[str] = []
        """What the API server could not be asked about by dry run."""
        self._live: dict[Key, Object] = {}
        self._given: set[Ref] = set()

    async def read(self) -> None:
        """List what the namespace holds. Raises ApiError."""
        if self.client is None:
            return
        for store in self.cluster.stores():
            selector = "" if store.resource.kind in KINDS else MANAGED
            try:
                await store.fill(self.client, self.namespace, selector)
            except ApiError as error:
                if error.status != 404 or store.resource in (MLSERVICE, RUNTIME):
                    raise
        self._live = {key_of(service): service for service in self.cluster.services}

    async def put(self, document: Document) -> None:
        """Lay a manifest over what is live. Raises Unusable when the API server refuses it."""
        store = self._store(document.kind)
        live = store.get((self.namespace, document.name))
        answer = await self._answer(document, live, applied(live, document, self.namespace), store)
        metadata = {
            **answer["metadata"],
            "uid": live["metadata"]["uid"] if live else NO_UID,
            "resourceVersion": str(version_of(live) + 1 if live else 1),
        }
        store.put({**answer, "metadata": metadata})
        self._given.add(Ref(document.kind, document.name))

    def concerned(self) -> list[Key]:
        """The services of the files, then those that a runtime or claim of the files concerns."""
        services = sorted(self.cluster.services, key=key_of)
        own = [key_of(s) for s in services if Ref(MLSERVICE.kind, s["metadata"]["name"]) in self._given]
        return list(dict.fromkeys([*own, *(key_of(s) for s in services if _references(s) & self._given)]))

    async def rehearsal(self, key: Key, now: datetime) -> Rehearsal | None:
        """What would become of a service; None when it is being deleted. Raises ApiError."""
        world = self.cluster.world(key)
        if world is None:
            self.notes.append(f"MLService {key[1]} is being deleted: nothing is done for it")
            return None
        attempt: Attempt = Assumed()
        if self.client:
            attempt = DryRun(self.client, world.service)
            found = await asyncio.gather(*(self.client.get(DEPLOYMENT, key[0], name) for name in unpinned(world)))
            world = replace(world, adopted={obj["metadata"]["name"]: owned_template(obj) for obj in found if obj})
        result = await rehearse(world, self._live.get(key), attempt, now)
        self.unasked += attempt.unasked
        return result

    def _store(self, kind: str) -> Store:
        return next(store for store in self.cluster.stores() if store.resource.kind == kind)

    async def _answer(self, document: Document, live: Object | None, wanted: Object, store: Store) -> Object:
        """The object as it would be stored: the API server's word, with its own rules and defaults."""
        if self.client is None or document.kind == CLAIM.kind:
            return wanted
        try:
            return await self.client.rehearse("PUT" if live else "POST", store.resource, wanted)
        except ApiError as error:
            if is_unasked(error):
                self.unasked.append(f"{document.kind} {document.name}")
                return wanted
            if not error.is_refusal:
                raise
            raise Unusable(document.problem(f"the API server refuses it: {error.message}")) from None


def _references(service: Object) -> frozenset[Ref]:
    try:
        return references(MLService.model_validate(without_nulls(service)))
    except ValueError:
        return frozenset()


def applied(live: Object | None, document: Document, namespace: str) -> Object:
    """The object after `kubectl apply`: what the last manifest had and this one lacks goes, the rest of it stays."""
    given = {key: value for key, value in document.content.items() if key != "status"}
    given["metadata"] = {k: v for k, v in given["metadata"].items() if k in ("labels", "annotations")}
    if live is None:
        identity = {"name": document.name, "namespace": namespace, "uid": NO_UID, "generation": 1}
        return {**given, "metadata": {**given["metadata"], **identity}}
    last = json.loads(live["metadata"].get("annotations", {}).get(LAST_APPLIED, "{}"))
    merged: Object = _three_way(last, given, live)
    changed = merged.get("spec") != live.get("spec")
    merged["metadata"]["generation"] = live["metadata"].get("generation", 0) + changed
    return merged


def _three_way(last: Any, given: Any, live: Any) -> Any:
    if not isinstance(given, dict) or not isinstance(live, dict):
        return given
    last = last if isinstance(last, dict) else {}
    kept = {k: v for k, v in live.items() if k not in given and (k not in last or k in ("name", "namespace"))}
    return kept | {k: _three_way(last.get(k), v, live.get(k)) for k, v in given.items() if v is not None}
