"""Each leaf of a spec set wrong: consistent children or a named reason; set right again it heals, like one made new."""

import asyncio
import json
from typing import Any

import pytest
from builders import a_claim, a_service
from faults.mutations import Mutation, a_full_runtime, a_full_spec, mutations
from faults.next_plan import against_the_plan
from faults.settle import collect, settle, state
from kube import Object, Refused, condition
from mlservice.api.meta import ANNOTATION_INPUTS, LABEL_REVISION
from mlservice.api.reasons import Reason
from rig import Project

BATCH = 10
SHORT = 1


def batches(file: str) -> list[list[Mutation]]:
    found = mutations(file)
    return [found[at : at + BATCH] for at in range(0, len(found), BATCH)]


def cases(file: str) -> list[Any]:
    """All batches; the first ones also in the short version."""
    return [
        pytest.param(batch, id=str(number), marks=[] if number < SHORT else pytest.mark.long)
        for number, batch in enumerate(batches(file))
    ]


@pytest.fixture
def project(kube):
    project = Project(kube)
    project.create(a_full_runtime("vllm-openai"))
    claim = a_claim("weights", "ReadWriteMany")
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    project.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    yield project
    for service in kube.list("MLService", project.name):  # 3,000 by the end, if they stayed
        project.delete("MLService", service["metadata"]["name"])
    collect(project, "Deployment", "Service", "ControllerRevision")


@pytest.mark.parametrize("batch", cases("mlservices.yaml"))
def test_service(proxy, operator, project, batch):
    """`m-N` is changed from a good spec and back, `f-N` is made with the changed one."""
    for n in range(len(batch)):
        create(project, f"m-{n:03}", a_full_spec())
    settle(project, proxy, seconds=180)
    good = looks(project)
    accepted = {}
    for n, mutation in enumerate(batch):
        changed = mutation.of(a_full_spec())
        answers = [attempt(replace, project, f"m-{n:03}", changed), attempt(create, project, f"f-{n:03}", changed)]
        assert [bool(a) for a in answers] in ([True, True], [False, False]), f"{mutation}: {answers}"
        assert not answers[0] or "spec" in answers[0], f"{mutation} is refused without saying where: {answers[0]}"
        if not answers[0]:
            accepted[n] = mutation
    settle(project, proxy, seconds=180)
    consistent(project, operator)
    found = looks(project)
    for n, mutation in accepted.items():
        if "revision" in mutation.path:  # names one of an object's own past: a new object has none
            continue
        mine, fresh = found[f"m-{n:03}"], found[f"f-{n:03}"]
        assert mine["reasons"] == fresh["reasons"], str(mutation)
        if not any(mine["reasons"].values()):
            assert mine == fresh, str(mutation)
    for n in accepted:
        replace(project, f"m-{n:03}", a_full_spec())
    settle(project, proxy, seconds=180)
    consistent(project, operator)
    healed = looks(project)
    for n, mutation in accepted.items():
        assert healed[f"m-{n:03}"] == good[f"m-{n:03}"], f"{mutation}: not healed"


@pytest.mark.parametrize("batch", cases("mlserviceruntimes.yaml"))
def test_runtime(proxy, operator, project, batch):
    """Each runtime is made wrong with a service of it, then set right."""
    create(project, "m-good", plain("vllm-openai"))
    accepted = {}
    for n, mutation in enumerate(batch):
        name, right = f"r-{n:03}", a_full_runtime(f"r-{n:03}")
        if refusal := attempt(project.create, right | {"spec": mutation.of(right["spec"])}):
            assert "spec" in refusal, f"{mutation} is refused without saying where: {refusal}"
            continue
        create(project, f"m-{n:03}", plain(name))
        accepted[n] = mutation
    settle(project, proxy, seconds=180)
    consistent(project, operator)
    for n in accepted:
        right = a_full_runtime(f"r-{n:03}")["spec"]
        patch(project, "mlserviceruntimes", f"r-{n:03}", right)
        update = {"metadata": {"annotations": {"mlservice.tensorstack.dev/update": "1"}}}
        project.patch("MLService", f"m-{n:03}", update)
    settle(project, proxy, seconds=180)
    consistent(project, operator)
    healed = looks(project)
    for n, mutation in accepted.items():
        assert healed[f"m-{n:03}"] == healed["m-good"], f"{mutation}: not healed"


def plain(runtime: str) -> Object:
    service = a_service()
    service.predictor["model"]["runtime"] = runtime
    return service.manifest["spec"]


def create(project: Project, name: str, spec: Object) -> None:
    project.create({**a_service(name).manifest, "spec": spec})


def replace(project: Project, name: str, spec: Object) -> None:
    patch(project, "mlservices", name, spec)


def patch(project: Project, plural: str, name: str, spec: Object) -> None:
    path = f"/apis/tensorstack.dev/v1beta1/namespaces/{project.name}/{plural}/{name}"
    body = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
    status, text = project.kube.api.request("PATCH", path, body, "application/json-patch+json")
    if status >= 300:
        raise Refused(json.loads(text)["message"])


def attempt(change: Any, *arguments: Any) -> str:
    """What the API server says against it; empty when it is done."""
    try:
        change(*arguments)
    except Refused as refused:
        return str(refused)
    return ""


def consistent(project: Project, operator: Any) -> None:
    """Nothing is left to do, whatever is wrong has a reason, and the operator has met nothing it did not foresee."""
    left = asyncio.run(against_the_plan(project))
    assert not left, "\n".join(left)
    assert operator.process.poll() is None
    assert "this is a bug" not in operator.text(), operator.text()[-3000:]
    for service in project.kube.list("MLService", project.name):
        ready = condition(service, "Ready")
        assert ready["reason"] in set(Reason), ready
        assert ready["status"] == "True" or ready["message"], ready


def looks(project: Project) -> dict[str, Object]:
    """What users rely on of each service, without its name and the numbers of its revisions."""
    found = state(project)
    services = {ref.split()[1]: obj for ref, obj in found.items() if ref.startswith("MLService ")}
    return {name: _look(name, service, found) for name, service in services.items()}


def _look(name: str, service: Object, found: dict[str, Object]) -> Object:
    children = {
        ref: obj["spec"]
        for ref, obj in found.items()
        if ref.split()[0] in ("Deployment", "Service") and ref.split()[1].startswith(name)
    }
    reasons = {release["name"]: release.get("reason") for release in service["status"]["releases"]}
    conditions = {c["type"]: (c["status"], c["reason"]) for c in service["status"]["conditions"]}
    text = json.dumps({"children": children, "reasons": reasons, "conditions": conditions}, sort_keys=True)
    look: Object = json.loads(text.replace(name, "NAME"))
    for child in look["children"].values():
        child.get("template", {}).get("metadata", {}).get("labels", {}).pop(LABEL_REVISION, None)
        child.get("template", {}).get("metadata", {}).get("annotations", {}).pop(ANNOTATION_INPUTS, None)
    return look
