"""What an upgrade meets: services of every shape, an older build from git, objects as an older build wrote them.

`python tests/upgrades.py record COMMIT` writes tests/api/written_by/COMMIT.yaml: the objects that the build of that
commit made of these services, as a real API server with the real controllers holds them. `run COMMIT` upgrades from
that build to this one and back, with 50 services whose pods kwok plays.
"""

import base64
import json
import subprocess
import sys
import tarfile
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from builders import a_release, a_runtime, a_service
from kube import RESOURCES, Kube, Object, condition, eventually
from local_cluster.apiserver import ApiLevel
from local_cluster.kwok import node
from mlservice.api.meta import LABEL_NAME
from rig import Operator, Project, install_crds

ROOT = Path(__file__).parents[1]
WRITTEN = ROOT / "tests" / "api" / "written_by"
KEPT = {
    "MLServiceRuntime": "tensorstack.dev/mlserviceruntimes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "MLService": "tensorstack.dev/mlservices",
    "ControllerRevision": "controllerrevisions",
    "Deployment": "deployments",
    "Service": "services/specs",
    "Pod": "pods",
}
"""Kinds that the operator reads, and where etcd keeps them: below /registry."""

SERVICES = 50
WATCHED_SECONDS = 60

LIGHT = {"requests": {"cpu": "100m"}}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "weights"},
    "spec": {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",
        "volumeName": "weights",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "weights"},
    "spec": {
        "accessModes": ["ReadOnlyMany"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/weights"},
    },
}


def runtimes() -> list[Object]:
    ports = [{"name": name, "containerPort": number} for name, number in (("http", 8000), ("grpc", 8001))]
    args = ["{{.MODEL_PATH}}", "--dtype={{if .DTYPE}}{{.DTYPE}}{{else}}auto{{end}}"]
    return [
        a_runtime(resources=LIGHT),
        a_runtime("triton", resources=LIGHT, ports=ports, args=args, env=[{"name": "A", "value": "1"}]),
    ]


def services() -> list[Any]:
    """One service of each shape."""
    triton = a_service("triton")
    triton.predictor["model"]["runtime"] = "triton"
    env = [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]
    patched = a_service("patched").patched(
        terminationGracePeriodSeconds=120,
        nodeSelector={"kubernetes.io/os": "linux"},
        containers=[{"name": "user-container", "env": env}, {"name": "sidecar", "image": "sidecar:1"}],
    )
    resources = {"requests": {"cpu": "0.05", "memory": "1Gi"}}
    sized = a_service("sized").having(
        releases=[a_release(containersResources=[{"name": "user-container", "resources": resources}])]
    )
    return [
        a_service("plain"),
        a_service("two").also(a_release("v2")),
        a_service("stored").on("weights", subPath="llama/", readOnly=True),
        a_service("several").with_replicas(2, 3),
        a_service("paused").having(runMode="paused"),
        triton,
        patched,
        sized,
    ]


class Build:
    """The operator and the CRDs of an older commit, unpacked from git."""

    def __init__(self, commit: str, folder: Path) -> None:
        self.crds, self.settings = folder / "crds", {"PYTHONPATH": str(folder / "operator")}
        command = ["git", "-C", str(ROOT), "archive", commit, "operator", "crds"]
        archive = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        self.pins = (folder / "operator" / "mlservice" / "plan" / "revision.py").exists()


def prepare(kube: Kube) -> Project:
    """A node where kwok plays the pods, and a namespace with runtimes and weights."""
    kube.api.apply("/api/v1/nodes/node-1", node("node-1", taint=False))
    kube.api.apply("/api/v1/persistentvolumes/weights", VOLUME)
    project = Project(kube)
    account = f"/api/v1/namespaces/{project.name}/serviceaccounts/default"
    eventually("default ServiceAccount", lambda: kube.api.get(account))
    for obj in (*runtimes(), CLAIM):
        project.create(obj)
    return project


def settled(service: Object | None) -> bool:
    """Ready, or paused as it is meant to be."""
    ready = condition(service, "Ready")
    return ready.get("status") == "True" or ready.get("reason") == "Paused"


def with_kind(kind: str, obj: Object) -> Object:
    """A list's items of Kubernetes' own kinds do not say what they are."""
    return {"apiVersion": RESOURCES[kind].api_version, "kind": kind, **obj}


def restore(level: ApiLevel, file: Path) -> Project:
    """Put recorded objects into etcd as they were, with their uids and managers, which no request could set."""
    objects = list(yaml.safe_load_all(file.read_text()))
    project = Project(Kube(level.kubeconfig), objects[0]["metadata"]["namespace"])
    for obj in objects:
        metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
        key = f"/registry/{KEPT[obj['kind']]}/{project.name}/{metadata['name']}"
        value = json.dumps({**obj, "metadata": metadata})
        body = {name: base64.b64encode(text.encode()).decode() for name, text in (("key", key), ("value", value))}
        request = urllib.request.Request(f"{level.etcd}/v3/kv/put", json.dumps(body).encode())
        urllib.request.urlopen(request, timeout=10).close()
    for kind in KEPT:
        listed = RESOURCES[kind].path(project.name)
        eventually(f"{kind}s are listed", lambda path=listed: project.kube.api.request("GET", path)[0] == 200)
    return project


