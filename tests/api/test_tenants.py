"""Whoever may create MLServices and runtimes in one namespace may create a Pod there, no more.

`eve` has these rights in a namespace of hers. The operator runs as it is shipped, the controllers are the real ones,
and the API server's audit log shows what the operator did elsewhere.
"""

import json
import sys
import uuid

import pytest
import shipped
from audit import Audit
from builders import a_release, a_runtime, a_service
from kube import Kube, Refused, condition, eventually
from local_cluster.apiserver import ApiLevel
from local_cluster.pki import Authority
from mlservice.api.meta import GROUP, LABEL_MANAGED_BY, LABEL_NAME, MANAGER
from mlservice.cluster.deep_json import read_deep_json
from rig import Operator, Project, install_crds, install_http_routes

MUTATING = {"create", "update", "patch", "delete", "deletecollection"}
RBAC = "rbac.authorization.k8s.io"
OF_NAMESPACES = (
    "/api/v1/namespaces/{}/secrets",
    "/api/v1/namespaces/{}/configmaps",
    "/api/v1/namespaces/{}/serviceaccounts",
    "/api/v1/namespaces/{}/persistentvolumeclaims",
    "/api/v1/namespaces/{}/services",
    "/api/v1/namespaces/{}/pods",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    f"/apis/{GROUP}/v1beta1/namespaces/{{}}/mlservices",
    f"/apis/{GROUP}/v1beta1/namespaces/{{}}/mlserviceruntimes",
)


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return Audit(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def kube(audit):
    with ApiLevel(controllers=True, flags=audit.flags) as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        install_http_routes(kube)
        shipped.install(kube)
        yield kube


@pytest.fixture(scope="module")
def operator(kube, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operator")
    settings = shipped.settings(kube, folder / "kubeconfig") | {"MLSERVICE_GATEWAY": "infra/web"}
    process = Operator(kube, folder / "log", **settings)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def victim(kube, operator):
    """A namespace of somebody else: a service that rests, weights, a runtime, an account, a Secret."""
    project = Project(kube)
    project.create(a_runtime("private"))
    project.create(a_runtime())
    for kind, path, more in (
        ("Secret", "secrets/key", {"stringData": {"key": "hush"}}),
        ("ServiceAccount", "serviceaccounts/mlservice-operator", {}),
        ("ConfigMap", "configmaps/settings", {"data": {"a": "b"}}),
    ):
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": path.partition("/")[2]}, **more}
        kube.api.apply(f"/api/v1/namespaces/{project.name}/{path}", manifest)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "weights"}
    project.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim})
    project.create(a_service("victim").having(runMode="paused"))
    project.reason("Paused", "victim", seconds=90)
    return project


class Tenant(Project):
    """A namespace where the user `eve` may write MLServices and runtimes, and nothing else."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube)
        self.grant(self.name)
        pki = kube.kubeconfig.parent
        user = Authority(pki).kubeconfig(f"eve-{uuid.uuid4().hex[:8]}", f"https://{kube.api.host}", "eve")
        self.eve = Kube(user)

    def grant(self, namespace: str) -> None:
        root = f"/apis/{RBAC}/v1/namespaces/{namespace}"
        rule = {"apiGroups": [GROUP], "resources": ["mlservices", "mlserviceruntimes"], "verbs": ["*"]}
        metadata = {"name": "models"}
        role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
        self.kube.api.apply(f"{root}/roles/models", role)
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "models"},
            "subjects": [{"kind": "User", "apiGroup": RBAC, "name": "eve"}],
        }
        self.kube.api.apply(f"{root}/rolebindings/models", binding)

    def make(self, obj, **metadata):
        """Create it as eve."""
        manifest = obj.manifest if hasattr(obj, "manifest") else obj
        return self.eve.create({**manifest, "metadata": {**manifest["metadata"], "namespace": self.name, **metadata}})

    def attempt(self, obj):
        """What the API server says to eve's request; empty where it takes it."""
        try:
            self.make(obj)
        except Refused as error:
            return str(error)
        return ""


@pytest.fixture
def tenant(kube, operator):
    project = Tenant(kube)
    eventually("eve may write", lambda: not project.attempt(a_runtime()))
    return project


