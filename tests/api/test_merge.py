"""Our strategic merge gives what the API server's own strategic merge patch of a PodTemplate gives."""

import json
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kube import Kube, Object
from mlservice.plan.merge import MERGE_KEYS, strategic_merge

STRATEGIC = "application/strategic-merge-patch+json"


class Templates:
    """PodTemplates of one namespace; what is only asked for is not stored."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.path = kube, f"/api/v1/namespaces/{namespace}/podtemplates"

    def create(self, template: Object, query: str = "") -> tuple[int, Any]:
        """The API server's answer: the template as it stores it, or why it refuses."""
        name = f"t-{uuid.uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template}
        status, text = self.kube.api.request("POST", f"{self.path}{query}", json.dumps(body), "application/json")
        answer = json.loads(text)
        return status, (name, answer["template"]) if status == 201 else answer["message"]

    def patched(self, name: str, patch: Object) -> tuple[int, Any]:
        body = json.dumps({"template": patch})
        status, text = self.kube.api.request("PATCH", f"{self.path}/{name}?dryRun=All", body, STRATEGIC)
        answer = json.loads(text)
        return status, answer["template"] if status == 200 else answer["message"]


@pytest.fixture(scope="module")
def templates(kube: Kube) -> Templates:
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    return Templates(kube, namespace)


