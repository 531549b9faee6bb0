"""`mlservice plan` against a real API server and a real operator: it says beforehand what then happens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders import a_runtime, a_service
from kube import Object
from local_cluster import binaries
from mlservice.plan.drift import contains
from mlservice.plan.world import ref
from rig import Project

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "weights"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture
def plan(project: Project, tmp_path: Path):
    """Plans manifests in the project's namespace, by the command as users run it."""

    def plan(*manifests, options=(), command=(sys.executable, "-m", "mlservice"), **environment: str):
        file = tmp_path / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(m.manifest if hasattr(m, "manifest") else m for m in manifests))
        return subprocess.run(
            [*command, "plan", "-f", str(file), "-n", project.name, *options],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "KUBECONFIG": str(project.kube.kubeconfig), **environment},
        )

    return plan


def plain(service) -> Object:
    """The manifest without a namespace."""
    manifest = service.manifest
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    return {**manifest, "metadata": metadata}


def said(manifest: Object) -> Object:
    """A planned object without what is known only once its owner is there."""
    annotations = {k: v for k, v in manifest["metadata"].get("annotations", {}).items() if not k.endswith("/applied")}
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "ownerReferences"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def test_what_is_planned_is_what_the_operator_makes(project, plan):
    project.create(CLAIM)
    service = a_service().on("weights", subPath="x").with_replicas(2)
    done = plan(plain(service), options=["-o", "json"])
    assert done.returncode == 0, done.stderr
    objects = json.loads(done.stdout)["items"]
    assert [obj["kind"] for obj in objects] == ["ControllerRevision", "Deployment", "Service", "Service"]
    assert project.get("MLService", "llama") is None
    project.create(service)
    project.reason("PredictorNotReady")
    for obj in objects:
        where = ref(obj)
        assert contains(project.there(where.kind, where.name), said(obj)), where
    again = plan(plain(service))
    assert ("unchanged  Deployment" in again.stdout, "change " in again.stdout) == (True, False), again.stdout


def test_a_changed_parameter_says_what_restarts_and_changes_nothing(project, plan):
    service = a_service()
    project.create(service)
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    before = [project.get(*where) for where in (("MLService", "llama"), ("Deployment", "llama-predict-v1"))]
    done = plan(plain(a_service().with_parameters(MODEL_NAME="other")))
    assert (done.returncode, done.stderr) == (0, "")
    field = "spec.template.spec.containers[user-container].args[1]"
    assert f"{field}: --served-model-name=llama -> --served-model-name=other" in done.stdout
    assert "Release v1: 1 pod restarts, because of spec.containers[user-container].args[1]" in done.stdout
    assert "Ready=True" in done.stdout
    assert [project.get(*where) for where in (("MLService", "llama"), ("Deployment", "llama-predict-v1"))] == before


def test_an_edited_runtime_names_the_services_that_have_it(project, plan):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    done = plan(a_runtime(image="vllm/vllm-openai:v0.34.0") | {"metadata": {"name": "vllm-openai"}})
    assert done.returncode == 0, done.stderr
    assert f"MLService {project.name}/llama: unchanged" in done.stdout
    assert "No pod starts, stops or restarts" in done.stdout
    assert "UpdateAvailable=True  NewerTemplate" in done.stdout


def test_a_missing_claim_blocks_until_it_is_in_the_files(project, plan):
    done = plan(plain(a_service().on("weights")))
    assert done.returncode == 1
    assert f"MLService {project.name}/llama, release v1 waits for you: PVCNotFound" in done.stdout
    assert plan(plain(a_service().on("weights")), CLAIM).returncode == 0


def test_what_the_api_server_refuses(project, plan):
    done = plan(CLAIM, plain(a_service("x" * 60)))
    assert done.returncode == 2
    assert "manifests.yaml:12: MLService " in done.stderr
    assert "must fit into 63 characters" in done.stderr
    done = plan(plain(a_service().patched(nonsense=True)))
    assert done.returncode == 1
    assert "refused    Deployment          llama-predict-v1" in done.stdout
    assert "spec.template.spec.nonsense: field not declared in schema" in done.stdout


def test_a_name_that_is_taken(project, plan):
    port = {"name": "x", "port": 1}
    project.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llama"}, "spec": {"ports": [port]}})
    done = plan(plain(a_service()))
    assert done.returncode == 1
    assert "Ready=False  NameConflict: Service llama exists" in done.stdout
    assert "refused    Service             llama" in done.stdout


def test_pods_that_the_namespace_does_not_admit(project, plan):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    project.kube.patch("Namespace", "", project.name, {"metadata": {"labels": labels}})
    done = plan(plain(a_service()))
    assert done.returncode == 1
    assert "Release v1: 1 pod starts: refused, see Status" in done.stdout
    assert 'violates PodSecurity "restricted:latest"' in done.stdout