def everything_in(kube, namespace):
    """resourceVersion of every object of a namespace: equal ones say that nothing was written."""
    return {
        f"{path.rpartition('/')[2]}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for path in OF_NAMESPACES
        for item in kube.api.get(path.format(namespace))["items"]
    }


def done_by_operator(audit):
    return [event for event in audit.of(shipped.USER) if "objectRef" in event]


def on_runtime(name, runtime):
    service = a_service(name)
    service.predictor["model"]["runtime"] = runtime
    return service


def test_eve_may_do_nothing_by_herself(tenant, victim):
    for namespace in (tenant.name, victim.name):
        for path in OF_NAMESPACES:
            status, _ = tenant.eve.api.request("GET", path.format(namespace))
            allowed = namespace == tenant.name and GROUP in path
            assert status == (200 if allowed else 403), path
    status = f"/apis/{GROUP}/v1beta1/namespaces/{tenant.name}/mlservices/any/status"
    assert tenant.eve.api.request("PATCH", status, "{}", "application/merge-patch+json")[0] == 403


def test_no_field_leads_into_another_namespace(tenant, victim, audit, kube):
    before, so_far = everything_in(kube, victim.name), len(done_by_operator(audit))
    other = victim.name
    for refused in (
        on_runtime("slash", f"{other}/private"),
        on_runtime("dots", f"../../{other}/mlserviceruntimes/private"),
        a_service("claim").on(f"{other}/weights"),
        a_service("path").on("weights", subPath="../../other"),
        a_service("up").on("weights", mountPath="/x/../../etc"),
        a_service(f"victim.{other}"),
        a_service("release").named(f"v1.{other}"),
    ):
        assert tenant.attempt(refused), refused.manifest
    owner = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "MLService",
        "name": "victim",
        "uid": victim.service("victim")["metadata"]["uid"],
        "controller": True,
    }
    labels = {LABEL_NAME: "victim", LABEL_MANAGED_BY: "somebody"}
    theirs = {"name": "victim-predict-v1", "namespace": other, "ownerReferences": [owner], "finalizers": ["x.dev/stay"]}
    labelled = a_service("meta")
    labelled.predictor["template"] = {"metadata": {"labels": labels, "annotations": {LABEL_NAME: other}, **theirs}}
    tenant.make(labelled)
    tenant.make(a_service("victim"), labels={LABEL_NAME: "victim", "namespace": other})
    tenant.make(a_service("owned"), ownerReferences=[owner])  # the garbage collector removes it: there is no such owner
    tenant.make(a_service("account").patched(serviceAccountName="builder", automountServiceAccountToken=True))
    tenant.make(on_runtime("runtime", "private"))
    tenant.make(a_service("weights").on("weights"))
    tenant.make(a_service("queue").having(scheduler={"t9kScheduler": {"queue": other}}))
    tenant.make(a_service("held").having(releases=[a_release() | {"revision": 1}]))
    tenant.make(a_runtime("rendered", args=["{{.X}}", f"{{{{printf `../{other}/%s` .X}}}}"], image="{{.X}}"))
    tenant.make(on_runtime("template", "rendered").with_parameters(X="{{.Y}}/../../" + other))
    for reason, name in (
        ("ServiceAccountNotFound", "account"),
        ("RuntimeNotFound", "runtime"),
        ("PVCNotFound", "weights"),
        ("RevisionNotFound", "held"),
    ):
        tenant.reason(reason, name)
    for name in ("meta", "victim", "queue", "template"):
        made = tenant.there("Deployment", f"{name}-predict-v1")
        assert made["metadata"]["ownerReferences"][0]["uid"] == tenant.service(name)["metadata"]["uid"]
        template = made["spec"]["template"]
        assert template["metadata"]["labels"][LABEL_NAME] == name
        assert template["metadata"]["labels"][LABEL_MANAGED_BY] == MANAGER
        assert not {"namespace", "ownerReferences", "finalizers"} & set(template["metadata"])
        route = tenant.there("HTTPRoute", name)["spec"]
        assert route["hostnames"] == [f"{name}.{tenant.name}.svc.cluster.local"]
        assert "namespace" not in route["rules"][0]["backendRefs"][0]
    tenant.gone("MLService", "owned")
    tenant.eve.delete("MLService", tenant.name, "victim")
    tenant.gone("Deployment", "victim-predict-v1")
    assert everything_in(kube, other) == before
    places = {event["objectRef"].get("namespace") for event in done_by_operator(audit)[so_far:]}
    assert tenant.name in places
    assert other not in places


