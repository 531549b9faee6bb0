"""Several releases: all are deployed, one is routed, traffic moves only to a release that serves."""

from builders import a_release, a_service
from kube import eventually
from mlservice.api.meta import LABEL_RELEASE


def routed_to(project, release):
    return project.there("Service", "llama")["spec"]["selector"][LABEL_RELEASE] == release


def test_switch_waits_for_the_successor_and_then_the_old_release_may_go(project):
    project.create(a_service().also(a_release("v2")))
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    project.patch("MLService", "llama", {"spec": {"default": "v2"}})
    eventually("v1 still answers", lambda: "v2 takes over" in project.reason("Ready")["message"])
    assert routed_to(project, "v1")
    project.roll_out("llama-predict-v2")
    eventually("v2 is routed", lambda: routed_to(project, "v2"))
    eventually("status says so", lambda: project.service()["status"]["defaultRelease"] == "v2")
    project.patch("MLService", "llama", {"spec": {"releases": [a_release("v2")]}})
    project.gone("Deployment", "llama-predict-v1")
    project.gone("Service", "llama-predict-v1")


def test_renaming_the_only_release_keeps_the_old_one_until_the_new_one_serves(project):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    project.patch("MLService", "llama", {"spec": {"default": "v2", "releases": [a_release("v2")]}})
    project.there("Deployment", "llama-predict-v2")
    project.reason("Ready")
    assert project.get("Deployment", "llama-predict-v1") and routed_to(project, "v1")
    project.roll_out("llama-predict-v2")
    project.gone("Deployment", "llama-predict-v1")
    assert routed_to(project, "v2")


def test_added_release_touches_no_other(project):
    project.create(a_service())
    before = project.there("Deployment", "llama-predict-v1")["metadata"]["generation"]
    project.patch("MLService", "llama", {"spec": a_service().also(a_release("v2")).manifest["spec"]})
    project.there("Deployment", "llama-predict-v2")
    assert project.there("Deployment", "llama-predict-v1")["metadata"]["generation"] == before
