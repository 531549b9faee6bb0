"""Strategic merge patch of a pod template, as the API server does it.

The merge keys are those that Kubernetes declares in its OpenAPI (`x-kubernetes-patch-merge-key`, PodTemplateSpec and
what it contains; tests/api/test_merge.py compares them); a list without a merge key is replaced whole, which is what
happens to `args`.
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from typing import Any

from mlservice.api.reasons import Reason
from mlservice.plan.world import Invalid

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "evictionResponders": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
"""Field that holds a list of objects -> key its elements merge by."""

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
UNSUPPORTED = ("$setElementOrder/", "$deleteFromPrimitiveList/")
"""Directives that only programs write, when they compute a patch from two objects."""


def strategic_merge(base: dict[str, Any], patch: dict[str, Any], place: str = "predictor.template") -> dict[str, Any]:
    """Return `base` with `patch` merged in; neither is changed.

    A null deletes the field, `$patch: replace` replaces a map or list, `$patch: delete` deletes a map or an element,
    `$retainKeys` names the only keys that stay. `place` names the patch in messages. Raises Invalid with PatchInvalid.
    """
    _check_directives(patch, place)
    if DIRECTIVE in patch:
        return {} if patch[DIRECTIVE] == "delete" else _plain(patch, place)
    merged = {k: v for k, v in base.items() if RETAIN not in patch or k in patch[RETAIN]}
    for key, value in patch.items():
        where, old = f"{place}.{key}", merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(old, dict):
            merged[key] = strategic_merge(old, value, where)
        elif isinstance(value, list) and isinstance(old, list) and old and key in MERGE_KEYS:
            merged[key] = _merged_list(old, value, MERGE_KEYS[key], where)
        elif key != RETAIN:
            merged |= _plain({key: value}, place)
    return merged


def _merged_list(base: list[Any], patch: list[Any], by: str, place: str) -> list[Any]:
    """Merge element by element, in the patch's order; of several elements with one key the first is meant."""
    _check_elements(base, by, f"the runtime's value of {place}")
    _check_elements(patch, by, place)
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        base, patch = list(_plain(patch, place)), []
    deleted = [item[by] for item in patch if item.get(DIRECTIVE) == "delete"]
    merged = [item for item in base if item[by] not in deleted]
    order = [item[by] for item in merged]
    changes = [item for item in patch if DIRECTIVE not in item]
    for change in changes:
        found = next((i for i, item in enumerate(merged) if item[by] == change[by]), None)
        where = f"{place}[{change[by]}]"
        if found is None:
            merged.append(_plain(change, where))
        else:
            merged[found] = strategic_merge(merged[found], change, where)
    named = [item[by] for item in changes]
    changed = sorted((item for item in merged if item[by] in named), key=lambda item: named.index(item[by]))
    untouched = sorted((item for item in merged if item[by] not in named), key=lambda item: order.index(item[by]))
    return _interleaved(untouched, changed, order, by)


def _interleaved(untouched: list[Any], changed: list[Any], order: list[Any], by: str) -> list[Any]:
    """Put untouched elements before the first changed one that followed them in the old order.

    The API server's own rule (mergeSortedSlice in apimachinery's strategicpatch), so that what a patch adds stands
    first, and a merged pod is the same whoever merges it.
    """
    merged: list[Any] = []
    left, right = list(untouched), list(changed)
    while left and right:
        a, b = left[0][by], right[0][by]
        before = b in order and order.index(a) < order.index(b)
        merged.append((left if before else right).pop(0))
    return merged + left + right


def _plain(value: Any, place: str) -> Any:
    """What a patch adds where there was nothing: without its directives and nulls."""
    match value:
        case dict():
            _check_directives(value, place)
            return {
                k: _plain(v, f"{place}.{k}")
                for k, v in value.items()
                if v is not None and k not in (DIRECTIVE, RETAIN) and not _is_deletion(v)
            }
        case list():
            return [
                _plain(item, f"{place}[{i}]")
                for i, item in enumerate(value)
                if not (isinstance(item, dict) and DIRECTIVE in item)
            ]
        case _:
            return value


def _is_deletion(value: Any) -> bool:
    return isinstance(value, dict) and value.get(DIRECTIVE) == "delete"


def _check_directives(patch: dict[str, Any], place: str) -> None:
    directive, retained = patch.get(DIRECTIVE, "replace"), patch.get(RETAIN)
    if directive not in ("replace", "delete"):
        raise _invalid(f"{place}.{DIRECTIVE} is {directive!r}: it can be replace or delete")
    if RETAIN in patch and not isinstance(retained, list):
        raise _invalid(f"{place}.{RETAIN} is {retained!r}: it must be a list of field names")
    for key, value in patch.items():
        if key.startswith(UNSUPPORTED):
            raise _invalid(f"{place} has the directive {key}, which is not supported: leave it out")
        if retained is not None and value is not None and key not in (DIRECTIVE, RETAIN, *retained):
            raise _invalid(f"{place}.{RETAIN} lacks {key}, which is set beside it: add it to the list")


def _check_elements(items: list[Any], by: str, place: str) -> None:
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            raise _invalid(f"{place}[{i}] is {item!r}: an object with a field {by} is expected")
        if by not in item and item.get(DIRECTIVE) != "replace":
            raise _invalid(f"{place}[{i}] has no {by}: elements of this list are merged by it")


def _invalid(message: str) -> Invalid:
    return Invalid(Reason.PATCH_INVALID, message)
