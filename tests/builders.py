"""Manifests and worlds for tests, so that a test is three lines: `a_service("llama").on("weights").with_gpus(2)`."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Self

from mlservice.api.meta import API_VERSION, LABEL_RELEASE, Object, without_nulls
from mlservice.api.mlservice import MLService
from mlservice.api.settings import Settings
from mlservice.plan import Plan, Ref, World, plan
from mlservice.plan.world import ref

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def a_runtime(name: str = "vllm-openai", /, **user_container: Any) -> Object:
    """A runtime in T9k's shape; keyword arguments change its user-container."""
    container = {
        "name": "user-container",
        "image": "vllm/vllm-openai:v0.33.0",
        "args": ["--model={{.MODEL_PATH}}", "--served-model-name={{.MODEL_NAME}}"],
        "ports": [{"containerPort": 8000}],
        "resources": {"limits": {"cpu": 4, "memory": "64Gi", "nvidia.com/gpu": 1}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "MLServiceRuntime",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"enabled": True, "template": {"spec": {"containers": [container | user_container]}}},
    }


def a_release(name: str = "v1", runtime: str = "vllm-openai", **predictor: Any) -> Object:
    parameters = {"MODEL_PATH": "/var/lib/t9k/model", "MODEL_NAME": "llama"}
    return {"name": name, "predictor": {"model": {"runtime": runtime, "parameters": parameters}, **predictor}}


class ServiceBuilder:
    """An MLService of one release `v1`."""

    def __init__(self, name: str) -> None:
        self.manifest: Object = {
            "apiVersion": API_VERSION,
            "kind": "MLService",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"default": "v1", "releases": [a_release()]},
        }

    @property
    def predictor(self) -> Object:
        return self.manifest["spec"]["releases"][0]["predictor"]

    def named(self, release: str) -> Self:
        self.manifest["spec"]["default"] = self.manifest["spec"]["releases"][0]["name"] = release
        return self

    def on(self, claim: str, **pvc: Any) -> Self:
        self.predictor["storage"] = {"pvc": {"name": claim, **pvc}}
        return self

    def with_gpus(self, count: int) -> Self:
        resources = {"limits": {"nvidia.com/gpu": count}}
        self.predictor["containersResources"] = [{"name": "user-container", "resources": resources}]
        return self

    def with_replicas(self, low: int | None, high: int | None = None) -> Self:
        self.predictor["minReplicas"], self.predictor["maxReplicas"] = low, high
        return self

    def with_parameters(self, **parameters: str) -> Self:
        self.predictor["model"]["parameters"] |= parameters
        return self

    def without_parameter(self, key: str) -> Self:
        del self.predictor["model"]["parameters"][key]
        return self

    def patched(self, **pod_spec: Any) -> Self:
        self.predictor["template"] = {"spec": pod_spec}
        return self

    def also(self, release: Object) -> Self:
        self.manifest["spec"]["releases"].append(release)
        return self

    def having(self, **spec: Any) -> Self:
        self.manifest["spec"] |= spec
        return self

    def namespaced(self, namespace: str) -> Object:
        return {**self.manifest, "metadata": {**self.manifest["metadata"], "namespace": namespace}}


def a_service(name: str = "llama") -> ServiceBuilder:
    return ServiceBuilder(name)


def a_claim(name: str, *modes: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"accessModes": list(modes or ["ReadWriteOnce"])}}


def a_pod(release: str = "v1", name: str = "pod-1", **status: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": {LABEL_RELEASE: release}, "creationTimestamp": "2026-01-01T11:00:00Z"},
        "spec": {"containers": []},
        "status": status,
    }


def a_world(
    service: ServiceBuilder | None = None,
    runtimes: tuple[Object, ...] | None = None,
    claims: tuple[Object, ...] = (),
    pods: tuple[Object, ...] = (),
    children: Mapping[Ref, Object] | None = None,
    status: Object | None = None,
    adopted: Mapping[str, Object] | None = None,
    **settings: Any,
) -> World:
    """A world with the runtime `vllm-openai` in it."""
    manifest = deepcopy((service or a_service()).manifest)
    manifest["metadata"] |= {"uid": "uid-1", "generation": 1}
    return World(
        service=MLService.model_validate(without_nulls(manifest | {"status": status or {}})),
        settings=Settings(**settings),
        runtimes={r["metadata"]["name"]: r for r in ((a_runtime(),) if runtimes is None else runtimes)},
        claims={c["metadata"]["name"]: c for c in claims},
        children=children or {},
        pods=tuple(_of_its_revision(pod, children or {}) for pod in pods),
        adopted=adopted or {},
    )


def _of_its_revision(pod: Object, children: Mapping[Ref, Object]) -> Object:
    """The pod as the Deployment's present template makes it, unless the test says otherwise."""
    labels = pod["metadata"].get("labels", {})
    made = children.get(Ref("Deployment", f"llama-predict-{labels.get(LABEL_RELEASE)}"), {})
    own = made.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
    return pod | {"metadata": pod["metadata"] | {"labels": own | labels}}


def live(result: Plan, ready: bool = True) -> dict[Ref, Object]:
    """The plan's children as a cluster would hold them, their Deployments rolled out and ready, or not."""
    children = {}
    for child in deepcopy(result.children):
        child["metadata"] |= {"uid": f"uid-{child['metadata']['name']}", "generation": 1}
        if child["kind"] == "Deployment":
            child["spec"].setdefault("replicas", 1)
            count = child["spec"]["replicas"]
            child["status"] = {
                "observedGeneration": 1,
                "replicas": count,
                "updatedReplicas": count,
                "readyReplicas": count if ready else 0,
                "availableReplicas": count if ready else 0,
            }
        children[ref(child)] = child
    return children


def planned(world: World) -> Plan:
    return plan(world, NOW)


def child(result: Plan, kind: str, name: str) -> Object:
    return next(c for c in result.children if ref(c) == Ref(kind, name))


def condition(result: Plan, type_: str) -> Object:
    return next((c for c in result.status["conditions"] if c["type"] == type_), {})
