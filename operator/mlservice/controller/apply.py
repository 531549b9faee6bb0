"""Make a plan true: write what differs, delete what must go, and say what the API server refused."""

import hashlib
import json
import logging
from collections.abc import Coroutine
from typing import Any

from cachetools import LRUCache, TTLCache

from mlservice.api.meta import ANNOTATION_APPLIED, LABEL_RELEASE, REPAIRER, Object
from mlservice.api.mlservice import MLService
from mlservice.cluster.client import ApiError, Client, all_of
from mlservice.cluster.limit import Allowance
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, MLSERVICE, REVISION
from mlservice.cluster.store import key_of, version_of
from mlservice.controller.observe import Cluster
from mlservice.controller.ownership import OwnerGone, adopt, edited_runtimes, names_of
from mlservice.plan import Finding, Plan, Ref, World
from mlservice.plan.contest import BURST, SECONDS, contest
from mlservice.plan.drift import contains
from mlservice.plan.refusal import refused_child
from mlservice.plan.revision import must_be_newest
from mlservice.plan.world import ref

logger = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Children of which something is remembered."""


class Applier:
    """Writes children and status; skips every write whose result is already there."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.client, self.cluster = client, cluster
        self._settled: LRUCache[str, tuple[str, str]] = LRUCache(REMEMBERED)
        self._written: TTLCache[tuple[str, Ref], str] = TTLCache(REMEMBERED, BURST * SECONDS)
        self._repeats = Allowance(BURST, SECONDS)

    async def apply(self, plan: Plan, world: World) -> tuple[bool, dict[Ref, Finding]]:
        """Return whether another plan is due, since something was written or known too late, and what was refused.

        No doorbell rings for what is written here.

        Raises OwnerGone, OwnerChanged, NotLeading, or the API's own error where another attempt may succeed.
        """
        wanted = [child for child in plan.children if not self._in_place(world.children.get(ref(child)), child)]
        missing = [child for child in wanted if ref(child) not in world.children]
        if not (wanted or plan.replicas or plan.unwanted):
            return False, {}
        # Names that no store knows are free, most likely: making the child tells if one is not.
        names = await names_of(self.client, world.service, [child for child in missing if self._is_known(child)])
        if names.orphans:
            await self._adopt(world.service, names.orphans)
            return True, {}
        deployments = [child for child in wanted if child["kind"] == DEPLOYMENT.kind]
        changing = [ref(child) for child in deployments if must_be_newest(world, child)]
        edited = await edited_runtimes(self.client, world) if changing else []
        if isinstance(edited, Finding):  # nothing is written: a revision of an old runtime would count as the update
            return False, dict.fromkeys(changing, edited)
        if edited:
            for runtime in edited:
                self.cluster.runtimes.put(runtime)
            return True, {}
        refused = names.taken | self._contested(world, wanted)
        allowed = [child for child in wanted if ref(child) not in refused]
        # Pods must never run without a revision that remembers them, so that one comes first, and without it nothing.
        pins, others = _apart(allowed, REVISION.kind)
        outcomes = await all_of([self._write(world, pin) for pin in pins])
        unpinned = {pin["metadata"]["labels"][LABEL_RELEASE] for pin, no in zip(pins, outcomes, strict=True) if no}
        writes: list[Coroutine[Any, Any, dict[Ref, Finding]]] = [
            self._write(world, child)
            for child in others
            if child["kind"] != DEPLOYMENT.kind or child["metadata"]["labels"][LABEL_RELEASE] not in unpinned
        ]
        writes += [self._scale(world, name, count) for name, count in plan.replicas.items()]
        # What is deleted shows in the watch, which rings the doorbell again.
        deletions = [self._delete(world, obj) for obj in plan.unwanted if "deletionTimestamp" not in obj["metadata"]]
        others_outcomes = await all_of(writes + deletions)
        for outcome in outcomes + others_outcomes:
            refused.update(outcome)
        return {} in outcomes + others_outcomes[: len(writes)], refused

    async def apply_status(self, obj: Object, status: Object) -> bool:
        """Write the status of an MLService that is still as it was read, if it differs; return whether it was written.

        No doorbell rings for it. One that has changed is stored as it is now, and so handled again.
        """
        if obj.get("status") == status:
            return False
        metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": MLSERVICE.api_version, "kind": MLSERVICE.kind, "metadata": metadata, "status": status}
        try:
            self.cluster.services.put(await self.client.apply(MLSERVICE, body, "status"), quietly=True)
        except ApiError as error:
            if error.status == 404:
                raise OwnerGone(obj["metadata"]["uid"]) from None
            live = await self.client.get(MLSERVICE, *key_of(obj)) if error.status == 409 else None
            if live is None or version_of(live) == version_of(obj):
                raise
            self.cluster.services.put(live)
            return False
        return True

    def _in_place(self, live: Object | None, child: Object) -> bool:
        if live is None or _is_under_repair(live):
            return False
        settled = self._settled.get(live["metadata"]["uid"])
        return contains(live, child) or settled == (_hash(child), _fingerprint(live))

    def _is_known(self, child: Object) -> bool:
        metadata = child["metadata"]
        return self.cluster.children[child["kind"]].get((metadata["namespace"], metadata["name"])) is not None

    async def _adopt(self, service: MLService, orphans: list[Object]) -> None:
        for live in await all_of([adopt(self.client, service, orphan) for orphan in orphans]):
            self.cluster.children[live["kind"]].put(live, quietly=True)
            logger.info("Adopted %s in %s", ref(live), service.namespace)

    def _contested(self, world: World, wanted: list[Object]) -> dict[Ref, Finding]:
        """Children that somebody else deletes or changes back again and again: they wait."""
        places = ((ref(child), child) for child in wanted)
        return {
            where: contest(where, world.children.get(where), child)
            for where, child in places
            if self._is_repeat(world, child) and not self._repeats.left((world.service.metadata["uid"], where))
        }

    def _is_repeat(self, world: World, child: Object) -> bool:
        """Whether it is written though nothing new is wanted of it: it is made, or somebody else changed it."""
        live, written = world.children.get(ref(child)), _hash(child)
        before = self._written.get((world.service.metadata["uid"], ref(child)))
        applied = live["metadata"].get("annotations", {}).get(ANNOTATION_APPLIED) if live else None
        return live is None or written in (before, applied)

    async def _write(self, world: World, child: Object) -> dict[Ref, Finding]:
        where = ref(child)
        try:
            live = await self._applied(world, child)
        except ApiError as error:
            return {where: _refusal(child, error)}
        if isinstance(live, Finding):
            return {where: live}
        key = world.service.metadata["uid"], where
        if self._is_repeat(world, child):
            self._repeats.take(key)
        self._written[key] = _hash(child)
        if not contains(live, child):
            # The server rewrote something of ours. Written again it would be the same: remember, and leave it.
            self._settled[live["metadata"]["uid"]] = (_hash(child), _fingerprint(live))
        self.cluster.children[where.kind].put(live, quietly=True)
        held = ", to be scaled before it may start" if child.get("spec", {}).get("paused") else ""
        logger.info("Applied %s in %s%s", where, child["metadata"]["namespace"], held)
        return {}

    async def _applied(self, world: World, child: Object) -> Object | Finding:
        resource = CHILDREN[child["kind"]]
        if ref(child) not in world.children:
            return await self._make(world, child)
        try:
            live = await self.client.apply(resource, child)
        except ApiError as error:
            if not error.is_about_duplicates:
                raise
            await self.client.overwrite(resource, child)
            live = await self.client.apply(resource, child)
        return await self.client.disown(resource, live) if _is_under_repair(live) else live

    async def _make(self, world: World, child: Object) -> Object | Finding:
        """Apply a child that is not known to exist; the finding says whose its name is, if it is a stranger's."""
        resource = CHILDREN[child["kind"]]
        try:
            return await self.client.make(resource, child)
        except ApiError as error:
            if error.status != 409:
                raise
            names = await names_of(self.client, world.service, [child])
            if names.own:
                return await self.client.apply(resource, child)
            await self._adopt(world.service, names.orphans)
            if names.taken:
                return names.taken[ref(child)]
            raise  # adopted, or gone by now: the next attempt finds it, or makes it

    async def _delete(self, world: World, obj: Object) -> dict[Ref, Finding]:
        where = ref(obj)
        try:
            await self.client.delete(CHILDREN[obj["kind"]], obj)
        except ApiError as error:
            return {where: _refusal(obj, error)}
        self._settled.pop(obj["metadata"]["uid"], None)
        self._repeats.forget((world.service.metadata["uid"], where))
        logger.info("Deleted %s in %s", where, obj["metadata"]["namespace"])
        return {}

    async def _scale(self, world: World, name: str, count: int) -> dict[Ref, Finding]:
        where = Ref(DEPLOYMENT.kind, name)
        live = world.children[where]
        if not self._repeats.take((world.service.metadata["uid"], where, count)):
            return {where: contest(where, live, {"spec": {"replicas": count}})}
        try:
            scaled = await self.client.scale(DEPLOYMENT, world.service.namespace, name, count)
        except ApiError as error:
            if error.status == 404:  # deleted meanwhile; the watch tells
                return {}
            return {where: _refusal(live, error)}
        self.cluster.children[where.kind].put(scaled, quietly=True)
        logger.info("Scaled Deployment %s in %s to %d", name, world.service.namespace, count)
        return {}


def _apart(children: list[Object], kind: str) -> tuple[list[Object], list[Object]]:
    return [c for c in children if c["kind"] == kind], [c for c in children if c["kind"] != kind]


def _refusal(obj: Object, error: ApiError) -> Finding:
    """What the API server said to a write, in a form for users. Raises the error where another attempt may succeed."""
    if not error.is_refusal:
        raise error
    return refused_child(obj, error.status, error.message)


def _is_under_repair(live: Object) -> bool:
    """Whether an overwrite of it was not brought to its end."""
    return any(entry["manager"] == REPAIRER for entry in live["metadata"].get("managedFields", []))


def _hash(child: Object) -> str:
    return str(child["metadata"]["annotations"][ANNOTATION_APPLIED])


def _fingerprint(live: Object) -> str:
    metadata = live["metadata"]
    seen = [metadata.get("labels"), metadata.get("annotations"), live.get("spec")]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
