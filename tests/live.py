"""A namespace of a real cluster with a kubelet: light servers that answer at real URLs, and kubectl as users run it."""

import http.client
import json
import os
import subprocess
import sys
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from builders import ServiceBuilder, a_runtime, a_service
from kube import Object, eventually
from local_cluster import binaries, checkout, images
from local_cluster.report import Failure
from local_cluster.status import inner_pid
from rig import Project

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"
CLUSTER = os.environ.get("CLUSTER") or "local"
SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # under 1.0 the Gateway's proxy takes connections again that this server has closed

    def do_GET(self):
        body = json.dumps({"id": sys.argv[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def tool(*arguments: str) -> None:
    """Run a verb of the cluster tool; its output shows when the test fails."""
    done = subprocess.run([sys.executable, "-m", "local_cluster", *arguments], check=False)
    if done.returncode != 0:
        raise Failure(f"`python -m local_cluster {' '.join(arguments)}` failed.", "Its own message is above.")


def a_light_runtime() -> Object:
    """A server of a few lines that says which MODEL_NAME it was given; it starts in a fraction of a second."""
    runtime = a_runtime(
        image=images.reference("operator"),
        command=["python3", "-c", SERVER],
        args=["{{.MODEL_NAME}}"],
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}},
        readinessProbe={"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    )
    runtime["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    return runtime


def a_light_service(name: str = "llama") -> ServiceBuilder:
    return a_service(name).with_parameters(MODEL_NAME=name)


class Live(Project):
    """A namespace with a light runtime in it, and a kubeconfig whose current namespace it is."""

    def __init__(self, kube: Any, folder: Path) -> None:
        super().__init__(kube)
        config = yaml.safe_load(checkout.KUBECONFIG.read_text())
        config["contexts"][0]["context"]["namespace"] = self.name
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self.create(a_light_runtime())

    @property
    def environment(self) -> dict[str, str]:
        """An environment in which `kubectl` is ours and talks to this namespace."""
        folder = binaries.path("kubectl").parent
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    def sh(self, script: str, seconds: float = 120, cwd: Path = QUICKSTART) -> str:
        """Run shell commands as a user types them; returns what they print."""
        done = subprocess.run(
            ["bash", "-euc", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=cwd,
            env=self.environment,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def claim(self, name: str) -> None:
        """Create a claim as the quick start does."""
        if CLUSTER == "local":
            tool("volume", name, "-n", self.name)
        self.create(yaml.safe_load((QUICKSTART / "pvc.yaml").read_text()) | {"metadata": {"name": name}})

    def tiny_model(self) -> None:
        """Make the quick start's model on its claim, by the commands of its README."""
        if CLUSTER == "local":
            tool("volume", "models", "-n", self.name)
        self.sh(
            """
            kubectl apply -f pvc.yaml
            kubectl create configmap make-model --from-file=make_model.py
            kubectl apply -f make-model-job.yaml
            kubectl wait --for=condition=complete --timeout=180s job/make-model""",
            200,
        )

    def restricted(self) -> None:
        """Enforce Pod Security `restricted` in the namespace."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.kube.api.merge(f"/api/v1/namespaces/{self.name}", {"metadata": {"labels": labels}})

    def url(self, name: str = "llama") -> str:
        return str(self.service(name)["status"]["address"]["url"])

    def model(self, name: str = "llama") -> str | None:
        """What the light server behind the service's URL says it serves; None where nobody answers."""
        try:
            status, body = get(self.url(name))
        except OSError:
            return None
        return str(json.loads(body)["id"]) if status == 200 else None

    def serves(self, model: str, name: str = "llama", seconds: float = 60) -> None:
        eventually(f"{name} serves {model}", lambda: self.model(name) == model, seconds)

    def pods(self, name: str = "llama") -> list[Object]:
        """The pods of a service, those that are ending too."""
        label = "mlservice.tensorstack.dev/name"
        return [pod for pod in self.kube.list("Pod", self.name) if pod["metadata"].get("labels", {}).get(label) == name]


def server_process(pod: Object, word: bytes) -> int:
    """The pid, on this machine, of a container's first process: the one of this pod with a word in its command."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            here = pod["metadata"]["uid"] in (process / "cgroup").read_text().replace("_", "-")
            first = here and inner_pid(int(process.name)) == 1
            if first and word in (process / "cmdline").read_bytes():
                return int(process.name)
    raise AssertionError(f"pod {pod['metadata']['name']} has no such process here")


def get(url: str, path: str = "/") -> tuple[int, str]:
    """GET by address with the Host header: Python resolves *.localhost on some systems only."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": parts.netloc})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