def test_merge_keys_are_those_of_the_server(kube: Kube) -> None:
    schemas = kube.api.get("/openapi/v3/api/v1")["components"]["schemas"]
    found: dict[str, set[str]] = {}
    # The metadata of a volume's claim template: nobody patches its finalizers or owners.
    seen = {"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}

    def walk(node: Any) -> None:
        """Collect every list of a pod's spec with the key it merges by; '' for one that is replaced."""
        for reference in [node] if "$ref" in node else node.get("allOf", []):
            name = reference["$ref"].rsplit("/", 1)[1]
            if name not in seen:
                seen.add(name)
                walk(schemas[name])
        for field, value in node.get("properties", {}).items():
            if value.get("type") == "array":
                merges = "merge" in value.get("x-kubernetes-patch-strategy", "")
                found.setdefault(field, set()).add(value.get("x-kubernetes-patch-merge-key", "") if merges else "")
            walk(value)
        for inner in (node.get("items"), node.get("additionalProperties")):
            if isinstance(inner, dict):
                walk(inner)

    walk(schemas["io.k8s.api.core.v1.PodSpec"])
    assert {"args", "tolerations", "envFrom"} <= {field for field, keys in found.items() if keys == {""}}
    # One name must mean one key wherever it occurs: ours are looked up by the field's name alone.
    assert {field: keys for field, keys in found.items() if keys != {""}} == {f: {k} for f, k in MERGE_KEYS.items()}


NAMES = st.sampled_from(["a", "b", "c", "d"])
WORDS = st.sampled_from(["x", "y", "z-1"])


def lists(key: str, values: st.SearchStrategy[Any], most: int = 3, **fields: st.SearchStrategy[Any]) -> Any:
    """Lists of objects with distinct keys."""
    element = st.fixed_dictionaries({key: values}, optional=fields)
    return st.lists(element, min_size=1, max_size=most, unique_by=lambda item: item[key])


def some(**fields: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries({}, optional=fields)


LABELS = st.dictionaries(st.sampled_from(["one", "two", "three.io/x"]), WORDS, max_size=3)
QUANTITIES = some(cpu=st.sampled_from(["1", "500m"]), memory=st.sampled_from(["1Gi", "2Gi"]))
PROBES = st.one_of(
    some(initialDelaySeconds=st.integers(1, 5)).map(lambda p: {**p, "tcpSocket": {"port": 80}}),
    some(periodSeconds=st.integers(1, 5)).map(lambda p: {**p, "httpGet": {"path": "/", "port": 80}}),
)
ENV = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(["E", "F", "G"]), "value": WORDS}),
    st.sampled_from(["E", "F"]).map(
        lambda name: {"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    ),
)
PORTS = st.tuples(st.sampled_from([53, 80, 8000]), st.sampled_from(["TCP", "UDP"]), st.booleans()).map(
    lambda p: {"containerPort": p[0], "protocol": p[1]} | ({"name": f"{p[1].lower()}-{p[0]}"} if p[2] else {})
)
CONTAINER = {
    "image": st.sampled_from(["i:1", "i:2"]),
    "args": st.lists(WORDS, max_size=2),
    "command": st.lists(WORDS, max_size=2),
    "env": st.lists(ENV, max_size=3, unique_by=lambda e: e["name"]),
    "envFrom": st.lists(NAMES.map(lambda n: {"configMapRef": {"name": n}}), max_size=2),
    "ports": st.lists(PORTS, max_size=3, unique_by=lambda p: (p["containerPort"], p["protocol"])),
    "volumeMounts": lists(
        "mountPath", st.sampled_from(["/m", "/n", "/o"]), name=st.just("v"), subPath=WORDS, readOnly=st.booleans()
    ).map(lambda mounts: [{"name": "v", **mount} for mount in mounts]),
    "resources": some(limits=QUANTITIES, requests=st.just({"cpu": "100m"})),
    "securityContext": some(
        runAsUser=st.integers(0, 3),
        capabilities=some(add=st.just(["NET_ADMIN"]), drop=st.just(["ALL"])),
        privileged=st.booleans(),
    ),
    "workingDir": st.just("/w"),
    "imagePullPolicy": st.sampled_from(["Always", "Never"]),
}
SERVER = CONTAINER | {
    "readinessProbe": PROBES,
    "lifecycle": some(preStop=st.just({"sleep": {"seconds": 1}}), postStart=st.just({"exec": {"command": ["x"]}})),
}
VOLUMES = st.tuples(
    NAMES,
    st.sampled_from(
        [
            {"emptyDir": {}},
            {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"hostPath": {"path": "/h", "type": "Directory"}},
            {"hostPath": {"path": "/g"}},
            {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}},
            {"projected": {"sources": [{"secret": {"name": "s"}}]}},
        ]
    ),
).map(lambda pair: {"name": pair[0], **pair[1]})
SELECTED = {"matchExpressions": [{"key": "k", "operator": "Exists"}]}
AFFINITY = some(
    nodeAffinity=st.sampled_from(
        [
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [SELECTED]}},
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": SELECTED}]},
        ]
    ),
    podAntiAffinity=st.just(
        {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", "labelSelector": SELECTED}]}
    ),
)
SPREAD = st.fixed_dictionaries(
    {
        "topologyKey": st.sampled_from(["zone", "host", "rack"]),
        "maxSkew": st.integers(1, 3),
        "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
    },
    optional={"labelSelector": st.just({"matchLabels": {"a": "b"}})},
)
OPTIONAL = {
    "initContainers": lists("name", st.sampled_from(["i", "j", "k"]), **CONTAINER),
    "volumes": st.lists(VOLUMES, max_size=3, unique_by=lambda v: v["name"]),
    "tolerations": st.lists(NAMES.map(lambda n: {"key": n, "operator": "Exists"}), max_size=2),
    "nodeSelector": LABELS,
    "topologySpreadConstraints": st.lists(
        SPREAD, max_size=3, unique_by=lambda s: (s["topologyKey"], s["whenUnsatisfiable"])
    ),
    "imagePullSecrets": lists("name", NAMES),
    "hostAliases": lists("ip", st.sampled_from(["10.0.0.1", "10.0.0.2"]), hostnames=st.just(["h"])),
    "schedulingGates": lists("name", st.sampled_from(["g.io/a", "g.io/b"])),
    "resourceClaims": st.lists(
        st.fixed_dictionaries({"name": NAMES, "resourceClaimName": WORDS}), max_size=3, unique_by=lambda c: c["name"]
    ),
    "affinity": AFFINITY,
    "securityContext": some(fsGroup=st.integers(1, 3), runAsNonRoot=st.booleans(), supplementalGroups=st.just([1, 2])),
    "priorityClassName": WORDS,
    "terminationGracePeriodSeconds": st.integers(1, 90),
    "dnsConfig": some(nameservers=st.just(["10.0.0.1"]), options=lists("name", WORDS, value=WORDS)),
    "shareProcessNamespace": st.booleans(),
    "schedulerName": WORDS,
}


def complete(template: Object) -> Object:
    """What a pod needs: images, and the volume that is mounted."""
    spec = template["spec"]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        container.setdefault("image", "i:0")
    spec["volumes"] = [*spec.get("volumes", []), {"name": "v", "emptyDir": {}}]
    return template


TEMPLATES = st.fixed_dictionaries(
    {
        "metadata": some(labels=LABELS, annotations=LABELS),
        "spec": st.fixed_dictionaries({"containers": lists("name", NAMES, **SERVER)}, optional=OPTIONAL),
    }
).map(complete)


