"""Documentation that cannot drift: whatever has a name is looked up in docs/, and what docs/ name must be there."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from mlservice.api.reasons import WAITS_FOR_USER, Reason
from mlservice.cli.reference import pages
from mlservice.plan.status import NO_NEWS, events

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("README.md")]

EVENTLESS = {Reason.INVALID_SPEC, *NO_NEWS}
"""Reasons of Ready and ReleasesReady that make no Event."""


def names_in(page: Path) -> list[str]:
    """First column of the tables of a page."""
    rows = re.findall(r"^\| `?([^|`]+)`? \|", page.read_text(), re.MULTILINE)
    return [name.strip() for row in rows for name in row.split(",")]


def rows_of(page: Path, heading: str) -> list[list[str]]:
    """Cells of the rows of the one table whose first column has this heading."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n\| ---.*\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def condition_types() -> set[str]:
    """Types of the conditions that the code makes: the first argument of each Condition(...)."""
    calls = [
        node
        for path in (ROOT / "operator" / "mlservice").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Condition"
    ]
    return {ast.literal_eval(call.args[0]) for call in calls}


def test_reasons_are_documented() -> None:
    rows = [name for name in names_in(REFERENCE / "reasons.md") if name not in ("reason", "---")]
    assert sorted(rows) == sorted(Reason)


def test_what_is_said_to_wait_for_a_person_is_what_counts_as_stalled() -> None:
    _, section = (REFERENCE / "reasons.md").read_text().split("## It waits for you")
    rows = re.findall(r"^\| `(\w+)` \|(.*)", section.split("\n## ")[0], re.MULTILINE)
    assert {name for name, words in rows if "Not counted as stalled" not in words} == set(WAITS_FOR_USER)


def test_conditions_are_documented() -> None:
    page = REFERENCE / "conditions.md"
    for heading in ("condition", "type"):
        assert {name for row in rows_of(page, heading) for name in code(row[0])} == condition_types()
    named = {name for row in rows_of(page, "type") for name in code(row[2])} - condition_types()
    assert named <= set(Reason)


def reasons_of_other_conditions() -> set[str]:
    """Reasons of the conditions that make no Events."""
    rows = rows_of(REFERENCE / "conditions.md", "type")
    ours = {name for row in rows if code(row[0])[0] in ("UpdateAvailable", "FieldsSupported") for name in code(row[2])}
    return ours | {Reason.RUNNING}


def test_events_are_documented() -> None:
    rows = rows_of(REFERENCE / "events.md", "event")
    assert sorted(code(row[0])[0] for row in rows) == sorted(set(Reason) - EVENTLESS - reasons_of_other_conditions())
    before = {"conditions": [{"type": "Ready", "status": "False", "reason": Reason.PREDICTOR_NOT_READY}]}
    for (name,), type_, example in ((code(row[0]), row[1], row[2]) for row in rows):
        status = str(name == Reason.READY)
        ready = {"type": "Ready", "status": status, "reason": name, "message": example}
        releases = {"type": "ReleasesReady", "status": "True", "reason": Reason.ALL_READY, "message": ""}
        old = {} if name == Reason.CREATED else before
        happened = events("llama", old, {"conditions": [ready, releases]})
        assert (happened[0].type, happened[0].reason) == (type_, name)


def test_generated_pages_are_up_to_date() -> None:
    for path, text in pages(REFERENCE).items():
        assert path.read_text() == text, f"{path.name}: run `make docs` and commit"


def test_dependencies_are_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {re.split(r"[\[<>=]", line)[0] for line in wanted} <= set(names_in(DOCS / "dependencies.md"))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", re.sub(r"(?ms)^ *```.*?^ *```$", "", text))


def links_in(page: Path) -> set[str]:
    """Targets of the links of a page, those inside the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    return {target for target in found if not re.match(r"[a-z]+:", target)}


def anchors_in(page: Path) -> set[str]:
    """Anchors as GitHub makes them of headings."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links_in(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors_in(file), f"{target}: no such heading"


def test_index_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    reached = {(DOCS / target.partition("#")[0]).resolve() for target in links_in(index)}
    assert set(DOCS.rglob("*.md")) - {index} <= reached


def test_compatibility_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "compatibility.md").read_text())
    defined = {
        (file, node.name)
        for file in {file for file, _ in named}
        if (ROOT / file).exists()
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert named
    assert sorted(set(named) - defined) == []
