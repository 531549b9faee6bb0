"""Manifests with a mistake, from the tables in bad_manifests/: each is refused, or answered by a condition, in words.

And through all of them the operator stays the same process, and quiet.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import a_runtime, a_service
from kube import RESOURCES, Kube, condition, eventually
from mlservice.api import crd
from mlservice.api.meta import API_VERSION
from rig import Operator, Project

TABLES = Path(__file__).with_name("bad_manifests")
Case = dict[str, Any]


def table(name: str) -> list[Case]:
    loaded: list[Case] = yaml.safe_load((TABLES / f"{name}.yaml").read_text())
    return loaded


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", table(name), ids=lambda case: case["case"].replace(" ", "-"))


def merged(good: Any, change: Any) -> Any:
    """Maps merge, everything else replaces; a null stays a null."""
    if not isinstance(good, dict) or not isinstance(change, dict):
        return change
    return {**good, **{key: merged(good.get(key), value) for key, value in change.items()}}


def service(case: Case) -> Case:
    good = a_service().manifest
    if "manifest" in case:
        return {"apiVersion": API_VERSION, "kind": "MLService", "metadata": good["metadata"], **case["manifest"]}
    change = {"predictor": case.get("predictor", {}), **case.get("release", {})}
    good["spec"]["releases"] = [merged(good["spec"]["releases"][0], change)]
    return merged(good, {part: case.get(part, {}) for part in ("metadata", "spec")})


def runtime(case: Case) -> Case:
    good = a_runtime(**case.get("server", {}))
    if "manifest" in case:
        return {"apiVersion": API_VERSION, "kind": good["kind"], "metadata": good["metadata"], **case["manifest"]}
    return merged(good, {"spec": case.get("runtime", {})})


def refusal(kube: Kube, manifest: Case) -> str:
    """What the API server answers to `kubectl create`, which validates strictly; empty when it accepts."""
    path = f"{RESOURCES[manifest['kind']].path('default')}?dryRun=All&fieldValidation=Strict"
    status, text = kube.api.request("POST", path, json.dumps(manifest), "application/json")
    return "" if status == 201 else str(json.loads(text)["message"])


def says(text: str, words: list[str]) -> None:
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} is not in: {text}"


def messages(schema: Any) -> set[str]:
    """How each rule in a schema begins its refusal."""
    if isinstance(schema, list):
        return {words for item in schema for words in messages(item)}
    if not isinstance(schema, dict):
        return set()
    rules = schema.get("x-kubernetes-validations", [])
    own = {
        rule["messageExpression"].split('"')[1] if "messageExpression" in rule else rule["message"] for rule in rules
    }
    return own | {words for item in schema.values() for words in messages(item)}


@cases("refused-services")
def test_service_is_refused(kube, case):
    says(refusal(kube, service(case)), case["refused"])


@cases("refused-runtimes")
def test_runtime_is_refused(kube, case):
    says(refusal(kube, runtime(case)), case["refused"])


@pytest.mark.parametrize("kind", ["MLService", "MLServiceRuntime"])
def test_every_rule_refuses_one_of_these(kube, kind):
    refusals = [refusal(kube, service(case)) for case in table("refused-services")]
    refusals += [refusal(kube, runtime(case)) for case in table("refused-runtimes")]
    schema = next(made for made in (make() for make in crd.ALL.values()) if made["spec"]["names"]["kind"] == kind)
    assert [words for words in messages(schema) if not any(words in text for text in refusals)] == []


class Row:
    """All the mistakes that only the operator sees, side by side, each in a namespace of its own."""

    def __init__(self, kube: Kube, operator: Operator) -> None:
        self.operator = operator
        self.pid, self.before = operator.process.pid, len(operator.text())
        eventually("the operator serves its metrics", lambda: "/healthz, /readyz" in operator.text(), 60)
        self.requests_before = self.requests()
        self.projects: dict[str, Project] = {}
        for case in table("accepted"):
            project = self.projects[case["case"]] = Project(kube)
            for obj in [*case.get("also", []), runtime(case), service(case)]:
                project.create(obj)

    def answer(self, case: Case) -> Case:
        """Wait for the condition in which the case must show; return it."""
        project = self.projects[case["case"]]
        if "reason" in case:
            return project.reason(case["reason"])

        def warning() -> Case | None:
            found = condition(project.service(), "FieldsSupported")
            return found if found.get("reason") == case["warning"] else None

        return eventually(f"a warning {case['warning']}", warning)

    def lines(self) -> list[str]:
        """What the operator logged about them, without the time."""
        ours = {project.name for project in self.projects.values()}
        new = self.operator.text()[self.before :].splitlines()
        return [line.split(" ", 2)[2] for line in new if ours & set(re.findall(r"t-[0-9a-f]{8}", line))]

    def requests(self) -> Counter[str]:
        """Requests so far, by verb, resource and code; without the Lease's, and the watches that end and begin."""
        found = re.findall(r"^mlservice_api_requests_total(\{.*\}) (\S+)$", self.operator.get("/metrics"), re.MULTILINE)
        return Counter(
            {labels: int(float(n)) for labels, n in found if "leases" not in labels and "WATCH" not in labels}
        )


@pytest.fixture(scope="module")
def row(kube: Kube, operator: Operator) -> Iterator[Row]:
    found = Row(kube, operator)
    yield found
    for project in found.projects.values():
        project.leave()


@cases("accepted")
def test_service_says_what_is_wrong(row, case):
    says(row.answer(case)["message"], case["says"])


def test_operator_is_the_same_process_and_quiet_beside_all_of_them(row):
    for case in table("accepted"):
        row.answer(case)
    assert (row.operator.process.poll(), row.operator.process.pid) == (None, row.pid)
    assert "Traceback" not in row.operator.text()[row.before :]
    repeated = {line: count for line, count in Counter(row.lines()).items() if count > 1}
    assert not repeated
    assert len(row.lines()) <= 6 * len(row.projects)


def test_what_is_refused_is_tried_again_patiently_and_nothing_else_is_tried_at_all(row):
    time.sleep(3)
    waiting = [case for case in table("accepted") if case.get("reason") in ("PodTemplateInvalid", "NameConflict")]
    made = row.requests() - row.requests_before
    refused = sum(count for labels, count in made.items() if re.search('code="(4(?!04)|5)', labels))
    # A delay that doubles from 5 ms makes 13 attempts in the first 40 s; two children may be refused at each.
    assert len(waiting) <= refused <= 30 * len(waiting), made
    for case in waiting:
        row.projects[case["case"]].delete("MLService", "llama")
        row.projects[case["case"]].gone("MLService", "llama")

    def still() -> bool:
        before = row.requests()
        time.sleep(2)
        return row.requests() == before

    eventually("no request is made", still)
