"""Strategic merge patch of a pod template, as the API server does it.

The merge keys are those that Kubernetes declares in its OpenAPI (`x-kubernetes-patch-merge-key`, PodTemplateSpec and
what it contains); a list without a merge key is replaced whole, which is what happens to `args`.
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from typing import Any, TypeGuard

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
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
"""Field that holds a list of objects -> key its elements merge by."""

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"


def strategic_merge(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` merged in; neither is changed.

    A null deletes the field, `$patch: replace` replaces a map or list, `$patch: delete` deletes a map or an element,
    `$retainKeys` names the only keys that stay.
    """
    if patch.get(DIRECTIVE) == "replace":
        return {k: v for k, v in patch.items() if k != DIRECTIVE}
    if patch.get(DIRECTIVE) == "delete":
        return {}
    retained = patch.get(RETAIN)
    merged = {k: v for k, v in base.items() if retained is None or k in retained}
    for key, value in patch.items():
        if key in (DIRECTIVE, RETAIN):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            old = merged.get(key)
            merged[key] = strategic_merge(old if isinstance(old, dict) else {}, value)
        elif key in MERGE_KEYS and _has_keys(value, MERGE_KEYS[key]):
            old = merged.get(key)
            merged[key] = _merge_list(old if _has_keys(old, MERGE_KEYS[key]) else [], value, MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _has_keys(value: Any, by: str) -> TypeGuard[list[Any]]:
    """Whether it is a list that can be merged: below a field that the CRD does not know, anything may stand."""
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get(by), str | int | None) for item in value
    )


def _merge_list(base: list[Any], patch: list[Any], by: str) -> list[Any]:
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if DIRECTIVE not in item]
    old = {item.get(by): item for item in base}
    named = {item.get(by) for item in patch}
    untouched = [item for item in base if item.get(by) not in named]
    changed = [strategic_merge(old.get(item.get(by), {}), item) for item in patch if item.get(DIRECTIVE) != "delete"]
    return _interleave(untouched, changed, [item.get(by) for item in base], by)


def _interleave(untouched: list[Any], changed: list[Any], order: list[Any], by: str) -> list[Any]:
    """Put untouched elements before the first changed one that followed them in the old order.

    The API server's own rule (mergeSortedSlice in apimachinery's strategicpatch), so that what a patch adds stands
    first, and a merged pod is the same whoever merges it.
    """
    merged: list[Any] = []
    left, right = list(untouched), list(changed)
    while left and right:
        a, b = left[0].get(by), right[0].get(by)
        before = b in order and order.index(a) < order.index(b)
        merged.append((left if before else right).pop(0))
    return merged + left + right
