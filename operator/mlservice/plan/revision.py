"""Pinned revisions: which pod template a release runs, so that nobody's pods restart because somebody edited a runtime.

A release's rendered pod template is kept in a ControllerRevision. The newest one is in force. A new one is made only

* when what the MLService says about the pods changes, or a person asks (by another value of the annotation
  `mlservice.tensorstack.dev/update`),
* when no pod of the one in force has ever been ready, or
* when the release has no pods: pods must be made anew anyway, which is T9k's rule for a changed runtime.

`releases[].revision` holds a release at an older one.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlservice.api.meta import (
    ANNOTATION_INPUTS,
    ANNOTATION_UPDATE,
    LABEL_RELEASE,
    LABEL_REVISION,
    Model,
    Object,
)
from mlservice.api.mlservice import DEFAULT_MOUNT_PATH, MLService, Release, Storage
from mlservice.api.reasons import Reason
from mlservice.plan.deployment import has_been_complete
from mlservice.plan.drift import contains
from mlservice.plan.labels import metadata, predictor_labels, release_name
from mlservice.plan.pod import is_whole
from mlservice.plan.pods import is_ready, pods_of
from mlservice.plan.world import Invalid, World, ref

HISTORY = 10
"""Revisions of a release that are kept beside the one in force, as Kubernetes keeps of a StatefulSet."""


WRITTEN_OUT = (("readOnly", False), ("mountPath", DEFAULT_MOUNT_PATH))
"""Defaults of storage that mean the same when they stand in the manifest."""


@dataclass(frozen=True)
class Revision:
    """One pod template of a release."""

    name: str
    number: int
    """Counts up within the release; the highest is in force."""
    inputs: str
    """Hash of what the MLService said when it was rendered; see `inputs_of`."""
    template: Object


def inputs_of(service: MLService, release: Release) -> str:
    """Hash of all that the MLService says about the release's pod template, and of the request to update.

    Replica bounds, labels and sibling releases are not part of it, nor are defaults that are written out. What is unset
    leaves no trace, so that a field which a later version adds changes no hash.
    """
    predictor, scheduler = release.predictor, service.spec.scheduler
    said = {
        "runtime": predictor.model.runtime,
        "parameters": predictor.model.parameters,
        "storage": _storage(predictor.storage),
        "template": predictor.template,
        "resources": [_said(r) for r in predictor.containers_resources or []],
        "scheduler": _said(scheduler) if scheduler else None,
        "update": service.metadata.get("annotations", {}).get(ANNOTATION_UPDATE),
    }
    return _hash({key: value for key, value in said.items() if value})


def history(world: World, release: str) -> list[Revision]:
    """The release's revisions that can be run, oldest first."""
    found = (
        Revision(
            obj["metadata"]["name"],
            int(obj["revision"]),
            obj["metadata"].get("annotations", {}).get(ANNOTATION_INPUTS, ""),
            obj["data"]["template"],
        )
        for obj in _objects(world)
        if obj["metadata"]["labels"].get(LABEL_RELEASE) == release and is_whole(obj["data"]["template"])
    )
    return sorted(found, key=lambda revision: (revision.number, revision.name))


def revision_in_force(release: Release, world: World, rendered: Object | None) -> Revision | None:
    """Return the revision that the release's pods must be of; None while there is nothing to run.

    `rendered` is the template as runtime and MLService have it now; None where they have a mistake: what runs stays.
    Raises Invalid when `releases[].revision` names one that does not exist.
    """
    known = history(world, release.name)
    if release.revision is not None:
        return _held(release, known)
    if adopted := _adopted(release, world, known, rendered):
        known = [*known, adopted]
    current = _with_inputs(known[-1], release, world) if known else None
    if rendered is None:
        return current
    inputs = inputs_of(world.service, release)
    if current is None:
        return _next(release, world, known, inputs, rendered)
    may_change = has_been_ready(current, release.name, world) is False or _is_without_pods(release, world)
    if current.inputs == inputs and not may_change:
        return current
    if is_same(current.template, rendered):
        return replace(current, inputs=inputs)
    return _next(release, world, known, inputs, rendered)


def controller_revision(service: MLService, release: str, revision: Revision) -> Object:
    """The object that keeps a revision; its name is made of its content, which never changes."""
    meta = metadata(service, revision.name, predictor_labels(service, release))
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {**meta, "annotations": {ANNOTATION_INPUTS: revision.inputs}},
        "revision": revision.number,
        "data": {"template": revision.template},
    }


def superfluous_revisions(world: World, in_force: dict[str, Revision | None]) -> Iterator[Object]:
    """Revisions of releases that are gone, and the oldest ones of those that stay; `in_force` is by release."""
    kept: set[str] = set()
    for release, revision in in_force.items():
        known = history(world, release)
        held = {revision.name} if revision else set()
        held |= {r.name for r in known if r.number == last_ready_number(world, release)}
        kept |= held | {r.name for r in [r for r in known if r.name not in held][-HISTORY:]}
    return (obj for obj in _objects(world) if obj["metadata"]["name"] not in kept)


def has_been_ready(revision: Revision, release: str, world: World) -> bool | None:
    """Whether a pod of this revision is ready, or was; None while nobody can tell."""
    if revision.number == last_ready_number(world, release):
        return True
    live = world.child("Deployment", release_name(world.service, release))
    if live is None:
        return False
    label, running = _label(revision.template), live["spec"]["template"]
    if _label(running) != label or not (label or contains(running, revision.template)):
        return False
    if any(label in (None, _label(pod)) for pod in pods_of(world, release) if is_ready(pod)):
        return True
    return has_been_complete(live)


