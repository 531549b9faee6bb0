"""The shipped manifests: rights that the code needs and no others, a pod that restricted namespaces accept."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlservice.api.settings import Settings
from mlservice.cluster.queue import WorkQueue
from mlservice.cluster.resources import CHILDREN, EVENT, LEASE, MLSERVICE, RUNTIME, Resource
from mlservice.controller.observe import Cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
Right = tuple[str, str, str]
"""API group, resource or resource/subresource, verb."""

WATCHED = [store.resource for store in Cluster(Settings(gateway="a/b"), WorkQueue()).stores()]


def manifests() -> list[dict[str, Any]]:
    files = [file for file in (DEPLOY / "base").glob("*.yaml") if file.name != "kustomization.yaml"]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def the(kind: str, name: str = "mlservice-operator") -> dict[str, Any]:
    return next(m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name))


def granted(role: dict[str, Any]) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            yield from ((group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"])


def rights(resource: Resource, *verbs: str, subresource: str = "") -> set[Right]:
    group = resource.api_version.rpartition("/")[0]
    name = f"{resource.plural}/{subresource}" if subresource else resource.plural
    return {(group, name, verb) for verb in verbs}


def test_cluster_role_is_what_the_code_uses():
    needed = set[Right]().union(
        *(rights(resource, "list", "watch") for resource in WATCHED),
        *(rights(resource, "get", "create", "patch", "delete") for resource in CHILDREN.values()),
        rights(MLSERVICE, "get"),
        rights(RUNTIME, "get"),
        rights(MLSERVICE, "patch", subresource="status"),
        rights(MLSERVICE, "update", subresource="finalizers"),
        rights(EVENT, "create", "patch"),
    )
    assert set(granted(the("ClusterRole"))) == needed


def test_the_lease_alone_is_in_a_role_of_the_namespace():
    role = the("Role", "mlservice-operator-lease")
    assert set(granted(role)) == rights(LEASE, "get", "update", "create")
    assert role["rules"][0]["resourceNames"] == ["mlservice-operator"]
    assert role["metadata"]["namespace"] == Settings().lease_namespace


def test_kustomize_does_not_rename_the_lease():
    """It puts a generated ConfigMap's name into every resourceNames that equals the name before the hash."""
    (lease,) = the("Role", "mlservice-operator-lease")["rules"][0]["resourceNames"]
    for overlay in (".", "local"):
        generators = yaml.safe_load((DEPLOY / overlay / "kustomization.yaml").read_text())["configMapGenerator"]
        assert lease not in [generator["name"] for generator in generators]


@pytest.mark.parametrize("role", [m for m in manifests() if m["kind"] in ("ClusterRole", "Role")], ids=str)
def test_no_role_has_wildcards_or_secrets(role):
    words = {word for right in granted(role) for word in right}
    assert not words & {"*", "secrets", "escalate", "bind", "impersonate"}


def test_users_roles_cover_both_kinds_and_no_status():
    resources = {
        resource
        for name in ("mlservice-view", "mlservice-edit")
        for _, resource, _ in granted(the("ClusterRole", name))
    }
    assert resources == {"mlservices", "mlserviceruntimes"}


def test_bindings_name_the_operators_account():
    bindings = [m for m in manifests() if m["kind"] in ("ClusterRoleBinding", "RoleBinding")]
    account = the("ServiceAccount")["metadata"]
    for binding in bindings:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]
        assert the(binding["roleRef"]["kind"], binding["roleRef"]["name"])
    assert len(bindings) == 2


def test_pod_meets_pod_security_restricted_and_cannot_write_its_image():
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(pod)
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    labels = the("Namespace", "mlservice-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_image_holds_the_locked_packages_and_the_operator_and_runs_without_rights():
    lines = (DEPLOY.parent / "operator" / "Dockerfile").read_text().splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if line[:1].isupper()]
    assert [rest for name, rest in instructions if name in ("COPY", "ADD")] == [
        "requirements/operator.lock /opt/mlservice/",
        "operator/mlservice /opt/mlservice/mlservice",
    ]
    assert [rest for name, rest in instructions if name == "USER"] == ["65532:65532"]
    assert [name for name, _ in instructions][-3:] == ["USER", "WORKDIR", "ENTRYPOINT"]
    installing = next(rest for name, rest in instructions if name == "RUN")
    assert "--require-hashes" in installing
    assert "apt" not in installing
    ignored = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert "*" in ignored


def test_every_locked_package_has_a_hash():
    for lock in (DEPLOY.parent / "requirements").glob("*.lock"):
        entries = [entry for entry in re.split(r"\n(?=\S)", lock.read_text()) if re.match(r"[a-z0-9]", entry)]
        assert entries, lock
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == [], lock


def test_operator_is_told_which_account_is_its_own():
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    told = {v["name"]: v["valueFrom"]["fieldRef"]["fieldPath"] for v in container["env"]}
    assert told == {
        "MLSERVICE_LEASE_NAMESPACE": "metadata.namespace",
        "MLSERVICE_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }


def test_probes_ask_the_port_of_the_operators_server():
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": Settings().http_port}]
    probes = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


def test_one_of_two_replicas_may_be_evicted():
    assert the("Deployment")["spec"]["replicas"] == 2
    assert the("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("overlay", [".", "local"])
def test_every_setting_in_the_environment_file_is_one_that_the_operator_knows(overlay, monkeypatch):
    lines = (DEPLOY / overlay / "operator.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name.removeprefix("MLSERVICE_").lower() for name in variables} <= set(Settings.model_fields)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().url == variables["MLSERVICE_URL"]
