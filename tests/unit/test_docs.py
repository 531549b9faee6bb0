"""Documentation that cannot drift: whatever has a name is looked up in docs/."""

import re
import tomllib
from pathlib import Path

import pytest
from mlservice.api.reasons import Reason
from mlservice.api.reference import fields_page
from mlservice.api.settings import Settings
from mlservice.cluster import metrics
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).parents[2]


def names_in(file: str) -> set[str]:
    """First column of the tables of a page."""
    rows = re.findall(r"^\| `?([^|`]+)`? \|", (ROOT / "docs" / file).read_text(), re.MULTILINE)
    return {name.strip() for row in rows for name in row.split(",")}


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_documented(reason: Reason) -> None:
    assert str(reason) in names_in("reasons.md")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    row = f"| `MLSERVICE_{name.upper()}` | `{Settings.model_fields[name].default or '(empty)'}` |"
    assert row in (ROOT / "docs" / "settings.md").read_text()


def test_page_of_fields_is_the_generated_one() -> None:
    assert (ROOT / "docs" / "reference" / "fields.md").read_text() == fields_page(), "run `make docs` and commit"


def test_metrics_are_documented() -> None:
    ours = [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]
    described = {name for m in ours for name in [m.describe()[0].name]}
    documented = {name.removesuffix("_total") for name in names_in("metrics.md")}
    assert described <= documented


def test_dependencies_are_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {re.split(r"[\[<>=]", line)[0] for line in wanted} <= names_in("dependencies.md")
