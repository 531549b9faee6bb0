"""The process: it starts, dies, comes back, stands by, and says what is wrong."""

import json
import os
import subprocess
import sys
import time

import pytest
from builders import a_runtime, a_service, a_world, planned
from kube import Kube, condition, eventually
from local_cluster.apiserver import ApiLevel
from mlservice.api.meta import LABEL_REVISION, MANAGER
from mlservice.cluster.resources import DEPLOYMENT
from rig import Operator, Project, install_crds


@pytest.fixture(scope="module")
def own_kube():
    """A server of their own: these operators would compete with the session's."""
    with ApiLevel() as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        yield kube


@pytest.fixture
def start(tmp_path):
    """Starts operators; those that a failed test leaves behind are ended."""
    started = []

    def start(kube: Kube, name: str = "operator") -> Operator:
        started.append(Operator(kube, tmp_path / name))
        return started[-1]

    yield start
    for operator in started:
        operator.process.kill()
        operator.process.wait()


@pytest.fixture
def own_project(own_kube):
    project = Project(own_kube)
    project.create(a_runtime())
    return project


def test_killed_operator_comes_back_and_writes_nothing_that_is_there(own_kube, own_project, start):
    operator = start(own_kube)
    own_project.create(a_service())
    own_project.roll_out("llama-predict-v1")
    own_project.reason("Ready")
    operator.kill()
    before = snapshot(own_project)
    operator.start()
    own_project.create(a_service("second"))
    own_project.reason("PredictorNotReady", "second")
    assert snapshot(own_project) == before
    operator.stop()


def snapshot(project: Project) -> list[str]:
    names = [("MLService", "llama"), ("Deployment", "llama-predict-v1"), ("Service", "llama")]
    return [project.there(kind, name)["metadata"]["resourceVersion"] for kind, name in names]


def test_deployment_of_an_operator_without_revisions_is_adopted_as_it_runs(own_kube, own_project, start):
    operator = start(own_kube)
    own_project.create(a_service())
    own_project.roll_out("llama-predict-v1")
    own_project.reason("Ready")
    operator.kill()
    as_an_older_operator_left_it(own_kube, own_project)
    before = own_project.there("Deployment", "llama-predict-v1")["spec"]
    own_project.patch("MLServiceRuntime", "vllm-openai", {"spec": a_runtime(image="vllm/vllm-openai:v0.34.0")["spec"]})
    operator.start()
    eventually("the update is announced", lambda: announced(own_project))
    (adopted,) = own_project.kube.list("ControllerRevision", own_project.name)
    assert "dnsPolicy" not in adopted["data"]["template"]["spec"], "only what we own is taken over"
    assert own_project.there("Deployment", "llama-predict-v1")["spec"] == before
    operator.stop()


def as_an_older_operator_left_it(kube: Kube, project: Project) -> None:
    """The Deployment without our label and hash, applied under our name; no revision; no word of them in the status."""
    (revision,) = kube.list("ControllerRevision", project.name)
    project.delete("ControllerRevision", revision["metadata"]["name"])
    deployment = next(c for c in planned(a_world()).children if c["kind"] == "Deployment")
    live = project.there("Deployment", "llama-predict-v1")
    del deployment["spec"]["template"]["metadata"]["labels"][LABEL_REVISION]
    metadata = {**live["metadata"], "annotations": {}}
    for unwanted in ("managedFields", "resourceVersion", "generation", "creationTimestamp"):
        del metadata[unwanted]
    path = f"{DEPLOYMENT.path(project.name, 'llama-predict-v1')}?fieldManager={MANAGER}&force=true"
    body = json.dumps({**deployment, "metadata": metadata})
    status, text = kube.api.request("PATCH", path, body, "application/apply-patch+yaml")
    assert status == 200, text
    project.roll_out("llama-predict-v1")
    project.patch("MLService", "llama", {"status": None}, "status")


def announced(project: Project) -> bool:
    return condition(project.service(), "UpdateAvailable").get("status") == "True"


def test_what_was_deleted_while_it_was_down_is_not_made_again(own_kube, own_project, start):
    operator = start(own_kube)
    own_project.create(a_service())
    own_project.there("Deployment", "llama-predict-v1")
    operator.kill()
    own_project.delete("MLService", "llama")
    own_project.delete("Deployment", "llama-predict-v1")
    operator.start()
    own_project.create(a_service("second"))
    own_project.reason("PredictorNotReady", "second")
    assert own_project.get("Deployment", "llama-predict-v1") is None
    operator.stop()


def test_it_ends_well_in_the_middle_of_its_start_and_at_once_after_it(own_kube, own_project, start):
    operator = start(own_kube)
    for delay in (0, 0.02):
        operator.led()
        time.sleep(delay)
        operator.stop()
        operator.start()
    operator.led()
    time.sleep(1)
    stopped = time.monotonic()
    operator.stop()
    assert time.monotonic() - stopped < 4, "kopf waits five seconds for what does not end by itself"


def test_standby_is_ready_and_takes_over_at_once_when_the_leader_ends(own_kube, own_project, start):
    first = start(own_kube, "first")
    eventually("the first leads", lambda: "Leading" in first.text())
    second = start(own_kube, "second")
    eventually("the second is up", lambda: "campaigning" in second.text())
    assert second.get("/readyz") == second.get("/healthz") == "ok\n"
    assert "Leading" not in second.text()
    first.stop()
    own_project.create(a_service())
    own_project.there("Deployment", "llama-predict-v1")
    assert "mlservice_leader 1.0" in second.get("/metrics")
    second.stop()


def test_operator_started_before_the_crds_waits_for_them(start):
    with ApiLevel() as level:
        kube = Kube(level.kubeconfig)
        operator = start(kube)
        eventually("it says so", lambda: "apply crds/ first" in operator.text())
        install_crds(kube)
        project = Project(kube)
        project.create(a_runtime())
        project.create(a_service())
        project.reason("PredictorNotReady")
        operator.stop()


def test_wrong_setting_and_missing_cluster_are_told_in_one_line(tmp_path):
    for environment, word in (({"MLSERVICE_URL": "nonsense"}, "MLSERVICE_URL must look like"), ({}, "KUBECONFIG")):
        settings = {"KUBECONFIG": str(tmp_path / "none"), "MLSERVICE_HTTP_PORT": "0", **environment}
        result = subprocess.run(
            [sys.executable, "-m", "mlservice"], env=os.environ | settings, capture_output=True, text=True, timeout=30
        )
        assert result.returncode == 2
        assert word in result.stderr
        assert "Traceback" not in result.stderr
