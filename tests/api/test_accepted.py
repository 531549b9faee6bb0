"""Whatever the API server accepts, the models read and `plan` answers: compared on manifests drawn from the schema."""

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml
from builders import NOW, a_claim, a_runtime, a_service, live
from hypothesis import HealthCheck, Phase, given, settings
from mlservice.api.meta import without_nulls
from mlservice.api.mlservice import MLService
from mlservice.api.runtime import MLServiceRuntime
from mlservice.api.settings import Settings
from mlservice.cluster.client import APPLY, ApiError
from mlservice.cluster.resources import CHILDREN, MLSERVICE, RUNTIME
from mlservice.plan import World, plan
from mlservice.plan.references import references
from schemas import edited, places, spec_schema

SERVICE, RUNTIME_SCHEMA = spec_schema("mlservices.yaml"), spec_schema("mlserviceruntimes.yaml")

FULL = yaml.safe_load("""
default: v1
canary: v2
canaryTrafficPercent: 10
releases:
- name: v1
  predictor:
    minReplicas: 1
    maxReplicas: 1
    model: {runtime: vllm-openai, parameters: {MODEL_PATH: /var/lib/t9k/model, MODEL_NAME: llama}}
    storage: {pvc: {name: weights, subPath: llama, mountPath: /var/lib/t9k/model, readOnly: true}}
    containersResources:
    - {name: user-container, resources: {limits: {cpu: 4}, requests: {cpu: 4}}}
    template:
      metadata: {labels: {a: b}, annotations: {c: d}}
      spec:
        volumes: [{name: shm, emptyDir: {medium: Memory}}]
        containers:
        - {name: user-container, env: [{name: A, value: b}], volumeMounts: [{name: shm, mountPath: /dev/shm}]}
- name: v2
  predictor:
    model: {runtime: vllm-openai, parameters: {MODEL_PATH: /m, MODEL_NAME: llama}}
    logger: {mode: all, urls: [http://receiver], resources: {limits: {cpu: 1}}}
transformer:
  template: {spec: {containers: [{name: user-container, image: "t:1"}]}}
  storage: {s3: {secretRef: {name: s}, uri: s3://bucket/folder/, mountPath: /m}}
scheduler: {t9kScheduler: {queue: default}}
runMode: running
""")


ASKED_FOR_IN_WORDS = {
    "releases.[].predictor.model": "model.runtime is required",
    "releases.[].predictor.model.runtime": "model.runtime is required",
    "transformer.template": "its template needs a container",
    "transformer.template.spec.containers.[].image": "with an image",
    "transformer.storage.s3.secretRef": "secretRef.name is required",
    "transformer.storage.s3.uri": "uri is required",
    "canaryTrafficPercent": "canaryTrafficPercent is required with canary",
}
"""Fields that may be null for the schema, and for which a rule then asks."""


def ask(kube, resource, manifest):
    """Create with dry run: the object as the server would store it, or None and why not."""
    path = f"{resource.path('default')}?dryRun=All"
    status, text = kube.api.request("POST", path, json.dumps(manifest), "application/json")
    assert status in (201, 400, 422), text
    return (json.loads(text), "") if status == 201 else (None, json.loads(text)["message"])


def worlds(service, runtime):
    """The service without its claim, with all it needs, and rolled out."""
    known = {name: a_runtime(name) for name in (r.name for r in references(service) if r.kind == "MLServiceRuntime")}
    alone = World(service=service, settings=Settings(), runtimes=known | {runtime["metadata"]["name"]: runtime})
    claims = {r.name: a_claim(r.name) for r in references(service) if r.kind == "PersistentVolumeClaim"}
    complete = replace(alone, claims=claims)
    yield alone
    yield complete
    yield replace(complete, children=live(plan(complete, NOW)))


def answer(kube, child):
    """Apply a child with dry run, as the operator does: None, or the error as the operator meets it."""
    path = CHILDREN[child["kind"]].path("default", child["metadata"]["name"])
    query = "?dryRun=All&fieldManager=test&force=true&fieldValidation=Strict"
    status, text = kube.api.request("PATCH", path + query, json.dumps(child), APPLY)
    return None if status < 300 else ApiError(status, json.loads(text).get("reason", ""), json.loads(text)["message"])


seen: Counter[str] = Counter()
asked: set[str] = set()


@settings(
    max_examples=600,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(service=edited(FULL, SERVICE), runtime=edited(a_runtime()["spec"], RUNTIME_SCHEMA))
def test_what_is_accepted_is_planned_and_a_child_that_is_then_refused_is_known_as_such(kube, service, runtime):
    stored_service, _ = ask(kube, MLSERVICE, {**a_service().manifest, "spec": service})
    stored_runtime, _ = ask(kube, RUNTIME, {**a_runtime(), "spec": runtime})
    seen.update(services=stored_service is not None, runtimes=stored_runtime is not None, drawn=1)
    if stored_runtime:
        MLServiceRuntime.model_validate(without_nulls(stored_runtime))
    if stored_service:
        read = MLService.model_validate(without_nulls(stored_service))
        for world in worlds(read, stored_runtime or a_runtime()):
            for child in plan(world, NOW).children:
                if (text := json.dumps(child.get("spec"))) not in asked:
                    asked.add(text)
                    error = answer(kube, child)
                    seen.update(children=1, refused_children=error is not None)
                    assert error is None or error.is_refusal, error


def put_null(value, path):
    """Set one place to null, in every element; containers on the way that are not there stay so."""
    name, rest = path[0], path[1:]
    keys = range(len(value)) if name == "[]" else list(value) if name == "{}" else [name]
    for key in keys:
        if not rest:
            value[key] = None
        elif name in ("[]", "{}") or value.get(key) is not None:
            put_null(value[key], rest)


@pytest.mark.parametrize(
    ("resource", "good", "schema"),
    [(MLSERVICE, a_service().having(**FULL).manifest, SERVICE), (RUNTIME, a_runtime(), RUNTIME_SCHEMA)],
    ids=["MLService", "MLServiceRuntime"],
)
def test_null_means_unset_in_every_optional_field(kube, resource, good, schema):
    assert ask(kube, resource, good)[1] == ""
    for path, field in places(schema):
        if field.get("nullable"):
            manifest = deepcopy(good)
            put_null(manifest["spec"], path)
            _, refusal = ask(kube, resource, manifest)
            wanted = ASKED_FOR_IN_WORDS.get(".".join(path), "") if resource is MLSERVICE else ""
            assert (wanted in refusal) if wanted else not refusal, (path, refusal)


def test_enough_of_it_was_accepted_and_refused():
    assert 0.3 < seen["services"] / seen["drawn"] < 0.9 and 0.3 < seen["runtimes"] / seen["drawn"] < 0.9, seen
