"""Make a plan true: write what differs, delete what must go, and say what the API server refused."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any

from mlservice.api.meta import ANNOTATION_APPLIED, LABEL_MANAGED_BY, LABEL_NAME, LABEL_RELEASE, MANAGER, Object
from mlservice.api.mlservice import MLService
from mlservice.api.reasons import Reason
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, MLSERVICE, REVISION
from mlservice.controller.observe import Cluster
from mlservice.plan import Finding, Plan, Ref, World
from mlservice.plan.drift import contains
from mlservice.plan.places import named
from mlservice.plan.world import ref

logger = logging.getLogger(__name__)


class OwnerGone(Exception):
    """The service was deleted while we did not look: nothing may be made for it."""


class Applier:
    """Writes children and status; skips every write whose result is already there."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.client, self.cluster = client, cluster
        self._settled: dict[str, tuple[str, str]] = {}

    async def apply(self, plan: Plan, world: World) -> tuple[bool, dict[Ref, Finding]]:
        """Return whether anything was written, and the children that were refused.

        Raises OwnerGone, NotLeading, or the API's own error where another attempt may succeed.
        """
        wanted = [child for child in plan.children if not self._in_place(world.children.get(ref(child)), child)]
        missing = [child for child in wanted if ref(child) not in world.children]
        refused = await self._taken_names(world.service, missing) if missing else {}
        allowed = [child for child in wanted if ref(child) not in refused]
        # Pods must never run without a revision that remembers them, so that one comes first, and without it nothing.
        pins, others = _apart(allowed, REVISION.kind)
        unpinned = set()
        for pin, outcome in zip(pins, await _all([self._write(pin) for pin in pins]), strict=True):
            refused.update(outcome)
            unpinned |= {pin["metadata"]["labels"][LABEL_RELEASE]} if outcome else set()
        writes: list[Coroutine[Any, Any, Any]] = [
            self._write(child)
            for child in others
            if child["kind"] != DEPLOYMENT.kind or child["metadata"]["labels"][LABEL_RELEASE] not in unpinned
        ]
        writes += [self._delete(obj) for obj in plan.unwanted if "deletionTimestamp" not in obj["metadata"]]
        writes += [self._scale(world, name, count) for name, count in plan.replicas.items()]
        for outcome in await _all(writes):
            refused.update(outcome or {})
        return len(pins) + len(writes) > 0, refused

    async def apply_status(self, obj: Object, status: Object) -> bool:
        """Write the status of this very MLService (by uid) if it differs; return whether it did."""
        if obj.get("status") == status:
            return False
        metadata = {name: obj["metadata"][name] for name in ("name", "namespace", "uid")}
        body = {"apiVersion": MLSERVICE.api_version, "kind": MLSERVICE.kind, "metadata": metadata, "status": status}
        try:
            self.cluster.services.put(await self.client.apply(MLSERVICE, body, "status"))
        except ApiError as error:
            if error.status == 404:
                raise OwnerGone from None
            raise
        return True

    def _in_place(self, live: Object | None, child: Object) -> bool:
        return live is not None and (
            contains(live, child) or self._settled.get(live["metadata"]["uid"]) == (_hash(child), _fingerprint(live))
        )

    async def _taken_names(self, service: MLService, missing: list[Object]) -> dict[Ref, Finding]:
        """Before anything is created: the owner must still be there, and the names must be free or ours.

        Server-side apply with force would take over a stranger's object of the same name without a word.
        """
        namespace = service.namespace
        owner, *found = await _all(
            [
                self.client.get(MLSERVICE, namespace, service.name),
                *(self.client.get(CHILDREN[child["kind"]], namespace, child["metadata"]["name"]) for child in missing),
            ]
        )
        if (
            owner is None
            or owner["metadata"]["uid"] != service.metadata["uid"]
            or "deletionTimestamp" in owner["metadata"]
        ):
            raise OwnerGone
        return {ref(obj): conflict(obj) for obj in found if obj and not is_ours(obj, service)}

    async def _write(self, child: Object) -> dict[Ref, Finding]:
        where = ref(child)
        try:
            live = await self.client.apply(CHILDREN[where.kind], child)
        except ApiError as error:
            if not error.is_refusal:
                raise
            return {where: refusal(child, error)}
        if not contains(live, child):
            # The server rewrote something of ours. Written again it would be the same: remember, and leave it.
            self._settled[live["metadata"]["uid"]] = (_hash(child), _fingerprint(live))
        self.cluster.children[where.kind].put(live)
        logger.info("Applied %s in %s", where, child["metadata"]["namespace"])
        return {}

    async def _delete(self, obj: Object) -> None:
        await self.client.delete(CHILDREN[obj["kind"]], obj)
        logger.info("Deleted %s in %s", ref(obj), obj["metadata"]["namespace"])

    async def _scale(self, world: World, name: str, count: int) -> None:
        await self.client.scale(DEPLOYMENT, world.service.namespace, name, count)
        logger.info("Scaled Deployment %s in %s to %d", name, world.service.namespace, count)


def _apart(children: list[Object], kind: str) -> tuple[list[Object], list[Object]]:
    return [c for c in children if c["kind"] == kind], [c for c in children if c["kind"] != kind]


async def _all(calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Await all of them, also when one fails, and only then raise: no write is left running unseen."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)


def is_ours(obj: Object, service: MLService) -> bool:
    """Whether this service controls it, or it is an orphan of a former service of this name."""
    controller = next((o for o in obj["metadata"].get("ownerReferences", []) if o.get("controller")), None)
    if controller:
        return bool(controller["uid"] == service.metadata["uid"])
    labels = obj["metadata"].get("labels", {})
    return bool(labels.get(LABEL_MANAGED_BY) == MANAGER and labels.get(LABEL_NAME) == service.name)


def refusal(child: Object, error: ApiError) -> Finding:
    """The API server's words about a child that it does not take."""
    return Finding(Reason.REFUSED, f"The API server refuses {ref(child)}: {named(error.message, child)}")


def conflict(obj: Object) -> Finding:
    """Why a name cannot be used, and what to do."""
    where, namespace = ref(obj), obj["metadata"]["namespace"]
    if "deletionTimestamp" in obj["metadata"]:
        return Finding(
            Reason.NAME_CONFLICT, f"{where} of a former owner is still being deleted; this takes its place after"
        )
    return Finding(
        Reason.NAME_CONFLICT,
        f"{where} exists in namespace {namespace} and is not this service's: delete it "
        f"(kubectl -n {namespace} delete {where.kind.lower()} {where.name}), or give the MLService another name",
    )


def _hash(child: Object) -> str:
    return str(child["metadata"]["annotations"][ANNOTATION_APPLIED])


def _fingerprint(live: Object) -> str:
    metadata = live["metadata"]
    return json.dumps([metadata.get("labels"), metadata.get("annotations"), live.get("spec")], sort_keys=True)