@st.composite
def patches(draw: st.DrawFn, base: Any, other: Any, field: str = "") -> Any:
    """A patch that brings `other` into `base`: some of its fields, nulls and directives where `base` has a value."""
    rarely = st.integers(0, 15).map(lambda n: n == 11)
    if isinstance(other, dict) and isinstance(base, dict):
        if field not in ("", "spec", "metadata") and draw(rarely):
            return {**other, "$patch": draw(st.sampled_from(["replace", "delete"]))}
        kept = [key for key in other if draw(st.booleans()) or key in ("containers", "spec")]
        patch = {key: draw(patches(base.get(key), other[key], key)) for key in kept}
        patch |= {key: None for key in base if draw(rarely) and key not in ("containers", "spec", "metadata")}
        return patch
    if isinstance(other, list) and isinstance(base, list) and (key := MERGE_KEYS.get(field)):
        if draw(rarely):
            return [*other, {"$patch": "replace"}]
        patch = []
        for item in other:
            old = next((b for b in base if b[key] == item[key]), None)
            change = item if old is None else {**draw(patches(old, item)), key: item[key]}
            if old is not None and draw(rarely):
                change = {key: item[key], "$patch": "delete"}
            elif old is not None and field == "volumes" and draw(st.booleans()):
                change = {**item, "$retainKeys": list(item)}
            patch.append(change)
        return patch
    return other


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data(), base=TEMPLATES, other=TEMPLATES)
def compare(templates: Templates, seen: Counter[str], data: st.DataObject, base: Object, other: Object) -> None:
    status, created = templates.create(base)
    if status != 201:
        seen["no pod"] += 1
        return
    name, stored = created
    patch = data.draw(patches(stored, other))
    theirs_status, theirs = templates.patched(name, patch)
    ours_status, ours = templates.create(strategic_merge(stored, patch), "?dryRun=All&fieldValidation=Strict")
    if theirs_status == 200:
        seen["merged"] += 1
        assert ours_status == 201, ours
        assert ours[1] == theirs
    else:
        seen["refused"] += 1
        assert ours_status == theirs_status == 422, (ours, theirs)


def test_generated_patches_merge_as_the_api_server_merges_them(templates: Templates) -> None:
    seen: Counter[str] = Counter()
    compare(templates, seen)
    assert seen["merged"] > 150, seen


TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "a",
                "image": "i:1",
                "args": ["--x", "--y"],
                "ports": [
                    {"containerPort": 53, "protocol": "TCP", "name": "t"},
                    {"containerPort": 53, "protocol": "UDP", "name": "u"},
                ],
            },
            {"name": "b", "image": "i:1"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
    },
}
PATCHES = {
    "args are replaced whole": {"containers": [{"name": "a", "args": ["--z"]}]},
    "of two ports with one number the first is changed": {
        "containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP", "name": "dns"}]}]
    },
    "two ports of one number become one": {
        "containers": [
            {
                "name": "a",
                "ports": [
                    {"containerPort": 80, "protocol": "TCP"},
                    {"containerPort": 80, "protocol": "UDP", "name": "q"},
                ],
            }
        ]
    },
    "two ports of one number stay two in a container without ports": {
        "containers": [
            {
                "name": "b",
                "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}],
            }
        ]
    },
    "of two constraints with one key the first is changed": {
        "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]
    },
    "constraints with one key stand together": {
        "topologySpreadConstraints": [{"topologyKey": "x", "$patch": "delete"}]
    },
    "deleted and added again": {"containers": [{"name": "a", "$patch": "delete"}, {"name": "a", "image": "i:2"}]},
    "elements of a replaced list with one key stand together": {
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "b", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway"},
            {"$patch": "replace"},
        ]
    },
    "a source without $retainKeys": {"volumes": [{"name": "v", "hostPath": {"path": "/h"}}]},
    "a source with $retainKeys": {
        "volumes": [{"name": "v", "hostPath": {"path": "/h"}, "$retainKeys": ["name", "hostPath"]}]
    },
    "order of old and new": {"containers": [{"name": "b", "image": "i:2"}, {"name": "new", "image": "i:2"}]},
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_merged_as_the_api_server_merges(templates: Templates, patch: Object) -> None:
    status, (name, stored) = templates.create(TEMPLATE)
    assert status == 201
    theirs_status, theirs = templates.patched(name, {"spec": patch})
    ours_status, ours = templates.create(strategic_merge(stored, {"spec": patch}), "?dryRun=All")
    if theirs_status == 200:
        assert ours[1] == theirs
    else:
        assert (ours_status, "may not specify more than 1 volume type" in ours) == (422, True)
