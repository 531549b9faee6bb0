"""With a Gateway configured, HTTPRoutes carry the host names; the tests play the Gateway."""

import pytest
from builders import a_runtime, a_service
from kube import Kube, eventually
from local_cluster.apiserver import ApiLevel
from rig import Operator, Project, install_crds, install_http_routes


@pytest.fixture(scope="module")
def gateway_project(tmp_path_factory):
    with ApiLevel() as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        install_http_routes(kube)
        settings = {"MLSERVICE_GATEWAY": "infra/web", "MLSERVICE_URL": "http://{name}.{namespace}.localhost"}
        operator = Operator(kube, tmp_path_factory.mktemp("operator") / "log", **settings)
        project = Project(kube)
        project.create(a_runtime())
        yield project
        operator.stop()


def test_ready_waits_for_the_gateway(gateway_project):
    project = gateway_project
    project.create(a_service())
    route = eventually("the route", lambda: project.get("HTTPRoute", "llama"), seconds=40)
    assert route["spec"]["hostnames"] == [f"llama.{project.name}.localhost"]
    project.roll_out("llama-predict-v1")
    assert "Gateway infra/web" in project.reason("RouteNotReady")["message"]
    condition = {"status": "True", "reason": "Ok", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    parent = {
        "parentRef": {"name": "web", "namespace": "infra"},
        "controllerName": "example.com/gateway",
        "conditions": [condition | {"type": "Accepted"}, condition | {"type": "ResolvedRefs"}],
    }
    project.patch("HTTPRoute", "llama", {"status": {"parents": [parent]}}, "status")
    project.reason("Ready")
    assert project.service()["status"]["address"]["url"] == f"http://llama.{project.name}.localhost"
