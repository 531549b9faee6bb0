"""Several releases: all are deployed, one is routed, traffic moves only to a release that serves."""

import pytest
from builders import a_release, a_service
from kube import condition, eventually
from mlservice.api.meta import LABEL_RELEASE

BOTH = a_service().also(a_release("v2")).manifest["spec"]


def routed_to(project, release):
    return project.there("Service", "llama")["spec"]["selector"][LABEL_RELEASE] == release


def change(project, **spec):
    project.patch("MLService", "llama", {"spec": spec})


def seen(project):
    """The operator has looked at the newest spec."""

    def look():
        service = project.service()
        return service["status"].get("observedGeneration") == service["metadata"]["generation"] and service

    return eventually("the newest spec was seen", look)


def children_of(project, release):
    """resourceVersions of one release's children."""
    return {k: v for k, v in project.versions().items() if f"llama-predict-{release}" in k}


@pytest.fixture
def serving(project):
    """v1 serves and is routed."""
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    return project


@pytest.fixture
def two(serving):
    """v1 serves and is routed; v2 is there and not ready."""
    change(serving, **BOTH)
    serving.there("Service", "llama-predict-v2")
    seen(serving)
    return serving


def test_switch_waits_for_the_successor_and_then_the_old_release_may_go(two):
    change(two, default="v2")
    eventually("v1 still answers", lambda: "v2 takes over" in two.reason("Ready")["message"])
    assert routed_to(two, "v1")
    two.roll_out("llama-predict-v2")
    eventually("v2 is routed", lambda: routed_to(two, "v2"))
    eventually("status says so", lambda: two.service()["status"]["defaultRelease"] == "v2")
    change(two, releases=[a_release("v2")])
    two.gone("Deployment", "llama-predict-v1")
    two.gone("Service", "llama-predict-v1")
    eventually("its revisions too", lambda: not children_of(two, "v1"))


def test_renaming_the_only_release_keeps_the_old_one_until_the_new_one_serves(serving):
    change(serving, default="v2", releases=[a_release("v2")])
    serving.there("Deployment", "llama-predict-v2")
    serving.reason("Ready")
    assert serving.get("Deployment", "llama-predict-v1") and routed_to(serving, "v1")
    assert [r["name"] for r in seen(serving)["status"]["releases"]] == ["v2", "v1"]
    serving.roll_out("llama-predict-v2")
    serving.gone("Deployment", "llama-predict-v1")
    assert routed_to(serving, "v2")


def test_adding_renaming_and_removing_releases_touches_no_other(serving):
    before = children_of(serving, "v1"), serving.versions()["Service llama"]
    change(serving, **BOTH)
    serving.roll_out("llama-predict-v2")
    eventually("v2 is ready", lambda: condition(seen(serving), "ReleasesReady")["status"] == "True")
    change(serving, **a_service().also(a_release("v3")).manifest["spec"])
    serving.there("Deployment", "llama-predict-v3")
    serving.gone("Deployment", "llama-predict-v2")
    change(serving, **a_service().manifest["spec"])
    serving.gone("Deployment", "llama-predict-v3")
    seen(serving)
    assert (children_of(serving, "v1"), serving.versions()["Service llama"]) == before


def test_switching_touches_nothing_but_the_services_own_service(two):
    two.roll_out("llama-predict-v2")
    eventually("v2 is ready", lambda: condition(seen(two), "ReleasesReady")["status"] == "True")
    before = two.versions()
    change(two, default="v2")
    eventually("v2 is routed", lambda: seen(two)["status"]["defaultRelease"] == "v2")
    after = two.versions()
    assert [key for key in after if after[key] != before[key]] == ["Service llama"]


def test_release_out_of_the_route_keeps_its_own_url(two):
    two.roll_out("llama-predict-v2")
    eventually("v2 is ready", lambda: condition(seen(two), "ReleasesReady")["status"] == "True")
    v1, v2 = two.service()["status"]["releases"]
    assert (v1["trafficPercent"], v2["trafficPercent"], v2["ready"]) == (100, 0, True)
    assert v2["url"] == f"http://llama-predict-v2.{two.name}.svc.cluster.local"
    assert two.there("Service", "llama-predict-v2")["spec"]["selector"][LABEL_RELEASE] == "v2"


def test_release_that_never_starts_never_gets_the_route_however_often_it_is_asked_for(two):
    before = two.versions()["Service llama"]
    for _ in range(10):
        change(two, default="v2")
        change(two, default="v1")
    change(two, default="v2")
    eventually("the newest spec was seen", lambda: "v2 takes over" in condition(seen(two), "Ready")["message"])
    assert two.service()["status"]["defaultRelease"] == "v1"
    assert two.versions()["Service llama"] == before


def test_quick_switches_between_releases_that_serve_end_where_the_last_one_says(two):
    two.roll_out("llama-predict-v2")
    for _ in range(10):
        change(two, default="v2")
        change(two, default="v1")
    change(two, default="v2")
    eventually("v2 is routed", lambda: seen(two)["status"]["defaultRelease"] == "v2")
    assert routed_to(two, "v2")


def test_deleted_service_comes_back_for_the_release_that_serves_not_for_the_one_that_is_asked_for(two):
    change(two, default="v2")
    seen(two)
    two.delete("Service", "llama")
    eventually("it is back", lambda: two.get("Service", "llama"))
    assert routed_to(two, "v1")


def test_removed_release_that_lost_its_pods_is_not_waited_for(serving):
    change(serving, default="v2", releases=[a_release("v2")])
    seen(serving)
    serving.patch("Deployment", "llama-predict-v1", {"spec": {"replicas": 0}}, "scale")
    serving.roll_out("llama-predict-v1", ready=0)
    serving.gone("Deployment", "llama-predict-v1")
    assert routed_to(serving, "v2")


def test_release_renamed_in_a_paused_service_starts_alone(serving):
    change(serving, default="v2", releases=[a_release("v2")], runMode="paused")
    serving.gone("Deployment", "llama-predict-v1")
    assert routed_to(serving, "v2")
    change(serving, runMode="running")
    eventually("v2 starts", lambda: serving.there("Deployment", "llama-predict-v2")["spec"]["replicas"] == 1)
    serving.roll_out("llama-predict-v2")
    serving.reason("Ready")
