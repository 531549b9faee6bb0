"""The operator under exactly the roles that it is shipped with, and under one rule less."""

from pathlib import Path

import pytest
import yaml
from builders import a_release, a_runtime, a_service
from kube import Kube, condition, eventually
from local_cluster.apiserver import ApiLevel
from rig import Operator, Project, install_crds

BASE = Path(__file__).parents[2] / "deploy" / "base"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "/api/v1/namespaces/mlservice-system/serviceaccounts/mlservice-operator"
PLACES = {
    "Namespace": "/api/v1/namespaces/{name}",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ClusterRole": ROLES + "/clusterroles/{name}",
    "ClusterRoleBinding": ROLES + "/clusterrolebindings/{name}",
    "Role": ROLES + "/namespaces/{namespace}/roles/{name}",
    "RoleBinding": ROLES + "/namespaces/{namespace}/rolebindings/{name}",
}


def manifests(*files):
    return [document for file in files for document in yaml.safe_load_all((BASE / file).read_text())]


def apply(kube, manifest):
    kube.api.apply(PLACES[manifest["kind"]].format(**{"namespace": "", **manifest["metadata"]}), manifest)


def as_service_account(kube: Kube, kubeconfig: Path) -> str:
    """Write a kubeconfig of the operator's ServiceAccount; returns its path."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.api.create(f"{ACCOUNT}/token", request)["status"]["token"]
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(config))
    return str(kubeconfig)


@pytest.fixture
def own_kube():
    with ApiLevel() as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        for manifest in manifests("namespace.yaml", "service-account.yaml", "cluster-role.yaml", "lease-role.yaml"):
            apply(kube, manifest)
        yield kube


@pytest.fixture
def start(own_kube, tmp_path):
    """Starts the operator as its ServiceAccount, and makes a namespace for it."""
    started = []

    def start():
        kubeconfig = as_service_account(own_kube, tmp_path / "kubeconfig")
        settings = {"KUBECONFIG": kubeconfig, "MLSERVICE_LEASE_NAMESPACE": "mlservice-system"}
        operator = Operator(own_kube, tmp_path / "log", **settings)
        started.append(operator)
        project = Project(own_kube)
        project.create(a_runtime())
        return operator, project

    yield start
    for operator in started:
        operator.process.kill()
        operator.process.wait()


def test_shipped_roles_are_enough_for_all_that_it_does(start):
    operator, project = start()
    project.create(a_service().with_replicas(2))
    project.reason("PredictorNotReady", seconds=90)
    eventually("it is scaled", lambda: project.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 2)
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    project.patch("MLService", "llama", {"spec": a_service().also(a_release("v2")).manifest["spec"]})
    project.there("Deployment", "llama-predict-v2")
    project.patch("MLService", "llama", {"spec": {"releases": [a_release()]}})
    project.gone("Deployment", "llama-predict-v2")
    project.patch("Service", "llama", {"metadata": {"ownerReferences": None}})
    eventually("it is adopted", lambda: project.there("Service", "llama")["metadata"].get("ownerReferences"))
    eventually("both Events", lambda: {e["reason"] for e in project.events()} >= {"Created", "Ready"})
    assert 'code="403"' not in operator.get("/metrics")
    operator.stop()


def test_missing_permission_is_told_and_cured_by_another_attempt(own_kube, start):
    role = next(m for m in manifests("cluster-role.yaml") if m["kind"] == "ClusterRole")
    watch = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}
    rules = [rule for rule in role["rules"] if rule["resources"] != ["services"]]
    apply(own_kube, {**role, "rules": [*rules, watch]})
    operator, project = start()
    project.create(a_service())
    message = project.reason("OperatorForbidden", seconds=90)["message"]
    for words in ("mlservice-operator", 'cannot patch resource "services"', "kubectl apply -k deploy"):
        assert words in message
    assert condition(project.service(), "Stalled")["status"] == "True"
    apply(own_kube, role)
    project.reason("PredictorNotReady", seconds=90)
    operator.stop()