def test_nothing_of_somebody_else_is_taken_over(tenant, kube, operator):
    """Objects at the names of the children, those of another service among them, and one labelled as ours."""
    learning = Tenant(kube)
    eventually("eve may write there, too", lambda: not learning.attempt(a_runtime()))
    learning.make(a_service("llama"))
    learning.there("HTTPRoute", "llama-predict-v1")
    (pin,) = kube.list("ControllerRevision", learning.name)
    tenant.create(a_service("other").also(a_release("v2")))
    tenant.reason("PredictorNotReady", "other")
    labels = {"app": "else"}
    spec = {"containers": [{"name": "a", "image": "a"}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {"selector": {"matchLabels": labels}, "replicas": 0, "template": template}
    tenant.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama-predict-v1"}, "spec": deployment}
    )
    service = {"ports": [{"port": 1}], "selector": labels}
    metadata = {"name": "llama", "labels": {LABEL_MANAGED_BY: MANAGER, LABEL_NAME: "somebody"}}
    tenant.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "llama"},
        "spec": {},
    }
    tenant.create(route)
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 7, "data": {}}
    tenant.create({**revision, "metadata": {"name": pin["metadata"]["name"]}})
    paths = (
        "/apis/apps/v1/namespaces/{}/deployments/llama-predict-v1",
        "/api/v1/namespaces/{}/services/llama",
        "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes/llama",
        "/apis/apps/v1/namespaces/{}/controllerrevisions/" + pin["metadata"]["name"],
        "/api/v1/namespaces/{}/services/other-predict-v2",
        "/api/v1/namespaces/{}/services/other",
    )

    def strangers():
        return [kube.api.get(path.format(tenant.name))["metadata"] for path in paths]

    def rolled_out():
        conditions = tenant.there("Deployment", "llama-predict-v1").get("status", {}).get("conditions", [])
        return any(c["reason"] == "NewReplicaSetAvailable" for c in conditions)

    eventually("Kubernetes' own controllers have done their part", rolled_out)
    before = strangers()
    tenant.make(a_service("llama"))
    tenant.make(a_service("other-predict-v2"))
    for name in ("llama", "other-predict-v2"):
        message = tenant.reason("NameConflict", name)["message"]
        assert "exists in namespace" in message
    tenant.eve.delete("MLService", tenant.name, "llama")
    tenant.eve.delete("MLService", tenant.name, "other-predict-v2")
    eventually(
        "what was made of them is gone",
        lambda: not kube.api.get(f"/api/v1/namespaces/{tenant.name}/services/llama-predict-v1"),
        90,  # the garbage collector looks for new kinds every half minute
    )
    assert strangers() == before


def test_pods_never_run_as_the_operator(tenant, kube, operator):
    tenant.make(a_service("borrow").patched(serviceAccountName="mlservice-operator", automountServiceAccountToken=True))
    tenant.reason("ServiceAccountNotFound", "borrow")
    # Where eve is let into the operator's own namespace, the account is there.
    tenant.grant(shipped.NAMESPACE)
    eventually("eve may write there", lambda: tenant.eve.api.request("GET", HOME)[0] == 200)
    tenant.make(a_runtime(), namespace=shipped.NAMESPACE)
    for field in ("serviceAccountName", "serviceAccount"):
        name = f"borrow-{field.lower()}"
        service = a_service(name).patched(**{field: "mlservice-operator"}, automountServiceAccountToken=True)
        tenant.make(service, namespace=shipped.NAMESPACE)
        eventually("it is refused", lambda n=name: ready_at_home(kube, n) == "ServiceAccountReserved")
        assert kube.get("Deployment", shipped.NAMESPACE, f"{name}-predict-v1") is None