def test_settings_are_those_of_the_operator_in_the_cluster(project, plan):
    variables = {"MLSERVICE_URL": "https://{name}.{namespace}.models.example.com", "OTHER": "x"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": variables}
    path = f"/api/v1/namespaces/{project.name}/configmaps"
    assert project.kube.api.request("POST", path, json.dumps(config), "application/json")[0] == 201
    container = {"name": "operator", "image": "x", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    project.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "mlservice-operator"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        }
    )
    done = plan(plain(a_service()), MLSERVICE_LEASE_NAMESPACE=project.name)
    assert f"https://llama.{project.name}.models.example.com" in done.stdout
    assert "Note" not in done.stdout
    assert (
        f"namespace {project.name}-x has no Deployment"
        in plan(plain(a_service()), MLSERVICE_LEASE_NAMESPACE=f"{project.name}-x").stdout
    )


def test_somebody_who_may_only_read(project, plan, tmp_path):
    """What the API server may not be asked is planned all the same, and said."""
    kube, post = project.kube, "application/json"
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    account = {"kind": "ServiceAccount", "name": "jane", "namespace": project.name}
    for path, body in (
        (f"/api/v1/namespaces/{project.name}/serviceaccounts", {"metadata": {"name": "jane"}}),
        (f"{rbac}/namespaces/{project.name}/roles", {"metadata": {"name": "reader"}, "rules": rules}),
        (
            f"{rbac}/namespaces/{project.name}/rolebindings",
            {
                "metadata": {"name": "jane"},
                "subjects": [account],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            },
        ),
    ):
        assert kube.api.request("POST", path, json.dumps(body), post)[0] == 201
    path = f"/api/v1/namespaces/{project.name}/serviceaccounts/jane/token"
    token = json.loads(kube.api.request("POST", path, json.dumps({"spec": {}}), post)[1])["status"]["token"]
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "jane").write_text(yaml.safe_dump(config))
    done = plan(plain(a_service()), KUBECONFIG=str(tmp_path / "jane"))
    assert done.returncode == 0, done.stderr
    assert "create     Deployment          llama-predict-v1" in done.stdout
    assert "not checked by the API server, which you may not ask: MLService llama, ControllerRevision" in done.stdout
    done = plan(plain(a_service()), options=["-n", "default"], KUBECONFIG=str(tmp_path / "jane"))
    assert done.returncode == 2
    assert "cannot list resource" in done.stderr
    assert "--offline plans from the files alone" in done.stderr


def test_kubectl_finds_it(project, plan):
    folders = [Path(sys.executable).parent, binaries.path("kubectl").parent, os.environ["PATH"]]
    done = plan(plain(a_service()), command=("kubectl", "mls"), PATH=os.pathsep.join(map(str, folders)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"MLService {project.name}/llama: new\n")
    assert done.stdout.endswith("Nothing was changed.\n")


def test_kubectl_reads_the_yaml_as_it_is_meant(project, plan):
    values = ["3128e90517264093", "1e5", "1_0e5", "y", "0o17", "-0o17", "08", "1.0", "8Gi"]
    env = [{"name": f"V{i}", "value": value} for i, value in enumerate(values)]
    service = a_service().patched(containers=[{"name": "user-container", "env": env}])
    done = plan(plain(service), options=["-o", "yaml"])
    output = "-o=jsonpath={.spec.template.spec.containers[0].env[*].value}"
    command = [str(binaries.path("kubectl")), "create", "--dry-run=client", output, "-f", "-"]
    environment = {**os.environ, "KUBECONFIG": str(project.kube.kubeconfig)}
    read = subprocess.run(command, input=done.stdout, env=environment, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stdout.split()) == (0, values), read.stderr


def test_without_a_cluster_the_files_are_all_there_is(project, plan, tmp_path):
    done = plan(plain(a_service()), options=["--offline"])
    assert (done.returncode, "RuntimeNotFound" in done.stdout) == (1, True)
    done = plan(plain(a_service()), a_runtime() | {"metadata": {"name": "vllm-openai"}}, options=["--offline"])
    assert (done.returncode, "1 pod starts" in done.stdout) == (0, True)
    done = plan(plain(a_service()), KUBECONFIG=str(tmp_path / "none"))
    assert (done.returncode, str(tmp_path / "none") in done.stderr) == (2, True)
    closed = yaml.safe_load(project.kube.kubeconfig.read_text())
    closed["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "closed").write_text(yaml.safe_dump(closed))
    done = plan(plain(a_service()), KUBECONFIG=str(tmp_path / "closed"))
    assert (done.returncode, "does not answer" in done.stderr) == (2, True)
