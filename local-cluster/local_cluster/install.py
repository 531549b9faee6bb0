"""The operator in the cluster: its definitions, roles and Deployment from deploy/, with the image that was loaded."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from local_cluster import binaries, checkout, gateway, images
from local_cluster.report import Failure, Stopwatch

OPERATOR = "mlservice-operator"


def install(cluster: str, http_port: int, watch: Stopwatch) -> None:
    """Apply deploy/ and wait until the operator runs; in a cluster made here its image has to be loaded before."""
    kubectl("apply", "--server-side", "--force-conflicts", "-k", str(write_overlay(cluster, http_port)))
    watch.say(f"Applied deploy/, waiting for the Deployment {gateway.NAMESPACE}/{OPERATOR}")
    kubectl("-n", gateway.NAMESPACE, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=120s")
    watch.say("The operator runs")


def uninstall(cluster: str, http_port: int, watch: Stopwatch) -> None:
    """Remove what `install` applied; the namespace stays for its Gateway. Refused while there are MLServices."""
    if services := existing_services():
        raise Failure(
            f"{len(services)} MLServices exist, and would be deleted with their definition: {', '.join(services[:5])}",
            "Delete them first: kubectl delete mlservices --all --all-namespaces",
        )
    rendered = kubectl("kustomize", str(write_overlay(cluster, http_port)))
    manifests = [manifest for manifest in yaml.safe_load_all(rendered) if manifest["kind"] != "Namespace"]
    kubectl("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(manifests))
    watch.say("Removed the operator and its definitions. Install them again: make install")


def existing_services() -> list[str]:
    """Namespace/name of every MLService; none where their definition is not installed."""
    if not kubectl("get", "crd", "mlservices.tensorstack.dev", "--ignore-not-found", "-o", "name"):
        return []
    template = '{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
    return kubectl("get", "mlservices", "--all-namespaces", "-o", f"jsonpath={template}").split()


def write_overlay(cluster: str, http_port: int) -> Path:
    """Write a kustomization on top of deploy/ and return its folder."""
    folder = checkout.LOCAL / "install"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay(cluster, http_port), sort_keys=False))
    return folder


def overlay(cluster: str, http_port: int) -> dict[str, Any]:
    """The kustomization: the local cluster has a Gateway, kind has none, a current one is as deploy/ was edited."""
    kustomization: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    if cluster == "current":
        return {**kustomization, "resources": ["../../deploy"]}
    name, _, tag = images.reference("operator").rpartition(":")
    kustomization["images"] = [{"name": OPERATOR, "newName": name, "newTag": tag}]
    settings = {"name": f"{OPERATOR}-settings", "namespace": gateway.NAMESPACE}
    if cluster == "kind":
        url = "MLSERVICE_URL=http://{name}.{namespace}.svc.cluster.local"
        return {
            **kustomization,
            "resources": ["../../deploy/base"],
            "configMapGenerator": [{**settings, "literals": [url]}],
        }
    if http_port != 80:
        url = f"MLSERVICE_URL=http://{{name}}.{{namespace}}.localhost:{http_port}"
        kustomization["configMapGenerator"] = [{**settings, "behavior": "merge", "literals": [url]}]
    return {**kustomization, "resources": ["../../deploy/local"]}


def kubectl(*arguments: str, given: str = "") -> str:
    """Run kubectl with the checkout's kubeconfig; `given` is its standard input."""
    if not checkout.KUBECONFIG.exists():
        raise Failure(f"There is no kubeconfig at {checkout.KUBECONFIG}.", "Start a cluster: make cluster")
    command = [str(binaries.path("kubectl")), f"--kubeconfig={checkout.KUBECONFIG}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=given, env=dict(os.environ))
    if done.returncode != 0:
        raise Failure(
            f"`kubectl {' '.join(arguments)}` failed:\n{done.stderr.strip()}",
            f"See what the pods say: kubectl --kubeconfig={checkout.KUBECONFIG} -n {gateway.NAMESPACE} describe pods",
        )
    return done.stdout