def ready_at_home(kube, name):
    return condition(kube.get("MLService", shipped.NAMESPACE, name), "Ready").get("reason")


HOME = f"/apis/{GROUP}/v1beta1/namespaces/{shipped.NAMESPACE}/mlservices"
HOST = {"name": "host", "hostPath": {"path": "/"}}
DANGERS = {
    "host-path": {"volumes": [HOST]},
    "host-network": {"hostNetwork": True},
    "host-pid": {"hostPID": True},
    "privileged": {"containers": [{"name": "user-container", "securityContext": {"privileged": True}}]},
    "capability": {
        "containers": [{"name": "user-container", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]
    },
    "init": {"initContainers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]},
    "sysctl": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    "seccomp": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
}


def test_what_a_pod_may_not_do_a_service_may_not(tenant, kube, operator):
    """With Pod Security `baseline` the API server says the same to the Pod and to the service's pods."""
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    kube.api.merge(f"/api/v1/namespaces/{tenant.name}", {"metadata": {"labels": labels}})
    for name, spec in DANGERS.items():
        tenant.make(a_service(name).patched(**spec))
    for name in DANGERS:
        message = tenant.reason("PodSecurityViolation", name)["message"]
        template = tenant.there("Deployment", f"{name}-predict-v1")["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]}}
        pods = f"/api/v1/namespaces/{tenant.name}/pods"
        status, answer = kube.api.request(
            "POST", pods, json.dumps(pod | {"spec": template["spec"]}), "application/json"
        )
        assert status == 403
        said = json.loads(answer)["message"].partition("violates PodSecurity")[2]
        assert said
        assert said in message
    assert kube.list("Pod", tenant.name) == []


def deep(levels):
    return '{"a":' * levels + "{}" + "}" * levels


def send(tenant, manifest, place):
    """Create it as eve, with 9,000 levels of JSON at a place: more than Python's parser reads by itself."""
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": tenant.name}}
    path = f"/apis/{GROUP}/v1beta1/namespaces/{tenant.name}/{manifest['kind'].lower()}s"
    body = json.dumps(manifest).replace(json.dumps(place), deep(9000))
    assert tenant.eve.api.request("POST", path, body, "application/json")[0] == 201


@pytest.fixture
def reading_deep_json():
    """Let this process read what the operator has to read, and only for one test."""
    before = sys.getrecursionlimit(), json._default_decoder
    read_deep_json()
    yield
    sys.setrecursionlimit(before[0])
    json._default_decoder = before[1]


def test_nobodys_manifest_stops_the_operator(tenant, kube, operator, reading_deep_json):
    """Nested deeper than Python reads, and templates that would fill its memory."""
    process = operator.process.pid
    send(tenant, a_service("deep").patched(affinity="HERE").manifest, "HERE")
    send(tenant, a_runtime("deep", lifecycle="HERE"), "HERE")
    left_over = a_service("old")
    left_over.predictor["tensorflow"] = "HERE"
    send(tenant, left_over.manifest, "HERE")
    tenant.make(on_runtime("on-deep", "deep"))
    tenant.make(a_runtime("bomb", args=["{{.X}}" * 3000]))
    tenant.make(on_runtime("bombed", "bomb").with_parameters(X="x" * 400_000))
    for reason, name, words in (
        ("InvalidSpec", "deep", "nested deeper than 100 levels"),
        ("RuntimeInvalid", "on-deep", "MLServiceRuntime deep cannot be read"),
        ("TemplateInvalid", "bombed", "becomes longer than 1048576 characters"),
    ):
        assert words in tenant.reason(reason, name, seconds=120)["message"]
    tenant.there("Deployment", "old-predict-v1")
    assert operator.process.poll() is None
    operator.stop()
    operator.start()
    tenant.make(a_service("next"))
    tenant.there("Deployment", "next-predict-v1")
    assert operator.process.pid != process
    assert "this is a bug" not in operator.text()
    for name in ("deep", "old"):
        tenant.eve.delete("MLService", tenant.name, name)
    tenant.eve.delete("MLServiceRuntime", tenant.name, "deep")
