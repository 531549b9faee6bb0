"""A rehearsal in words: objects, pods, traffic, URL and status of one service, for a person at a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlservice.api.meta import (
    ANNOTATION_APPLIED,
    ANNOTATION_IN_PLACE,
    ANNOTATION_INPUTS,
    LABEL_RELEASE,
    LABEL_REVISION,
    Object,
    without_nulls,
)
from mlservice.api.mlservice import MLService
from mlservice.cli.rehearsal import Rehearsal
from mlservice.plan import Ref
from mlservice.plan.deployment import SURGE, strategy_of
from mlservice.plan.difference import differences
from mlservice.plan.world import ref

SHOWN = 8
"""Fields of one object that are shown."""

NAMED = 3
"""Fields that are named as the cause of a restart."""

BOOKKEEPING = {
    ANNOTATION_APPLIED,
    ANNOTATION_IN_PLACE,
    ANNOTATION_INPUTS,
    LABEL_REVISION,
    "deployment.kubernetes.io/revision",
}
"""Labels and annotations that change only because something else does."""

NORMAL = {"Paused": "False", "UpdateAvailable": "False"}
"""Status of a condition that is not worth a line; of the others it is True."""

DERIVED = {"Reconciling", "Stalled"}
"""Conditions that repeat another one for kstatus."""


def report(rehearsal: Rehearsal) -> str:
    """Several lines, without a line break at the end."""
    lines = list(_service(rehearsal))
    for title, section in (
        ("Objects", list(_objects(rehearsal))),
        ("Pods", _pods(rehearsal)),
        ("Traffic", _traffic(rehearsal)),
        ("URL", list(_urls(rehearsal))),
        ("Status", list(_status(rehearsal))),
    ):
        lines += ["", title, *(f"  {line}" for line in section or ["none"])]
    return "\n".join(lines)


def _service(rehearsal: Rehearsal) -> Iterator[str]:
    service, live = rehearsal.before.service, rehearsal.live
    name = f"MLService {service.namespace}/{service.name}"
    if live is None:
        yield f"{name}: new"
        return
    fields = list(differences(_said(live), _said(service)))
    yield f"{name}: {'changed' if fields else 'unchanged'}"
    yield from (f"  {line}" for line in _cut(fields, SHOWN))


def _said(service: MLService | Object) -> Object:
    """The spec as it is understood; whole as it stands when it cannot be."""
    try:
        understood = service if isinstance(service, MLService) else MLService.model_validate(without_nulls(service))
    except ValueError:
        return {"spec": without_nulls(service)["spec"]}
    return {"spec": understood.spec.model_dump(by_alias=True, exclude_none=True)}


def _objects(rehearsal: Rehearsal) -> Iterator[str]:
    before, after = rehearsal.before.children, rehearsal.after
    for where in dict.fromkeys([*(ref(child) for child in rehearsal.final.children), *sorted({*before, *after})]):
        old, new = before.get(where), after.get(where)
        fields = list(differences(_meaning(old), _meaning(new))) if old and new else []
        if where in rehearsal.refusals and old == new:
            action = "refused"
        elif old is None or new is None:
            action = "delete" if old else "create"
        else:
            action = "change" if fields else "unchanged"
        if (action, where.kind) != ("unchanged", "ControllerRevision"):
            yield f"{action:<9}  {where.kind:<18}  {where.name}"
            yield from (f"  {line}" for line in _cut(fields, SHOWN))


def _pods(rehearsal: Rehearsal) -> list[str]:
    before, after = _deployments(rehearsal.before.children), _deployments(rehearsal.after)
    lines = []
    for release in dict.fromkeys([*after, *before]):
        if line := _fate(before.get(release), after.get(release)):
            refused = release in after and ref(after[release]) in rehearsal.refusals
            lines.append(f"Release {release}: {line}{': refused, see Status' if refused else ''}")
    return lines or ["No pod starts, stops or restarts"]


def _fate(old: Object | None, new: Object | None) -> str:
    was, will = _replicas(old), _replicas(new)
    if not was or not will:
        return _do(will, "start") if will else _do(was, "stop") * bool(was)
    scaled = f"{_do(was, 'become')} {will}" if was != will else ""
    if not old or not new or old["spec"]["template"] == new["spec"]["template"]:
        return scaled
    fields = differences(_meaning(old["spec"]["template"]), _meaning(new["spec"]["template"]))
    causes = ", ".join(_cut([field.split(": ")[0] for field in fields], NAMED)) or "its revision"
    how = (
        "Each old pod stops before its successor starts: requests fail until one is ready"
        if strategy_of(new) != SURGE
        else "An old pod serves until its successor is ready; where no node has room for both, it stops first"
    )
    return f"{_do(was, 'restart')}, because of {causes}. {how}{f'. Then {scaled}' if scaled else ''}"


def _traffic(rehearsal: Rehearsal) -> list[str]:
    final, old = rehearsal.final.status, _shares((rehearsal.live or {}).get("status", {}))
    now = _shares(final)
    text = now if old in ("", now) else f"{old} -> {now}"
    wanted = rehearsal.before.service.spec.default
    if final["defaultRelease"] != wanted:
        gone = final["defaultRelease"] not in {release.name for release in rehearsal.before.service.spec.releases}
        then = f", and {final['defaultRelease']} is removed then" if gone else ""
        return [f"{text}; {wanted} takes over once it has a ready pod{then}"]
    return [text if _condition(final, "Ready")["status"] == "True" else f"{text}, once a pod is ready"]


def _urls(rehearsal: Rehearsal) -> Iterator[str]:
    status = rehearsal.final.status
    yield status["address"]["url"]
    if len(status["releases"]) > 1:
        yield from (f"{release['name']}: {release['url']}" for release in status["releases"])


def _status(rehearsal: Rehearsal) -> Iterator[str]:
    ready = _condition(rehearsal.final.status, "Ready")
    for condition in rehearsal.final.status["conditions"]:
        type_, message = condition["type"], condition["message"]
        silent = condition["status"] == NORMAL.get(type_, "True") and not message
        repeats = type_ in DERIVED or (type_ == "ReleasesReady" and message.partition(": ")[2] in ready["message"])
        if condition is ready or not (silent or repeats):
            yield f"{type_}={condition['status']}  {condition['reason']}{f': {message}' if message else ''}"


def _deployments(children: Mapping[Ref, Object]) -> dict[str, Object]:
    return {
        obj["metadata"]["labels"][LABEL_RELEASE]: obj for where, obj in children.items() if where.kind == "Deployment"
    }


def _replicas(deployment: Object | None) -> int:
    return int(deployment["spec"].get("replicas", 1)) if deployment else 0


def _do(pods: int, verb: str) -> str:
    return f"1 pod {verb}s" if pods == 1 else f"{pods} pods {verb}"


def _shares(status: Object) -> str:
    return ", ".join(f"{r['name']} {r['trafficPercent']} %" for r in status.get("releases", []) if r["trafficPercent"])


def _condition(status: Object, type_: str) -> Object:
    return next(c for c in status["conditions"] if c["type"] == type_)


def _meaning(value: Any) -> Any:
    """An object without what the API server and the operator keep for themselves."""
    if isinstance(value, list):
        return [_meaning(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {k: _meaning(v) for k, v in value.items() if k not in BOOKKEEPING and k != "status"}
    if isinstance(kept.get("metadata"), dict):
        said = {k: v for k, v in kept["metadata"].items() if k in ("labels", "annotations", "ownerReferences")}
        kept["metadata"] = {k: v for k, v in said.items() if v}
    return kept


def _cut(items: list[str], most: int) -> list[str]:
    return items if len(items) <= most + 1 else [*items[:most], f"{len(items) - most} more fields"]