def last_ready_number(world: World, release: str) -> int | None:
    """Number of the newest revision that had a ready pod, as the status remembers it."""
    return ready_revisions(world.service.status).get(release)


def ready_revisions(status: Object) -> dict[str, int]:
    """By release, what the status remembers for the next plan: where it is as before, that plan is this one again."""
    return {r.get("name", ""): r["readyRevision"] for r in status.get("releases") or [] if r.get("readyRevision")}


def must_be_newest(world: World, deployment: Object) -> bool:
    """Whether a revision of an old runtime would stay in this Deployment, which is to be written: once a pod of it is
    ready it counts as the update. Without one, and not asked for, it is corrected as soon as the runtime is heard of.
    """
    if ref(deployment) in world.children or ANNOTATION_UPDATE in world.service.metadata.get("annotations", {}):
        return True
    return last_ready_number(world, deployment["metadata"]["labels"][LABEL_RELEASE]) is not None


def unpinned(world: World) -> Iterator[str]:
    """Names of Deployments whose revision is not there: an older operator made them, or somebody deleted it."""
    for release in world.service.spec.releases:
        if _is_lost(release, world, history(world, release.name)):
            yield release_name(world.service, release.name)


def is_same(a: Object, b: Object) -> bool:
    """Whether two templates are of one content, also where one of them was read back from a Deployment.

    Then it is written in the server's way (`cpu: "4"` for 4), and only its label tells what it was rendered as.
    """
    return _digest(a) == _digest(b) or without_label(a) == without_label(b)


def _held(release: Release, known: list[Revision]) -> Revision:
    for revision in known:
        if revision.number == release.revision:
            return revision
    numbers = ", ".join(str(r.number) for r in known) or "none"
    raise Invalid(
        Reason.REVISION_NOT_FOUND,
        f"Release {release.name} asks for revision {release.revision}, it has: {numbers}. Correct "
        "releases[].revision, or remove it to run what the rest of the spec says",
    )


def _with_inputs(revision: Revision, release: Release, world: World) -> Revision:
    """The revision with the inputs that its Deployment keeps too, where somebody took them from the revision."""
    live = world.child("Deployment", release_name(world.service, release.name))
    if revision.inputs or live is None or _label(live["spec"]["template"]) != _label(revision.template):
        return revision
    return replace(revision, inputs=live["metadata"].get("annotations", {}).get(ANNOTATION_INPUTS, ""))


def _is_lost(release: Release, world: World, known: list[Revision]) -> bool:
    """Whether what the Deployment runs was in force, by the status, and is in no revision any more."""
    live = world.child("Deployment", release_name(world.service, release.name))
    if live is None or not known:
        return live is not None
    told = {r.get("name"): r.get("revision") for r in world.service.status.get("releases") or []}
    label = _label(live["spec"]["template"])
    is_known = label in (None, *(_label(revision.template) for revision in known))
    return not is_known and (told.get(release.name) or 0) > known[-1].number


def _adopted(release: Release, world: World, known: list[Revision], rendered: Object | None) -> Revision | None:
    """A revision made of what runs: the pods must not restart because their revision is missing. Its number is that of
    the last one that had a ready pod, or follows those that are left.

    None when nothing is missing, or what we applied is not known any more, because others have written over it.
    """
    name = release_name(world.service, release.name)
    template, live = world.adopted.get(name), world.child("Deployment", name)
    if template is None or live is None or not _is_lost(release, world, known):
        return None
    if rendered is not None and _label(live["spec"]["template"]) == _digest(rendered):
        template = _labelled(rendered)
    if not is_whole(template) or (known and _label(template) is None):
        return None
    inputs = live["metadata"].get("annotations", {}).get(ANNOTATION_INPUTS) or inputs_of(world.service, release)
    number = max(last_ready_number(world, release.name) or 1, known[-1].number + 1 if known else 1)
    return Revision(f"{name}-{_digest(template)}", number, inputs, template)


def _next(release: Release, world: World, known: list[Revision], inputs: str, rendered: Object) -> Revision:
    """The revision of this content with the next number; content that was there before gets a new number only."""
    number = known[-1].number + 1 if known else 1
    name = f"{release_name(world.service, release.name)}-{_digest(rendered)}"
    if kept := next((revision for revision in known if revision.name == name), None):
        return replace(kept, number=number, inputs=inputs)
    return Revision(name, number, inputs, _labelled(rendered))


def _labelled(rendered: Object) -> Object:
    labels = {**rendered["metadata"]["labels"], LABEL_REVISION: _digest(rendered)}
    return {**rendered, "metadata": {**rendered["metadata"], "labels": labels}}


def _is_without_pods(release: Release, world: World) -> bool:
    live = world.child("Deployment", release_name(world.service, release.name))
    stopped = live is None or (live["spec"].get("replicas", 1) == 0 and not live.get("status", {}).get("replicas"))
    return stopped and not pods_of(world, release.name)


def _objects(world: World) -> Iterator[Object]:
    return (obj for where, obj in world.children.items() if where.kind == "ControllerRevision")


def _label(template: Object) -> str | None:
    labels = template.get("metadata", {}).get("labels") or {}
    return labels.get(LABEL_REVISION)


def _digest(template: Object) -> str:
    return _label(template) or _hash(template)


def without_label(template: Object) -> Object:
    """A revision's template as it was rendered."""
    meta = template.get("metadata", {})
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != LABEL_REVISION}
    return {**template, "metadata": {**meta, "labels": labels}}


def _storage(storage: Storage | None) -> Object:
    said = _said(storage) if storage else {}
    return {kind: {k: v for k, v in source.items() if (k, v) not in WRITTEN_OUT} for kind, source in said.items()}


def _said(model: Model) -> Object:
    return model.model_dump(by_alias=True, exclude_none=True)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]
