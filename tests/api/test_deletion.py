"""Deletion is the garbage collector's work, with the operator or without; what comes after takes over what it may."""

import pytest
from builders import a_release, a_service
from kube import condition, eventually
from mlservice.api.meta import LABEL_RELEASE

NAME = "llama-predict-v1"
KINDS = ("MLService", "Deployment", "Service", "ControllerRevision", "Pod")


def light(*more):
    service = a_service()
    service.predictor["model"]["runtime"] = "light"
    for release in more:
        service.also(release)
    return service


@pytest.fixture
def ready(real_project):
    real_project.create(light())
    real_project.reason("Ready", seconds=60)
    return real_project


def all_gone(project):
    def look():
        return not any(project.kube.list(kind, project.name) for kind in KINDS) and not project.get(
            "MLService", "llama"
        )

    eventually("service, children and pods are gone", look, seconds=90)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_children_go_with_their_service(ready, policy):
    ready.delete("MLService", "llama", propagationPolicy=policy)
    all_gone(ready)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_children_go_while_the_operator_is_down(ready, real_operator, policy):
    real_operator.kill()
    try:
        ready.delete("MLService", "llama", propagationPolicy=policy)
        all_gone(ready)
    finally:
        real_operator.start()
    ready.create(light())
    ready.reason("Ready")


def test_service_made_again_after_an_orphaning_deletion_adopts_the_children_as_they_are(ready):
    before = {ref: child["metadata"]["uid"] for ref, child in children(ready).items()}
    pods = {pod["metadata"]["uid"] for pod in ready.kube.list("Pod", ready.name)}
    ready.delete("MLService", "llama", propagationPolicy="Orphan")
    eventually("llama is gone", lambda: ready.get("MLService", "llama") is None)
    service = ready.create(light())
    ready.reason("Ready")
    after = children(ready)
    assert {ref: child["metadata"]["uid"] for ref, child in after.items()} == before
    assert {pod["metadata"]["uid"] for pod in ready.kube.list("Pod", ready.name)} == pods
    for child in after.values():
        assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [service["metadata"]["uid"]]


def children(project):
    kinds = ("Deployment", "Service", "ControllerRevision")
    found = [(kind, child) for kind in kinds for child in project.kube.list(kind, project.name)]
    return {(kind, child["metadata"]["name"]): child for kind, child in found}


def test_adopted_service_keeps_its_traffic_where_it_is_served(ready):
    """What is made again with another default does not move traffic to a release that has no pods yet."""
    ready.delete("MLService", "llama", propagationPolicy="Orphan")
    eventually("llama is gone", lambda: ready.get("MLService", "llama") is None)
    never = a_release("v2", runtime="light", template={"spec": {"nodeSelector": {"no": "where"}}})
    ready.create(light(never).having(default="v2"))
    ready.reason("Ready")
    assert ready.there("Service", "llama")["spec"]["selector"][LABEL_RELEASE] == "v1"
    assert "v2 takes over" in condition(ready.service(), "Ready")["message"]


def test_service_made_again_while_the_old_children_are_there_says_so_and_takes_their_place(project):
    """On a cluster without a garbage collector nothing but the test removes them."""
    project.create(a_service())
    project.roll_out(NAME)
    project.reason("Ready")
    old = children(project)
    project.delete("MLService", "llama")
    eventually("llama is gone", lambda: project.get("MLService", "llama") is None)
    project.create(a_service())
    message = project.reason("NameConflict")["message"]
    assert "of the former MLService llama is being deleted: a new one takes its place by itself" in message
    for kind, name in old:
        project.delete(kind, name)
    project.reason("PredictorNotReady")
    assert not {c["metadata"]["uid"] for c in old.values()} & {c["metadata"]["uid"] for c in children(project).values()}


def test_child_of_another_service_is_not_taken(project):
    """Release `predict-b` of `a` and the service `a-predict-predict-b`... two services may want one name."""
    project.create(a_service("a").named("b"))
    project.there("Service", "a-predict-b")
    project.create(a_service("a-predict-b"))
    message = project.reason("NameConflict", "a-predict-b")["message"]
    assert "Service a-predict-b exists" in message
    assert "belongs to MLService a" in message
    project.delete("MLService", "a")
    for kind, name in children(project):
        if name == "a-predict-b" or (name.startswith("a-predict-b-") and "predict-v1" not in name):
            project.delete(kind, name)
    project.reason("PredictorNotReady", "a-predict-b", seconds=90)
