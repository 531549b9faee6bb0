"""The generated CRDs: committed, small enough for `kubectl apply`, every field described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlservice.api import crd
from mlservice.cli.main import manifest

FOLDER = Path(__file__).parents[2] / "crds"
APPLY_LIMIT = 262_144


@pytest.mark.parametrize("file", crd.ALL)
def test_committed_crd_is_the_generated_one(file: str) -> None:
    assert (FOLDER / file).read_text() == manifest(file), "run `make crds` and commit the result"


@pytest.mark.parametrize("file", crd.ALL)
def test_plain_kubectl_apply_can_store_it(file: str) -> None:
    assert len(manifest(file)) < APPLY_LIMIT


@pytest.mark.parametrize("file", crd.ALL)
def test_every_field_is_described(file: str) -> None:
    schema = crd.ALL[file]()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [path for path, node in _fields(schema, "") if not node.get("description")] == []


@pytest.mark.parametrize("file", crd.ALL)
def test_every_optional_field_may_be_null_and_says_what_unset_means(file: str) -> None:
    """Fields of a pod template are Kubernetes' own, which `kubectl explain pod.spec` describes."""
    spec = crd.ALL[file]()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    own = [(path, node) for path, node in _optional_fields(spec, "spec") if ".template." not in path]
    assert [path for path, node in own if not node.get("nullable")] == []
    words = ("Unset", "Required.", "Deprecated")
    assert [path for path, node in own if not any(word in node["description"] for word in words)] == []


def _optional_fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in node.get("properties", {}).items():
        if name not in node.get("required", []):
            yield f"{path}.{name}", field
        yield from _optional_fields(field, f"{path}.{name}")
    yield from _optional_fields(node["items"], f"{path}[]") if "items" in node else ()


def _fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in node.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from _fields(field, f"{path}.{name}")
    if "items" in node:
        yield from _fields(node["items"], f"{path}[]")


@pytest.mark.parametrize("file", crd.ALL)
def test_no_name_is_also_a_category(file: str) -> None:
    """kubectl would take `kubectl get mlservice NAME` for a category and refuse the name."""
    categories = {category for made in crd.ALL.values() for category in made()["spec"]["names"].get("categories", [])}
    names = crd.ALL[file]()["spec"]["names"]
    assert not categories & {names["singular"], names["plural"], *names["shortNames"]}


@pytest.mark.parametrize("file", crd.ALL)
def test_yaml_is_without_anchors(file: str) -> None:
    assert "&id0" not in manifest(file)
