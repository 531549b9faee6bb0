"""Every leaf of the CRDs' schemas, and what can be wrong with it.

The idea is Acto's (Gu et al., SOSP 2023): deleted, empty, at and past its bounds, of another type, without a sense.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from builders import a_release, a_runtime, a_service
from kube import Object
from mlservice.api.meta import USER_CONTAINER

CRDS = Path(__file__).parents[2] / "crds"
LISTS, MAPS = "[]", "*"
"""Steps of a path into the elements of a list, and the values of a map."""

DELETED = object()
NONSENSE = ("", "Not a/Name!", "{{.NOWHERE}}", "-1", "ü\n", "a" * 300)
NUMBERS = (-1, 0, 1, 2**31, 2**63 - 1)
ANYTHING = ("", {}, [], [{}], 7, "5Gi", {"a": {"b": "c"}})


@dataclass(frozen=True)
class Mutation:
    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        value = "deleted" if self.value is DELETED else repr(self.value)
        return f"{'.'.join(self.path)} = {value[:60]}"

    def of(self, spec: Object) -> Object:
        """The spec with this change; what leads to the leaf is made where it is missing."""
        changed = deepcopy(spec)
        if "s3" in self.path:
            storage = _holder(changed, self.path[: self.path.index("s3") + 1])
            storage.pop("pvc", None)
            storage["s3"] = {"secretRef": {"name": "s"}, "uri": "s3://a/b/"}
        place, last = _holder(changed, self.path), self.path[-1]
        if last == LISTS:
            place[:1] = [] if self.value is DELETED else [self.value]
        elif last == MAPS:
            key = next(iter(place), "key")
            place[key] = self.value
            if self.value is DELETED:
                del place[key]
        elif self.value is DELETED:
            place.pop(last, None)
        else:
            place[last] = self.value
        return changed


def mutations(file: str) -> list[Mutation]:
    """All of one CRD's spec, in an order that is mixed and always the same."""
    crd = yaml.safe_load((CRDS / file).read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    found = [Mutation(path, value) for path, leaf in leaves(spec) for value in values(leaf)]
    random.Random(0).shuffle(found)
    return found


def leaves(schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Object]]:
    """Path and schema of each field that has none below it."""
    if schema.get("properties"):
        for name, below in schema["properties"].items():
            yield from leaves(below, (*path, name))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from leaves(schema["additionalProperties"], (*path, MAPS))
    elif schema.get("type") == "array":
        yield from leaves(schema["items"], (*path, LISTS))
    else:
        yield path, schema


def values(leaf: Object) -> Iterator[Any]:
    """What a leaf of this schema is set to, one after another."""
    yield from (DELETED, None)
    match leaf.get("type"):
        case "string":
            yield from NONSENSE
            if "maxLength" in leaf:
                yield from ("a" * leaf["maxLength"], "a" * (leaf["maxLength"] + 1))
            yield 5
        case "integer":
            bounds = [leaf[bound] for bound in ("minimum", "maximum") if bound in leaf]
            yield from dict.fromkeys([*NUMBERS, *(b + more for b in bounds for more in (-1, 0, 1))])
            yield "5"
        case "boolean":
            yield from (True, False, "true")
        case _:
            yield from ANYTHING


def _holder(spec: Object, path: tuple[str, ...]) -> Any:
    """The object or list that holds the leaf: by the first element, or the first key, where there is a choice."""
    place: Any = spec
    for step, following in pairwise(path):
        empty: Any = [] if following == LISTS else {}
        if step == LISTS:
            if not place:
                place.append(empty)
            place = place[0]
        elif step == MAPS:
            place = place.setdefault(next(iter(place), "key"), empty)
        else:
            if place.get(step) is None:
                place[step] = empty
            place = place[step]
    return place


def a_full_container() -> Object:
    return {
        "name": USER_CONTAINER,
        "image": "vllm/vllm-openai:v0.33.0",
        "command": ["serve"],
        "args": ["--model=a"],
        "env": [{"name": "A", "value": "b"}],
        "ports": [{"containerPort": 8000, "name": "http", "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "4"}, "requests": {"cpu": "2"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }


def a_full_template() -> Object:
    helper = {"name": "helper", "image": "busybox:1", "command": ["true"], "args": ["x"]}
    return {
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {
            "containers": [a_full_container()],
            "initContainers": [helper | {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "nodeSelector": {"gpu": "yes"},
            "terminationGracePeriodSeconds": 60,
        },
    }


def a_full_spec(runtime: str = "vllm-openai") -> Object:
    """A spec that is accepted and served, with something of nearly every kind in it."""
    service = a_service().on("weights", subPath="llama", mountPath="/models", readOnly=True).with_replicas(1, 3)
    service.predictor["model"]["runtime"] = runtime
    service.predictor["template"] = a_full_template()
    service.predictor["containersResources"] = [
        {"name": USER_CONTAINER, "resources": {"limits": {"cpu": "8"}, "requests": {"cpu": "1"}}}
    ]
    service.predictor["logger"] = {"mode": "all", "urls": ["http://display"], "resources": {"limits": {"cpu": "1"}}}
    transformer = {"minReplicas": 1, "maxReplicas": 2, "template": a_full_template()}
    return (
        service.also(a_release("v2", runtime))
        .having(
            runMode="running",
            canary="v2",
            canaryTrafficPercent=10,
            transformer=transformer,
            scheduler={"t9kScheduler": {"queue": "default"}},
        )
        .manifest["spec"]
    )


def a_full_runtime(name: str) -> Object:
    runtime = a_runtime(name)
    runtime["spec"]["template"] = a_full_template()
    return runtime
