"""Other managers of the children: what is ours comes back with one write, what is theirs survives, no fight is hot."""

import json
import threading
import time

import pytest
from builders import a_service
from kube import eventually
from mlservice.cluster.resources import CHILDREN

NAME = "llama-predict-v1"
SCALE = "scale"


@pytest.fixture
def serving(project):
    project.create(a_service().with_replicas(1, 3))
    project.roll_out(NAME)
    project.reason("Ready")
    return project


def template(project):
    return project.there("Deployment", NAME)["spec"]["template"]


def test_field_that_is_ours_is_restored_with_one_write(serving, operator):
    before = operator.requests("PATCH", "services")
    serving.patch("Service", "llama", {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 1}]}})
    eventually("it is back", lambda: serving.there("Service", "llama")["spec"]["ports"][0]["targetPort"] == "http")
    serving.create(a_service("marker"))
    serving.reason("PredictorNotReady", "marker")
    assert operator.requests("PATCH", "services") - before == 1 + 2


def managers(obj):
    return {(entry["manager"], entry["operation"]) for entry in obj["metadata"]["managedFields"]}


def ports(project):
    return [port["port"] for port in project.there("Service", "llama")["spec"]["ports"]]


def test_port_number_that_somebody_edits_is_set_right(serving):
    """A list is merged by the number: another one of the same name beside ours would be invalid, and stay."""
    serving.patch("Service", "llama", {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 1}]}})
    eventually(
        "it is 80 alone", lambda: [p["port"] for p in serving.there("Service", "llama")["spec"]["ports"]] == [80]
    )
    container = {"name": "user-container", "image": "a:1", "ports": [{"name": "http", "containerPort": 9999}]}
    serving.patch("Deployment", NAME, {"spec": {"template": {"spec": {"containers": [container]}}}})

    def restored():
        (container,) = template(serving)["spec"]["containers"]
        return [port["containerPort"] for port in container["ports"]] == [8000]

    eventually("it is 8000 alone", restored)
    serving.roll_out(NAME)
    serving.reason("Ready")
    for kind, name in (("Service", "llama"), ("Deployment", NAME)):
        repaired(serving, kind, name)


def repaired(project, kind, name):
    repairing = ("mlservice-operator-repair", "Update")
    eventually("nobody repairs", lambda: repairing not in managers(project.there(kind, name)))
    assert ("mlservice-operator", "Apply") in managers(project.there(kind, name))


@pytest.mark.parametrize(("kind", "name"), [("Service", "llama"), ("Deployment", NAME)])
def test_repair_that_was_cut_in_the_middle_is_brought_to_its_end(serving, kind, name):
    """By the end of the operator, or by somebody else's write at the same moment."""
    path = f"{CHILDREN[kind].path(serving.name, name)}?fieldManager=mlservice-operator-repair"
    ours = serving.there(kind, name)["spec"]
    changed = json.dumps({"spec": ours | {"sessionAffinity": "ClientIP", "minReadySeconds": 7}})
    status, text = serving.kube.api.request("PATCH", path, changed, "application/merge-patch+json")
    assert status == 200, text
    repaired(serving, kind, name)
    serving.reason("Ready")


def test_label_that_is_ours_is_restored(serving):
    serving.patch("Deployment", NAME, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})

    def restored():
        labels = serving.there("Deployment", NAME)["metadata"]["labels"]
        return labels["app.kubernetes.io/managed-by"] == "mlservice-operator"

    eventually("it is back", restored)
    time.sleep(1)
    serving.reason("Ready")  # and known: without the label no watch shows it


def test_what_is_not_ours_survives_a_change_of_ours(serving):
    """kubectl rollout restart, labels and annotations of others, a sidecar that somebody adds to the Deployment."""
    sidecar = {"name": "proxy", "image": "proxy:1"}
    containers = [*template(serving)["spec"]["containers"], sidecar]
    annotations = {
        "kubectl.kubernetes.io/restartedAt": "2026-01-01T12:00:00Z",
        "sidecar.example.com/status": "injected",
    }
    theirs = {"labels": {"team": "blue"}, "annotations": {"note": "x"}}
    patch = {"metadata": theirs, "spec": {"template": {"metadata": {"annotations": annotations}}}}
    serving.patch("Deployment", NAME, patch)
    serving.patch("Deployment", NAME, {"spec": {"template": {"spec": {"containers": containers}}}})
    serving.patch("Service", "llama", {"metadata": theirs, "spec": {"sessionAffinity": "ClientIP"}})
    spec = a_service().with_replicas(1, 3).with_parameters(MODEL_NAME="new").manifest["spec"]
    serving.patch("MLService", "llama", {"spec": spec})
    eventually("our change is there", lambda: "--served-model-name=new" in args(serving))
    live = serving.there("Deployment", NAME)
    assert template(serving)["metadata"]["annotations"].items() >= annotations.items()
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["user-container", "proxy"]
    for kind, name in (("Deployment", NAME), ("Service", "llama")):
        metadata = serving.there(kind, name)["metadata"]
        assert (metadata["labels"]["team"], metadata["annotations"]["note"]) == ("blue", "x")
    assert serving.there("Service", "llama")["spec"]["sessionAffinity"] == "ClientIP"


