"""From a created MLService to Ready, and back."""

from builders import a_service
from kube import condition, eventually


def test_created_service_gets_its_children_and_its_url(project):
    project.create(a_service())
    deployment = project.there("Deployment", "llama-predict-v1")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--model=/var/lib/t9k/model", "--served-model-name=llama"]
    for name in ("llama", "llama-predict-v1"):
        (port,) = project.there("Service", name)["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (80, "http")
    project.reason("PredictorNotReady")
    assert project.service()["status"]["address"]["url"] == f"http://llama.{project.name}.svc.cluster.local"


def test_ready_follows_the_deployment(project):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    assert project.reason("Ready")["status"] == "True"
    (release,) = project.service()["status"]["releases"]
    assert release == {
        "name": "v1",
        "ready": True,
        "trafficPercent": 100,
        "url": f"http://llama-predict-v1.{project.name}.svc.cluster.local",
        "readyReplicas": 1,
        "totalReplicas": 1,
        "revision": 1,
        "readyRevision": 1,
    }
    project.roll_out("llama-predict-v1", ready=0)
    assert project.reason("PredictorNotReady")["status"] == "False"


def test_min_replicas_are_set_by_scale_and_another_manager_may_raise_them(project):
    project.create(a_service().with_replicas(2))
    eventually("two replicas", lambda: project.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 2)
    project.patch("Deployment", "llama-predict-v1", {"spec": {"replicas": 3}}, "scale")
    project.patch(
        "MLService",
        "llama",
        {"spec": {"releases": [a_service().with_parameters(X="y").manifest["spec"]["releases"][0]]}},
    )
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    assert project.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 3


def test_deleted_child_comes_back(project):
    project.create(a_service())
    for kind, name in (("Deployment", "llama-predict-v1"), ("Service", "llama")):
        old = project.there(kind, name)["metadata"]["uid"]
        project.delete(kind, name)
        eventually(
            f"a new {kind}",
            lambda k=kind, n=name, u=old: (project.get(k, n) or {"metadata": {"uid": u}})["metadata"]["uid"] != u,
        )


def test_foreign_edit_of_our_field_is_undone_and_of_others_survives(project):
    project.create(a_service())
    project.there("Service", "llama")
    patch = {
        "metadata": {"labels": {"team": "blue"}},
        "spec": {"selector": {"stolen": "yes"}, "sessionAffinity": "ClientIP"},
    }
    project.patch("Service", "llama", {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 1}]}} | patch)
    eventually(
        "our port is back", lambda: project.there("Service", "llama")["spec"]["ports"][0]["targetPort"] == "http"
    )
    live = project.there("Service", "llama")
    assert live["metadata"]["labels"]["team"] == "blue"
    assert live["spec"]["sessionAffinity"] == "ClientIP"


def test_nothing_is_written_at_rest(project, kube):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    before = [project.there(k, n)["metadata"]["resourceVersion"] for k, n in CHILDREN_OF_LLAMA]
    project.patch("MLService", "llama", {"metadata": {"labels": {"a": "b"}}})
    project.reason("Ready")
    after = [project.there(k, n)["metadata"]["resourceVersion"] for k, n in CHILDREN_OF_LLAMA]
    assert before == after


CHILDREN_OF_LLAMA = [("Deployment", "llama-predict-v1"), ("Service", "llama"), ("Service", "llama-predict-v1")]


def test_events_tell_the_story(project, kube):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")

    def reasons() -> bool:
        found = kube.api.get(f"/apis/events.k8s.io/v1/namespaces/{project.name}/events")
        return {e["reason"] for e in found["items"]} >= {"Created", "Ready"}

    eventually("Events Created and Ready", reasons)


def test_conditions_are_for_kubectl_wait_and_kstatus(project):
    project.create(a_service())
    project.reason("PredictorNotReady")
    service = project.service()
    assert condition(service, "Reconciling")["status"] == "True"
    assert condition(service, "Paused")["status"] == "False"
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    service = project.service()
    assert condition(service, "Reconciling") == {}
    assert service["status"]["observedGeneration"] == service["metadata"]["generation"]


def test_objects_larger_than_any_buffer_are_seen(project):
    """A watch sends each object as one line; here it has half a megabyte."""
    service = a_service()
    service.predictor["template"] = {"metadata": {"annotations": {"note": "x" * 200_000}}}
    service.manifest["metadata"]["annotations"] = {"note": "y" * 200_000}
    project.create(service)
    deployment = project.there("Deployment", "llama-predict-v1")
    project.patch("Deployment", "llama-predict-v1", {"metadata": {"annotations": {"touched": "z" * 1000}}})
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    assert len(deployment["spec"]["template"]["metadata"]["annotations"]["note"]) == 200_000
