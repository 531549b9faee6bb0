"""The operator under exactly the roles that it is shipped with: all of them are used, and nothing else is."""

from collections.abc import Iterator

import pytest
import shipped
from audit import Audit
from builders import a_release, a_runtime, a_service
from kube import Kube, condition, eventually
from local_cluster.apiserver import ApiLevel
from rig import Operator, Project, install_crds, install_http_routes

Right = tuple[str, str, str]
"""API group, resource or resource/subresource, verb."""

CHECKED_WITHOUT_A_REQUEST = {("tensorstack.dev", "mlservices/finalizers", "update")}
"""Asked for by the admission plugin OwnerReferencesPermissionEnforcement, which the audit log does not see."""


@pytest.fixture
def audit(tmp_path):
    return Audit(tmp_path)


@pytest.fixture
def own_kube(audit):
    flags = [*audit.flags, "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"]
    with ApiLevel(flags=flags) as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        install_http_routes(kube)
        shipped.install(kube)
        yield kube


@pytest.fixture
def start(own_kube, tmp_path):
    """Starts the operator as its ServiceAccount, and makes a namespace for it."""
    started = []

    def start(**settings):
        account = shipped.settings(own_kube, tmp_path / "kubeconfig")
        operator = Operator(own_kube, tmp_path / "log", **account, **settings)
        started.append(operator)
        project = Project(own_kube)
        project.create(a_runtime())
        return operator, project

    yield start
    for operator in started:
        operator.process.kill()
        operator.process.wait()


def granted() -> set[Right]:
    roles = [m for m in shipped.manifests("cluster-role.yaml", "lease-role.yaml") if "rules" in m]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit: Audit) -> Iterator[Right]:
    for event in audit.of(shipped.USER):
        if where := event.get("objectRef"):
            name = "/".join(where[part] for part in ("resource", "subresource") if part in where)
            yield where.get("apiGroup", ""), name, event["verb"]
            if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
                yield where.get("apiGroup", ""), name, "create"  # asked for by an apply that makes the object


def test_shipped_roles_are_exactly_what_is_used(start, audit):
    operator, project = start(MLSERVICE_GATEWAY="infra/web", MLSERVICE_VERIFY_SECONDS="2")
    project.create(a_service().with_replicas(2))
    project.reason("PredictorNotReady", seconds=90)
    eventually("it is scaled", lambda: project.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 2)
    project.roll_out("llama-predict-v1")
    project.reason("RouteNotReady")
    spec = a_service().with_replicas(2).also(a_release("v2")).manifest["spec"]
    project.patch("MLService", "llama", {"spec": spec})
    project.there("Deployment", "llama-predict-v2")
    changed = a_service().with_replicas(2).with_parameters(MODEL_NAME="other")
    project.patch("MLService", "llama", {"spec": changed.manifest["spec"]})
    for kind in ("Deployment", "HTTPRoute"):
        project.gone(kind, "llama-predict-v2")
    project.patch("MLService", "llama", {"spec": a_service().with_replicas(2).manifest["spec"]})
    eventually("the first revision has a new number", lambda: 3 in revisions(project))
    project.roll_out("llama-predict-v1")
    project.patch("HTTPRoute", "llama", {"spec": {"hostnames": ["somebody.else"]}})
    eventually("it is ours again", lambda: "else" not in str(project.there("HTTPRoute", "llama")["spec"]["hostnames"]))
    pinned = max(project.kube.list("ControllerRevision", project.name), key=lambda found: found["revision"])
    for kind, name in (
        ("Service", "llama"),
        ("HTTPRoute", "llama"),
        ("Deployment", "llama-predict-v1"),
        ("ControllerRevision", pinned["metadata"]["name"]),
    ):  # as deletion with --cascade=orphan leaves them
        project.patch(kind, name, {"metadata": {"ownerReferences": None}})
        eventually("it is adopted", lambda k=kind, n=name: project.there(k, n)["metadata"].get("ownerReferences"))
    for _ in range(2):  # a cause that comes back is one Event, counted
        project.patch("MLService", "llama", {"spec": {"runMode": "paused"}})
        project.reason("Paused")
        project.patch("MLService", "llama", {"spec": {"runMode": None}})
        eventually("it runs", lambda: condition(project.service(), "Ready")["reason"] != "Paused")
    project.create(a_service("second"))
    project.there("Service", "second")
    project.delete("MLService", "second")
    eventually("an Event is counted", lambda: any(e.get("series") for e in project.events()))
    operator.stop()
    for event in audit.of(shipped.USER):
        assert event["annotations"]["authorization.k8s.io/decision"] == "allow", event
        # Beside its roles it has what every account has: to ask what the API server serves.
        why = event["annotations"]["authorization.k8s.io/reason"]
        assert "mlservice-operator" in why or ("objectRef" not in event and "system:discovery" in why), event
    found = set(used(audit))
    assert found - granted() == set(), "the operator needs more than deploy/ grants"
    assert granted() - found == CHECKED_WITHOUT_A_REQUEST, "deploy/ grants what this test never sees used"


def revisions(project):
    return [revision["revision"] for revision in project.kube.list("ControllerRevision", project.name)]


@pytest.mark.parametrize(
    ("resource", "denied"),
    [
        ("services", 'cannot patch resource "services"'),
        ("mlservices/finalizers", "cannot set blockOwnerDeletion"),
    ],
)
def test_missing_permission_is_told_and_cured_by_another_attempt(own_kube, start, resource, denied):
    role = next(m for m in shipped.manifests("cluster-role.yaml") if m["kind"] == "ClusterRole")
    rules = [rule for rule in role["rules"] if rule["resources"] != [resource]]
    assert len(rules) == len(role["rules"]) - 1
    watch = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}
    shipped.apply(own_kube, {**role, "rules": [*rules, watch]})
    operator, project = start()
    project.create(a_service())
    message = project.reason("OperatorForbidden", seconds=90)["message"]
    for words in (denied, "kubectl apply -k deploy"):
        assert words in message
    assert condition(project.service(), "Stalled")["status"] == "True"
    shipped.apply(own_kube, role)
    project.reason("PredictorNotReady", seconds=90)
    operator.stop()


def test_role_of_a_build_that_read_no_runtimes_is_told_and_changes_nothing(own_kube, start):
    role = next(m for m in shipped.manifests("cluster-role.yaml") if m["kind"] == "ClusterRole")
    older = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "get"]}
        if "mlserviceruntimes" in rule["resources"]
        else rule
        for rule in role["rules"]
    ]
    assert older != role["rules"]
    shipped.apply(own_kube, {**role, "rules": older})
    operator, project = start()
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready", seconds=90)
    before = project.there("Deployment", "llama-predict-v1"), revisions(project)
    project.patch("MLService", "llama", {"spec": a_service().with_parameters(MODEL_NAME="other").manifest["spec"]})
    stalled = eventually("it is told", lambda: condition(project.service(), "Stalled"), seconds=90)
    assert stalled["reason"] == "OperatorForbidden"
    for words in ("MLServiceRuntime vllm-openai", "cannot get", "kubectl apply -k deploy"):
        assert words in stalled["message"]
    assert (project.there("Deployment", "llama-predict-v1"), revisions(project)) == before
    shipped.apply(own_kube, role)
    eventually("it is changed", lambda: "other" in str(project.there("Deployment", "llama-predict-v1")), seconds=90)
    operator.stop()