def args(project):
    return template(project)["spec"]["containers"][0]["args"]


def test_rollout_restart_is_left_to_go_on(serving):
    annotation = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T12:00:00Z"}
    serving.patch("Deployment", NAME, {"spec": {"template": {"metadata": {"annotations": annotation}}}})
    before = serving.there("Deployment", NAME)["metadata"]["resourceVersion"]
    serving.create(a_service("marker"))
    serving.reason("PredictorNotReady", "marker")
    assert serving.there("Deployment", NAME)["metadata"]["resourceVersion"] == before


def count(project):
    return project.there("Deployment", NAME)["spec"]["replicas"]


def test_autoscaler_scales_within_the_bounds_and_no_further(serving, operator):
    for wanted in (2, 3, 1, 2):
        serving.patch("Deployment", NAME, {"spec": {"replicas": wanted}}, SCALE)
        serving.roll_out(NAME)
        ready = eventually("the status counts them", lambda w=wanted: counted(serving) == (w, w))
        assert ready
        assert count(serving) == wanted
    serving.patch("Deployment", NAME, {"spec": {"replicas": 9}}, SCALE)
    eventually("no more than maxReplicas", lambda: count(serving) == 3)


def counted(project):
    (release,) = project.service()["status"]["releases"]
    return release["readyReplicas"], release["totalReplicas"]


def test_minimum_is_what_runs_until_somebody_else_scales(serving):
    serving.patch("MLService", "llama", {"spec": a_service().with_replicas(3).manifest["spec"]})
    eventually("three", lambda: count(serving) == 3)
    serving.patch("MLService", "llama", {"spec": a_service().with_replicas(1).manifest["spec"]})
    eventually("one again", lambda: count(serving) == 1)
    serving.patch("Deployment", NAME, {"spec": {"replicas": 2}}, SCALE)
    serving.patch("MLService", "llama", {"spec": a_service().with_replicas(1, 5).manifest["spec"]})
    serving.create(a_service("marker"))
    serving.reason("PredictorNotReady", "marker")
    assert count(serving) == 2


class Rival:
    """A controller that sets a field its own way whenever it is not, as fast as it can."""

    def __init__(self, wrong, change):
        self.wrong, self.change, self.stopped = wrong, change, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            if not self.wrong():
                self.change()
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def told(project):
    (release,) = project.service()["status"]["releases"]
    return release["message"] if release.get("reason") == "FieldsContested" else None


def test_fight_over_a_field_is_told_and_is_no_hot_loop(serving, operator):
    def wrong():
        return args(serving) == ["theirs"]

    def change():
        containers = [{**template(serving)["spec"]["containers"][0], "args": ["theirs"]}]
        serving.patch("Deployment", NAME, {"spec": {"template": {"spec": {"containers": containers}}}})

    before = operator.requests("PATCH", "deployments")
    with Rival(wrong, change):
        message = eventually("it is told", lambda: told(serving))
        assert f"of Deployment {NAME}" in message
        assert "spec.template.spec.containers[user-container].args again and again" in message
        time.sleep(2)
        assert operator.requests("PATCH", "deployments") - before <= 7
    assert eventually("it is set right at last", lambda: args(serving) != ["theirs"], seconds=60)
    eventually("and the status too", lambda: told(serving) is None)


def test_autoscaler_with_other_bounds_is_told_and_is_no_hot_loop(serving, operator):
    before = operator.requests("PATCH", "deployments")
    with Rival(
        lambda: count(serving) == 9, lambda: serving.patch("Deployment", NAME, {"spec": {"replicas": 9}}, SCALE)
    ):
        message = eventually("it is told", lambda: told(serving))
        assert "give the autoscaler the MLService's bounds" in message
        time.sleep(2)
        assert operator.requests("PATCH", "deployments") - before <= 7
    eventually("it is set right at last", lambda: count(serving) <= 3, seconds=60)


def test_child_that_somebody_deletes_again_and_again_is_told_and_is_no_hot_loop(serving, operator):
    before = operator.requests("PATCH", "services")
    with Rival(lambda: serving.get("Service", NAME) is None, lambda: serving.delete("Service", NAME)):
        assert f"Somebody deletes Service {NAME} again and again" in eventually("told", lambda: told(serving))
        time.sleep(2)
        assert operator.requests("PATCH", "services") - before <= 7
    eventually("it is back at last", lambda: serving.get("Service", NAME), seconds=60)