def record(commit: str) -> None:
    with TemporaryDirectory() as folder, ApiLevel(controllers=True, scheduler=True, kwok=True) as level:
        kube, build = Kube(level.kubeconfig), Build(commit, Path(folder))
        install_crds(kube, build.crds)
        operator = Operator(kube, Path(folder) / "log", **build.settings)
        project = prepare(kube)
        for service in services():
            project.create(service)
        for service in services():
            name = service.manifest["metadata"]["name"]
            eventually(f"{name} is ready", lambda n=name: settled(project.get("MLService", n)), seconds=120)
        operator.end()
        WRITTEN.mkdir(exist_ok=True)
        objects = [with_kind(kind, obj) for kind in KEPT for obj in kube.list(kind, project.name)]
        (WRITTEN / f"{commit}.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False, width=120))
        print(f"Wrote {len(objects)} objects to {WRITTEN / f'{commit}.yaml'}")


def run(commit: str) -> None:
    """The older build makes 50 services; this build takes over, then the older one again. Raises AssertionError."""
    with TemporaryDirectory() as folder, ApiLevel(controllers=True, scheduler=True, kwok=True) as level:
        kube, build = Kube(level.kubeconfig), Build(commit, Path(folder))
        install_crds(kube, build.crds)
        project = prepare(kube)
        shapes = services()
        names = [f"{shapes[i % len(shapes)].manifest['metadata']['name']}-{i}" for i in range(SERVICES)]
        older = Operator(kube, Path(folder) / "older.log", **build.settings)
        for i, name in enumerate(names):
            manifest = shapes[i % len(shapes)].manifest
            project.create({**manifest, "metadata": {"name": name}})
        all_settled(project, names)
        print(f"{commit} runs {SERVICES} services with {len(pods(project, names))} pods", flush=True)
        older.end()
        install_crds(kube)
        newer = taken_over(project, names, Path(folder) / "newer.log", {}, "this build")
        change(project, names[0], "newer")
        all_settled(project, names)
        newer.stop()
        install_crds(kube, build.crds)
        # A build that knows no revisions renders every template anew: what changed under this one gets other labels.
        resting = names if build.pins else names[1:]
        older = taken_over(project, resting, Path(folder) / "older.log", build.settings, commit)
        change(project, names[0], "older")
        all_settled(project, names)
        older.end()


def taken_over(project: Project, names: list[str], log: Path, settings: dict[str, str], build: str) -> Operator:
    """Start a build over the objects of another; for a minute no pod and no pod template of these may change."""
    before = pods(project, names), templates(project, names), generations(project, names)
    operator = Operator(project.kube, log, **settings)
    until = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        assert pods(project, names) == before[0], f"{build} restarted pods"
        assert templates(project, names) == before[1], f"{build} changed a pod template"
        time.sleep(1)
    all_settled(project, names)
    moved = [name for name, generation in generations(project, names).items() if before[2][name] != generation]
    print(f"{build} took over: no pod restarted; generation of {len(moved)} Deployments moved", flush=True)
    return operator


def of_services(kind: str, project: Project, names: list[str]) -> list[Object]:
    found = project.kube.list(kind, project.name)
    return [obj for obj in found if obj["metadata"]["labels"][LABEL_NAME] in names]


def pods(project: Project, names: list[str]) -> dict[str, tuple[str, list[int]]]:
    """uid and restarts of each pod."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            [status["restartCount"] for status in pod["status"].get("containerStatuses", [])],
        )
        for pod in of_services("Pod", project, names)
    }


def templates(project: Project, names: list[str]) -> dict[str, Object]:
    return {d["metadata"]["name"]: d["spec"]["template"] for d in of_services("Deployment", project, names)}


def generations(project: Project, names: list[str]) -> dict[str, int]:
    return {d["metadata"]["name"]: d["metadata"]["generation"] for d in of_services("Deployment", project, names)}


def all_settled(project: Project, names: list[str]) -> None:
    for name in names:
        eventually(f"{name} is ready", lambda n=name: settled(project.get("MLService", n)), seconds=180)


def change(project: Project, name: str, value: str) -> None:
    """Change a parameter, and wait until the Deployment follows."""
    spec = services()[0].with_parameters(MODEL_NAME=value).manifest["spec"]
    project.patch("MLService", name, {"spec": spec})
    eventually(
        f"{name} follows",
        lambda: f"--served-model-name={value}" in str(templates(project, [name])[f"{name}-predict-v1"]),
    )


if __name__ == "__main__":
    _, verb, *commits = sys.argv
    for commit in commits:
        {"record": record, "run": run}[verb](commit)
