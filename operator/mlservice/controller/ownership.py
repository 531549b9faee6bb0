"""Before anything is written: the service must be as it was planned for, and its children's names not a stranger's.

Server-side apply with force would take over a stranger's object of the same name without a word. And what was read may
be old, after a restart or where a watch is late: on old news pods would be stopped that serve.
"""

from dataclasses import dataclass, field

from mlservice.api.meta import LABEL_MANAGED_BY, LABEL_NAME, MANAGER, Object
from mlservice.api.mlservice import MLService
from mlservice.api.reasons import Reason
from mlservice.cluster.client import ApiError, Client, all_of
from mlservice.cluster.resources import CHILDREN, MLSERVICE, RUNTIME, Resource
from mlservice.cluster.store import version_of
from mlservice.plan import Finding, Ref, World
from mlservice.plan.refusal import refusal
from mlservice.plan.world import ref


class OwnerGone(Exception):
    """The service of this uid was deleted while we did not look: nothing may be made for it."""

    def __init__(self, uid: str) -> None:
        super().__init__("the service is gone")
        self.uid = uid


class OwnerChanged(Exception):
    """The service is not what was planned for: it was changed while we did not look. `live` is how it is now."""

    def __init__(self, live: Object) -> None:
        super().__init__("the service has changed")
        self.live = live


@dataclass
class Names:
    """What stands at the names of children that are to be made."""

    taken: dict[Ref, Finding] = field(default_factory=dict)
    orphans: list[Object] = field(default_factory=list)
    """Left by a deletion with --cascade=orphan of a service of this name: they are taken over as they are."""
    own: list[Object] = field(default_factory=list)
    """The service's own already: the stores have not heard of them yet, or they have lost our label."""


async def names_of(client: Client, service: MLService, missing: list[Object]) -> Names:
    """Look at the service, and at the names of children that are to be made. Raises OwnerGone, OwnerChanged."""
    owner, *found = await all_of(
        [
            client.get(MLSERVICE, service.namespace, service.name),
            *(_find(client, CHILDREN[child["kind"]], child) for child in missing),
        ]
    )
    if owner is None or owner["metadata"]["uid"] != service.metadata["uid"] or "deletionTimestamp" in owner["metadata"]:
        raise OwnerGone(service.metadata["uid"])
    if owner["metadata"]["resourceVersion"] != service.metadata["resourceVersion"]:
        raise OwnerChanged(owner)
    names = Names()
    for child, there in zip(missing, found, strict=True):
        if isinstance(there, Finding):
            names.taken[ref(child)] = there
        elif there and _is_orphan_of(there, service):
            names.orphans.append(there)
        elif there and (conflict := conflict_with(there, service)):
            names.taken[ref(child)] = conflict
        elif there:
            names.own.append(there)
    return names


async def edited_runtimes(client: Client, world: World) -> list[Object] | Finding:
    """Runtimes that are not as they were planned with, as they are now; one that is gone is noticed by its list.

    Each kind has a watch of its own: when somebody edits a runtime and then asks for the update, the asking may be
    heard of first. The finding says why the operator may not look.
    """
    edited: list[Object] = []
    known = list(world.runtimes.values())
    found = await all_of([_find(client, RUNTIME, runtime) for runtime in known])
    for before, now in zip(known, found, strict=True):
        if isinstance(now, Finding):
            return now
        if now and version_of(now) > version_of(before):
            edited.append(now)
    return edited


async def adopt(client: Client, service: MLService, orphan: Object) -> Object:
    """Make the service the orphan's controller, and change nothing else; returns the live object.

    Raises ApiError 409 when it is not as it was read.
    """
    metadata = orphan["metadata"]
    owner = {
        "apiVersion": MLSERVICE.api_version,
        "kind": MLSERVICE.kind,
        "name": service.name,
        "uid": service.metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    owners = [*metadata.get("ownerReferences", []), owner]
    patch = {"metadata": {"ownerReferences": owners, "resourceVersion": metadata["resourceVersion"]}}
    return await client.merge(CHILDREN[orphan["kind"]], metadata["namespace"], metadata["name"], patch)


async def _find(client: Client, resource: Resource, obj: Object) -> Object | Finding | None:
    """What has the object's name now; the finding says why the operator may not look."""
    metadata = obj["metadata"]
    try:
        return await client.get(resource, metadata["namespace"], metadata["name"])
    except ApiError as error:
        if not error.is_refusal:
            raise
        return refusal(f"{resource.kind} {metadata['name']}", error.message)


def _controller(obj: Object) -> Object:
    return next((o for o in obj["metadata"].get("ownerReferences", []) if o.get("controller")), {})


def _is_orphan_of(obj: Object, service: MLService) -> bool:
    labels = obj["metadata"].get("labels", {})
    return bool(
        not _controller(obj)
        and "deletionTimestamp" not in obj["metadata"]
        and labels.get(LABEL_MANAGED_BY) == MANAGER
        and labels.get(LABEL_NAME) == service.name
    )


def conflict_with(obj: Object, service: MLService) -> Finding | None:
    """Why the service cannot have this object's name; None where the object is its own, or an orphan to take over."""
    if _is_orphan_of(obj, service) or _controller(obj).get("uid") == service.metadata["uid"]:
        return None
    where, namespace, owner = ref(obj), obj["metadata"]["namespace"], _controller(obj)
    former = owner.get("kind") == MLSERVICE.kind and owner["name"] == service.name
    if former or "deletionTimestamp" in obj["metadata"]:
        return Finding(
            Reason.NAME_CONFLICT,
            f"{where} of the former MLService {service.name} is being deleted: a new one takes its place by itself",
        )
    whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "is not this service's"
    return Finding(
        Reason.NAME_CONFLICT,
        f"{where} exists in namespace {namespace} and {whose}: delete it (kubectl -n {namespace} delete "
        f"{where.kind.lower()} {where.name}), or give the MLService another name. It is tried again about every minute",
    )
