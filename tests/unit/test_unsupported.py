"""Fields that are set and have no effect are all named, with what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders import a_claim, a_release, a_runtime, a_service, a_world, condition, planned
from mlservice.api.fields import LeftOver, Mark
from mlservice.api.meta import Model
from mlservice.api.mlservice import MLService
from mlservice.api.runtime import MLServiceRuntime
from pydantic import BaseModel

TABLE = Path(__file__).parents[1] / "api" / "bad_manifests" / "accepted.yaml"
ANNOTATED = a_runtime()
ANNOTATED["spec"]["template"]["metadata"] = {"annotations": {"autoscaling.knative.dev/metric": "rps"}}
OLD_RUNTIME = a_runtime()
OLD_RUNTIME["spec"]["supportedModelFormats"] = [{"name": "pytorch"}]


def warning(service=None, runtime=None):
    return condition(planned(a_world(service, runtimes=(runtime or a_runtime(),))), "FieldsSupported")


def of_the_release(**predictor):
    return a_service().having(releases=[a_release(**predictor)])


def test_nothing_is_said_where_every_field_has_its_effect():
    assert warning(of_the_release(minReplicas=2, maxReplicas=2)) == {}
    assert warning(of_the_release(minReplicas=1, maxReplicas=0)) == {}
    assert warning(a_service().having(canaryTrafficPercent=0)) == {}


@pytest.mark.parametrize(
    ("service", "runtime", "words"),
    [
        (
            a_service().having(canary="v2", canaryTrafficPercent=1).also(a_release("v2")),
            None,
            "spec.canary (all requests",
        ),
        (a_service().having(canaryTrafficPercent=5), None, "spec.canaryTrafficPercent (spec.canary is not set)"),
        (of_the_release(minReplicas=0), None, "spec.releases[v1].predictor.minReplicas (nothing scales to zero"),
        (of_the_release(maxReplicas=2), None, "spec.releases[v1].predictor.maxReplicas (nothing scales"),
        (of_the_release(logger={}), None, "spec.releases[v1].predictor.logger (this version logs no requests)"),
        (a_service(), ANNOTATED, "MLServiceRuntime vllm-openai: spec.template.metadata.annotations[autoscaling."),
        (
            a_service().with_parameters(MODLE="x"),
            None,
            "parameters.MODLE (MLServiceRuntime vllm-openai has no {{.MODLE}})",
        ),
    ],
)
def test_field_without_effect_is_named(service, runtime, words):
    found = warning(service, runtime)
    assert (found["status"], found["reason"]) == ("False", "FieldsIgnored")
    assert words in found["message"]


def test_field_of_an_older_generation_comes_first_with_what_replaced_it():
    service = of_the_release(minReplicas=0, storage={"pvc": {"name": "w", "containerPath": "/m"}})
    found = warning(service, OLD_RUNTIME)
    assert found["reason"] == "FieldsDeprecated"
    assert found["message"].startswith(
        "Accepted but without effect: spec.releases[v1].predictor.storage.pvc.containerPath (deprecated: set "
        "mountPath); MLServiceRuntime vllm-openai: spec.supportedModelFormats (deprecated: an MLService names its"
    )
    assert "minReplicas" in found["message"]


def test_left_over_field_changes_neither_pods_nor_their_revision():
    services = a_service().on("w"), a_service().on("w", containerPath="/models")
    plain, old = (planned(a_world(service, claims=(a_claim("w"),))).children for service in services)
    assert plain and plain == old


def marked(model: type[BaseModel]) -> Iterator[tuple[str, Mark]]:
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Mark):
                yield str(field.alias or name), mark
        for inner in submodels(field.annotation):
            yield from marked(inner)


def submodels(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from submodels(inner)


@pytest.mark.parametrize("name", sorted({name for m in (MLService, MLServiceRuntime) for name, _ in marked(m)}))
def test_each_marked_field_is_tried_on_a_real_cluster(name):
    cases = [case for case in yaml.safe_load(TABLE.read_text()) if "warning" in case]
    assert any(word.endswith(f".{name}") for case in cases for word in case["says"])


def test_left_over_fields_are_all_marked():
    names = {name for m in (MLService, MLServiceRuntime) for name, mark in marked(m) if isinstance(mark, LeftOver)}
    assert {"modelUri", "modelFormat", "resources", "tensorflow", "pytorch", "s3Storage", "containerPath"} <= names
    assert {"secretName", "supportedModelFormats"} <= names
