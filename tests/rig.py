"""The operator as a process, and a namespace to try it in: what the tests on a real API server stand on."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import yaml
from kube import Kube, Object, condition, eventually
from local_cluster import manifests

PORT = re.compile(r"Serving /healthz, /readyz and /metrics on port (\d+)")
CRDS = Path(__file__).parents[1] / "crds"


class Operator:
    """`python -m mlservice` as a process of its own; `kubeconfig` is its own way to the server, if it has one."""

    def __init__(self, kube: Kube, log: Path, kubeconfig: Path | None = None, **settings: str) -> None:
        self.kube, self.log = kube, log
        self.environment = os.environ | {
            "KUBECONFIG": str(kubeconfig or kube.kubeconfig),
            "MLSERVICE_HTTP_PORT": "0",
            "MLSERVICE_HTTP_HOST": "127.0.0.1",
            "MLSERVICE_LEASE_NAMESPACE": "default",
            **settings,
        }
        self.start()

    def start(self) -> None:
        self.logged = len(self.text()) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "mlservice"], env=self.environment, stderr=log)

    def stop(self) -> None:
        """End it as the kubelet does; it must have met no error that it did not expect."""
        assert (self.end(), "Traceback" in self.text()) == (0, False), self.text()

    def end(self) -> int:
        """Ask it to end, whatever its log says; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        """End it with -9. Its Lease would run out after 15 s; the test takes it away at once."""
        self.process.kill()
        self.process.wait(timeout=20)
        self.kube.delete("Lease", "default", "mlservice-operator")

    def led(self) -> None:
        """Wait until it leads since it was started last."""
        eventually("the operator leads", lambda: "Leading" in self.text()[self.logged :])

    def text(self) -> str:
        return self.log.read_text()

    def requests(self, verb: str, resource: str) -> int:
        """How many requests of this kind it made, whatever the answer."""
        start = "mlservice_api_requests_total{"
        wanted = (f'resource="{resource}"', f'verb="{verb}"')
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(start)]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if all(part in line for part in wanted))

    def get(self, path: str) -> str:
        """What the operator's own server answers."""
        with urllib.request.urlopen(self.url(path), timeout=5) as response:
            return str(response.read().decode())

    def url(self, path: str) -> str:
        """Where the operator's own server answers, as its log says."""
        port = eventually("its server is up", lambda: PORT.search(self.text(), self.logged))[1]
        return f"http://127.0.0.1:{port}{path}"


class Project:
    """A namespace with the runtime `vllm-openai` in it."""

    def __init__(self, kube: Kube, name: str = "") -> None:
        self.kube = kube
        self.name = name or f"t-{uuid.uuid4().hex[:8]}"
        kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})

    def create(self, obj: Any) -> Object:
        manifest = obj.manifest if hasattr(obj, "manifest") else obj
        return self.kube.create({**manifest, "metadata": {**manifest["metadata"], "namespace": self.name}})

    def get(self, kind: str, name: str) -> Object | None:
        return self.kube.get(kind, self.name, name)

    def there(self, kind: str, name: str) -> Object:
        return eventually(f"{kind} {name} exists", lambda: self.get(kind, name))

    def gone(self, kind: str, name: str) -> None:
        eventually(f"{kind} {name} is gone", lambda: self.get(kind, name) is None)

    def patch(self, kind: str, name: str, patch: Object, subresource: str = "") -> Object:
        return self.kube.patch(kind, self.name, name, patch, subresource)

    def delete(self, kind: str, name: str, **options: Any) -> None:
        self.kube.delete(kind, self.name, name, **options)

    def leave(self) -> None:
        """Delete its services: an operator that others share tries what was refused again, and writes for ever."""
        for service in self.kube.list("MLService", self.name):
            self.delete("MLService", service["metadata"]["name"])

    def service(self, name: str = "llama") -> Object:
        found = self.get("MLService", name)
        assert found is not None
        return found

    def reason(self, reason: str, name: str = "llama", seconds: float = 30) -> Object:
        """Wait until the service's Ready condition has this reason, for its present generation; return it."""

        def look() -> Object | None:
            service = self.service(name)
            ready = condition(service, "Ready")
            current = ready.get("observedGeneration") == service["metadata"]["generation"]
            return ready if current and ready["reason"] == reason else None

        return eventually(f"{name} is {reason}", look, seconds)

    def pod(self, deployment: str, name: str, node: str = "", **status: Any) -> None:
        """Play the ReplicaSet controller, the scheduler and the kubelet: a pod of the Deployment in this state."""
        if self.get("Pod", name) is None:
            template = self.there("Deployment", deployment)["spec"]["template"]
            metadata = {"name": name, "labels": template["metadata"]["labels"]}
            spec = {**template["spec"], **({"nodeName": node} if node else {})}
            self.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.patch("Pod", name, {"status": status}, "status")

    def events(self, name: str = "llama") -> list[Object]:
        """The Events of a service."""
        found = self.kube.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.name}/events") or {"items": []}
        return [event for event in found["items"] if event["regarding"].get("name") == name]

    def versions(self, name: str = "llama") -> dict[str, str]:
        """The resourceVersion of each child of a service, by kind and name: equal ones say that nothing was written."""
        return {
            f"{kind} {child['metadata']['name']}": child["metadata"]["resourceVersion"]
            for kind in ("Deployment", "Service", "ControllerRevision")
            for child in self.kube.list(kind, self.name)
            if any(owner["name"] == name for owner in child["metadata"].get("ownerReferences", []))
        }

    def roll_out(self, name: str, ready: int | None = None) -> None:
        """Play the Deployment controller: the newest template runs in every pod, and `ready` of them are ready."""
        deployment = self.there("Deployment", name)
        count = deployment["spec"]["replicas"]
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": count,
            "updatedReplicas": count,
            "readyReplicas": count if ready is None else ready,
            "availableReplicas": count if ready is None else ready,
        }
        self.patch("Deployment", name, {"status": status}, "status")


def install_crds(kube: Kube, folder: Path = CRDS) -> None:
    for file in sorted(folder.glob("*.yaml")):
        install_crd(kube, yaml.safe_load(file.read_text()))


def install_http_routes(kube: Kube) -> None:
    """The Gateway API's CRD of HTTPRoutes."""
    name = "httproutes.gateway.networking.k8s.io"
    crds = json.loads(manifests.path("gateway-api.json").read_text())
    install_crd(kube, next(crd for crd in crds if crd and crd["metadata"]["name"] == name))


def install_crd(kube: Kube, crd: Object) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    kube.api.apply(path, crd)
    eventually(f"{crd['metadata']['name']} is served", lambda: _established(kube, path))


def _established(kube: Kube, path: str) -> bool:
    conditions = (kube.api.get(path) or {}).get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
