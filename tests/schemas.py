"""Manifests drawn from a CRD's own schema: a good one, edited at random places with good, extreme and odd values."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from mlservice.api import crd

Schema = dict[str, Any]
Path = tuple[str, ...]
"""Names of fields; `[]` is an element of a list, `{}` a value of a map."""

TEXTS = [
    "v1", "v2", "", ".", "..", "a/b/", "/a", "/a/../b", "/", "http", "user-container", "sidecar", "weights", "a" * 64,
    "vllm-openai", "{{.MODEL_NAME}}", "{{if .X}}{{.X}}{{else}}8{{end}}", "{{.NOWHERE}}", "{{range .X}}{{end}}", "{{",
    "500m", "64Gi", "lots", "s3://bucket/folder/", "http://receiver", "autoscaling.knative.dev/target", "v1\n", "ü",
]  # fmt: skip
KEYS = [
    "name", "env", "ports", "volumes", "volumeMounts", "lifecycle", "preStop", "sleep", "metadata", "labels", "limits",
    "requests", "resources", "containerPort", "mountPath", "hostAliases", "$patch", "$retainKeys", "imagePullSecrets",
    "readinessProbe", "topologySpreadConstraints", "resourceClaims", "terminationGracePeriodSeconds", "containers",
    "securityContext", "affinity", "schedulerName", "cpu", "nvidia.com/gpu", "MODEL_NAME", "X", "a", "",
]  # fmt: skip
NUMBERS = [-1, 0, 1, 2, 80, 99, 100, 101, 8000, 10_000, 10_001, 65_535, 65_536, 2**31, 2**63 - 1, 1.0, 0.5]

SCALARS = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from([*TEXTS, "replace", "delete"]))
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


def spec_schema(file: str) -> Schema:
    """The schema of `spec` in one file of crds/."""
    whole = crd.ALL[file]()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec: Schema = whole["properties"]["spec"]
    return spec


def places(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every field, element and value that the schema declares."""
    for name, field in schema.get("properties", {}).items():
        yield (*path, name), field
        yield from places(field, (*path, name))
    for mark, inner in (("[]", schema.get("items")), ("{}", schema.get("additionalProperties"))):
        if inner:
            yield (*path, mark), inner
            yield from places(inner, (*path, mark))


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values of the schema's type, at and beyond its bounds."""
    match schema.get("type"):
        case "string":
            long = [text * n for text in "a" for n in (schema.get("maxLength", 8), schema.get("maxLength", 8) + 1)]
            found: st.SearchStrategy[Any] = st.sampled_from(schema.get("enum", []) + TEXTS + long)
        case "integer":
            found = st.sampled_from(NUMBERS)
        case "boolean":
            found = st.booleans()
        case "array":
            found = st.lists(values(schema["items"]), max_size=3)
        case "object":
            found = _objects(schema)
        case _:
            found = ANY_JSON
    return st.one_of(found, found, found, st.none()) if schema.get("nullable") else found


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    fields, required = schema.get("properties", {}), schema.get("required", [])
    declared = st.fixed_dictionaries(
        {name: values(fields[name]) for name in required},
        optional={name: values(field) for name, field in fields.items() if name not in required},
    )
    if inner := schema.get("additionalProperties"):
        return st.dictionaries(st.sampled_from(KEYS), values(inner), max_size=3)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        others = st.dictionaries(st.sampled_from([k for k in KEYS if k not in fields]), ANY_JSON, max_size=2)
        return st.builds(lambda a, b: {**a, **b}, declared, others)
    return declared


@st.composite
def edited(draw: st.DrawFn, good: Schema, schema: Schema) -> Schema:
    """The good spec with up to four of the schema's places set to another value, one in eight of any type."""
    spec = deepcopy(good)
    for path, field in draw(st.lists(st.sampled_from(list(places(schema))), max_size=4)):
        wanted = ANY_JSON if draw(st.integers(0, 7)) == 7 else values(field)
        _put(spec, path, draw(wanted), draw(st.sampled_from(KEYS)))
    return spec


def _put(value: Any, path: Path, new: Any, key: str) -> None:
    """Set the place; what an earlier edit made of another type is left as it is."""
    name, rest = path[0], path[1:]
    if name == "[]" and isinstance(value, list):
        if not value:
            value.append({})
        name_or_index: Any = 0
    elif name == "{}" and isinstance(value, dict):
        name_or_index = key
    elif isinstance(value, dict):
        name_or_index = name
    else:
        return
    if not rest:
        value[name_or_index] = new
        return
    if isinstance(value, dict) and value.get(name_or_index) is None:
        value[name_or_index] = [] if rest[0] == "[]" else {}
    _put(value[name_or_index], rest, new, key)
