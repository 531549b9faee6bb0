"""Files that `mlservice plan` reads: what is wrong is said with file, line and field."""

import json
from pathlib import Path

import pytest
import yaml
from builders import a_runtime, a_service
from mlservice.cli.documents import Document, Unusable, read
from mlservice.cli.schema import problems
from mlservice.cli.stage import LAST_APPLIED, applied


def documents(folder: Path, text: str, name: str = "a.yaml") -> list[Document]:
    (folder / name).write_text(text)
    return read([str(folder / name)])


def test_several_documents_lists_and_json(tmp_path):
    text = "---\nkind: A\nmetadata: {name: a}\n---\n---\nkind: List\nitems: [{kind: B, metadata: {name: b}}]\n"
    assert [(d.kind, d.name, d.line()) for d in documents(tmp_path, text)] == [("A", "a", 2), ("B", "b", 7)]
    assert documents(tmp_path, '{"kind": "C", "metadata": {"name": "c"}}', "c.json")[0].kind == "C"
    (tmp_path / "readme.md").write_text("no manifest")
    assert [d.kind for d in read([str(tmp_path)])] == ["A", "B", "C"]


def test_values_are_those_of_json(tmp_path):
    (document,) = documents(tmp_path, "kind: A\nmetadata: {name: a, 2026-01-01: 2026-01-01, true: 1, 8080: x}\n")
    assert document.content["metadata"] == {"name": "a", "2026-01-01": "2026-01-01", "true": 1, "8080": "x"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: A\nmetadata: {name: [}\n", "a.yaml:2: no valid YAML: "),
        ("kind: A\nmetadata: {name: a}\nspec:\n  x: 1\n  y: 2\n  x: 3\n", "a.yaml:6: the field x is there twice"),
        ("kind: A\nmetadata: {name: a}\n---\nkind: B\n", "a.yaml:4: B has no metadata.name"),
        ("just words\n", "a.yaml:1: this is no Kubernetes manifest: it has no kind"),
    ],
)
def test_unusable_files(tmp_path, text, problem):
    with pytest.raises(Unusable) as raised:
        documents(tmp_path, text)
    assert str(raised.value).removeprefix(f"{tmp_path}/").startswith(problem)


def test_missing_files_and_empty_folders_are_all_named(tmp_path):
    with pytest.raises(Unusable) as raised:
        read([str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")])
    assert [line.split(": ")[0] for line in str(raised.value).splitlines()] == [
        str(tmp_path / "one.yaml"),
        str(tmp_path / "two.yaml"),
    ]
    with pytest.raises(Unusable, match=r"no \.yaml"):
        read([str(tmp_path)])


SERVICE = """apiVersion: tensorstack.dev/v1beta1
kind: MLService
metadata:
  name: llama
spec:
  default: v1
  releases:
    - name: v1
      predictor:
        minReplicas: 1
        model:
          runtime: vllm
          parameters:
            A: x
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "minReplicas: 1",
            "minReplica: 1",
            "10: {}spec.releases[0].predictor.minReplica is no field: did you mean min",
        ),
        (
            "minReplicas: 1",
            "minReplicas: '1'",
            "10: {}spec.releases[0].predictor.minReplicas is '1', a whole number is",
        ),
        ("minReplicas: 1", "minReplicas: -1", "10: {}spec.releases[0].predictor.minReplicas is -1: "),
        ("minReplicas: 1", "minReplicas: true", "10: {}spec.releases[0].predictor.minReplicas is True, a whole number"),
        ("runtime: vllm", "runtime:", "12: {}spec.releases[0].predictor.model.runtime is required. Name of the"),
        (
            "  A: x",
            "  A: 7",
            "14: {}spec.releases[0].predictor.model.parameters.A is 7, a string is expected: write it",
        ),
        ("default: v1", "default: V1", "6: {}spec.default is 'V1': a release's name is part of a host name"),
        ("default: v1", "default: v9", "6: {}spec.default is 'v9', which is none of the releases: v1"),
        (
            "tensorstack.dev/v1beta1",
            "tensorstack.dev/v1",
            "1: {}apiVersion is 'tensorstack.dev/v1': tensorstack.dev/v1b",
        ),
    ],
)
def test_mistakes_are_told_with_line_and_field(tmp_path, old, new, problem):
    (document,) = documents(tmp_path, SERVICE.replace(old, new))
    (found,) = problems(document)
    assert found.removeprefix(f"{tmp_path}/a.yaml:").startswith(problem.format("MLService llama: "))


def test_mistakes_inside_pod_templates_are_found_by_the_crds_schema(tmp_path):
    runtime = a_runtime(env=[{"name": "A", "value": 3}], unknown={"fields": "are the API server's to judge"})
    (document,) = documents(tmp_path, yaml.safe_dump(runtime))
    (found,) = problems(document)
    assert "spec.template.spec.containers[0].env[0].value is 3, a string is expected: write it in quotes" in found


def test_manifests_of_the_project_are_fine(tmp_path):
    root = Path(__file__).parents[2]
    folders = [str(root / "examples" / name) for name in ("quickstart", "vllm")]
    found = [*read(folders), *read([str(root / "tests" / "api" / "manifests" / "t9k.yaml")])]
    assert len(found) > 10
    assert [problem for document in found for problem in problems(document)] == []


def test_applied_as_kubectl_applies(tmp_path):
    (document,) = documents(tmp_path, yaml.safe_dump(a_service().manifest))
    new = applied(None, document, "here")
    assert (new["metadata"]["namespace"], new["metadata"]["generation"]) == ("here", 1)
    last = {"spec": {**document.content["spec"], "runMode": "paused"}}
    live = {**new, "spec": {**last["spec"], "scheduler": {"t9kScheduler": {"queue": "q"}}}, "status": {"a": 1}}
    live["metadata"] = {
        **new["metadata"],
        "annotations": {LAST_APPLIED: json.dumps(last), "mine": "x"},
        "generation": 4,
    }
    again = applied(live, document, "here")
    assert "runMode" not in again["spec"], "it was in the last manifest and is not in this one"
    assert again["spec"]["scheduler"] == {"t9kScheduler": {"queue": "q"}}, "somebody else's"
    assert (again["metadata"]["annotations"]["mine"], again["metadata"]["generation"]) == ("x", 5)
    assert again["status"] == {"a": 1}
