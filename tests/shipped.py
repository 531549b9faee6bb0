"""The operator's account and roles as deploy/ ships them, on a real API server."""

from pathlib import Path
from typing import Any

import yaml
from kube import Kube

BASE = Path(__file__).parents[1] / "deploy" / "base"
NAMESPACE = "mlservice-system"
ACCOUNT = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/mlservice-operator"
USER = f"system:serviceaccount:{NAMESPACE}:mlservice-operator"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
PLACES = {
    "Namespace": "/api/v1/namespaces/{name}",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ClusterRole": ROLES + "/clusterroles/{name}",
    "ClusterRoleBinding": ROLES + "/clusterrolebindings/{name}",
    "Role": ROLES + "/namespaces/{namespace}/roles/{name}",
    "RoleBinding": ROLES + "/namespaces/{namespace}/rolebindings/{name}",
}


def manifests(*files: str) -> list[dict[str, Any]]:
    """The documents of these files of deploy/base."""
    return [document for file in files for document in yaml.safe_load_all((BASE / file).read_text())]


def apply(kube: Kube, manifest: dict[str, Any]) -> None:
    kube.api.apply(PLACES[manifest["kind"]].format(**{"namespace": "", **manifest["metadata"]}), manifest)


def install(kube: Kube) -> None:
    """Namespace, account and roles; the operator itself is a process of the test."""
    for manifest in manifests("namespace.yaml", "service-account.yaml", "cluster-role.yaml", "lease-role.yaml"):
        apply(kube, manifest)


def settings(kube: Kube, kubeconfig: Path) -> dict[str, str]:
    """Write a kubeconfig of the operator's account; returns the operator's environment."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.api.create(f"{ACCOUNT}/token", request)["status"]["token"]
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(config))
    return {
        "KUBECONFIG": str(kubeconfig),
        "MLSERVICE_LEASE_NAMESPACE": NAMESPACE,
        "MLSERVICE_SERVICE_ACCOUNT": "mlservice-operator",
    }
