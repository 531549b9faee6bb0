"""Fields that are accepted, so that T9k manifests apply unchanged, and have no effect: never ignored in silence."""

import re
from collections.abc import Iterator

from mlservice.api.fields import LeftOver, Mark, NotServed
from mlservice.api.meta import Model, Object, without_nulls
from mlservice.api.mlservice import Predictor
from mlservice.api.reasons import Reason
from mlservice.api.runtime import RuntimeSpec
from mlservice.plan.conditions import Condition
from mlservice.plan.world import World

NOTHING_SCALES = "nothing scales a release yet: minReplicas pods run, unless somebody else scales its Deployment"
NOTHING_WAKES = "nothing scales to zero and back yet: no pod runs until somebody scales the Deployment up"
AUTOSCALING = "autoscaling.knative.dev/"
KEY = re.compile(r"\.([^\W\d]\w*)")

Found = tuple[str, Mark]
"""Path of a field, and why it has no effect."""


def fields_supported(world: World) -> Condition | None:
    """Return the warning condition, or None when every field that is set has its effect."""
    found = list(without_effect(world))
    if not found:
        return None
    old = [f"{path} (deprecated: {mark.advice})" for path, mark in found if isinstance(mark, LeftOver)]
    new = [f"{path} ({mark.advice})" for path, mark in found if not isinstance(mark, LeftOver)]
    return Condition(
        "FieldsSupported",
        status=False,
        reason=Reason.FIELDS_DEPRECATED if old else Reason.FIELDS_IGNORED,
        message=f"Accepted but without effect: {'; '.join(old + new)}",
    )


def without_effect(world: World) -> Iterator[Found]:
    """Yield every field of the service, and of the runtimes that it names, that is set and has no effect."""
    spec = world.service.spec
    yield from _marked(spec, "spec")
    if spec.canary is None and spec.canary_traffic_percent:
        yield "spec.canaryTrafficPercent", NotServed("spec.canary is not set")
    names = sorted({release.predictor.model.runtime for release in spec.releases})
    runtimes = {name: runtime for name in names if (runtime := _runtime(name, world))}
    for release in spec.releases:
        where = f"spec.releases[{release.name}].predictor"
        yield from _scaling(release.predictor, where)
        if runtime := runtimes.get(release.predictor.model.runtime):
            yield from _unused(release.predictor, runtime, f"{where}.model")
    for name, runtime in runtimes.items():
        yield from _marked(runtime, f"MLServiceRuntime {name}: spec")
        yield from _annotations(runtime.template, f"MLServiceRuntime {name}: spec.template")


def _marked(value: Model, path: str) -> Iterator[Found]:
    for name, field in type(value).model_fields.items():
        child, where = getattr(value, name), f"{path}.{field.alias}"
        marks = [mark for mark in field.metadata if isinstance(mark, Mark)] if child is not None else []
        if marks:
            yield where, marks[0]
        elif isinstance(child, Model):
            yield from _marked(child, where)
        elif isinstance(child, list):
            for item in child:
                if isinstance(item, Model):
                    yield from _marked(item, f"{where}[{getattr(item, 'name', '')}]")


def _scaling(predictor: Predictor, path: str) -> Iterator[Found]:
    low = 1 if predictor.min_replicas is None else predictor.min_replicas
    if low == 0:
        yield f"{path}.minReplicas", NotServed(NOTHING_WAKES)
    if predictor.max_replicas and predictor.max_replicas > low:
        yield f"{path}.maxReplicas", NotServed(NOTHING_SCALES)
    yield from _annotations(predictor.template or {}, f"{path}.template")


def _annotations(template: Object, path: str) -> Iterator[Found]:
    for key in (template.get("metadata") or {}).get("annotations") or {}:
        if key.startswith(AUTOSCALING):
            yield f"{path}.metadata.annotations[{key}]", NotServed(NOTHING_SCALES)


def _unused(predictor: Predictor, runtime: RuntimeSpec, path: str) -> Iterator[Found]:
    """Parameters that the runtime never asks for: a mistyped name of one with a default would go unseen."""
    known = {key for text in _strings(runtime.template) if "{{" in text for key in KEY.findall(text)}
    for key in predictor.model.parameters or {}:
        if key not in known:
            yield (
                f"{path}.parameters.{key}",
                NotServed(f"MLServiceRuntime {predictor.model.runtime} has no {{{{.{key}}}}}"),
            )


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)


def _runtime(name: str, world: World) -> RuntimeSpec | None:
    """The runtime's spec, or None when there is none that can be read: the release says so."""
    found = world.runtimes.get(name)
    try:
        return RuntimeSpec.model_validate(without_nulls(found)["spec"]) if found else None
    except (KeyError, ValueError):
        return None
