"""What quotas, policies and webhooks refuse has its own reason; it goes when they do, and is no hot loop meanwhile."""

import time
from contextlib import contextmanager

import pytest
import yaml
from builders import a_service
from kube import Kube, condition, eventually
from rig import Operator, Project
from webhook import Webhook


def light(name="llama", **patch):
    service = a_service(name)
    service.predictor["model"]["runtime"] = "light"
    if patch:
        service.patched(**patch)
    return service


def quota(project, **hard):
    path = f"/api/v1/namespaces/{project.name}/resourcequotas/limits"
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limits"}, "spec": {"hard": hard}}
    project.kube.api.apply(path, body)
    eventually("the quota counts", lambda: (project.kube.api.get(path) or {}).get("status", {}).get("hard") == hard)


def policy(kube: Kube, project: Project, resource: str, group: str) -> tuple[str, str]:
    """A ValidatingAdmissionPolicy that denies to make these in the namespace; returns its path and its binding's."""
    root, name = "/apis/admissionregistration.k8s.io/v1", f"no-{resource}-{project.name}"
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["CREATE"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": project.name}}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "validations": [{"expression": "false", "message": "not on my cluster"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    paths = f"{root}/validatingadmissionpolicies/{name}", f"{root}/validatingadmissionpolicybindings/{name}"
    for path, kind, body in zip(paths, ("", "Binding"), (spec, binding), strict=True):
        manifest = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"ValidatingAdmissionPolicy{kind}"}
        kube.api.apply(path, {**manifest, "metadata": {"name": name}, "spec": body})
    eventually("the policy is in force", lambda: _rehearsed(project, resource, group)[0] == 422)
    return paths


def _rehearsed(project: Project, resource: str, group: str) -> tuple[int, str]:
    """What the API server says to the making of such an object, which is not made."""
    path = f"{'/apis/' + group if group else '/api'}/v1/namespaces/{project.name}/{resource}?dryRun=All"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    bodies = {
        "pods": {**template, "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "probe"}},
        "deployments": {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": "probe"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        },
    }
    return project.kube.api.request("POST", path, yaml.safe_dump(bodies[resource]), "application/yaml")


def attempts(operator: Operator) -> int:
    return operator.requests("PATCH", "deployments") + operator.requests("PATCH", "services")


def backs_off(operator: Operator, refused_children: int = 1) -> None:
    """In a second there is room for hundreds of attempts; a growing delay leaves a few."""
    time.sleep(2)
    before = attempts(operator)
    time.sleep(1)
    assert attempts(operator) - before <= 2 * refused_children


def test_quota_for_pods_is_told_and_what_it_refuses_comes_when_it_is_raised(real_project, real_operator):
    quota(real_project, pods="0")
    real_project.create(light())
    message = real_project.reason("QuotaExceeded")["message"]
    for words in ("Deployment llama-predict-v1", "exceeded quota: limits", "have the ResourceQuota raised"):
        assert words in message
    before = real_project.service()["metadata"]["resourceVersion"], attempts(real_operator)
    time.sleep(2)
    assert (real_project.service()["metadata"]["resourceVersion"], attempts(real_operator)) == before
    quota(real_project, pods="9")
    real_project.reason("Ready", seconds=90)  # at the pace of the ReplicaSet controller


def test_quota_for_children_is_told_and_cured_by_another_attempt(real_project, real_operator):
    quota(real_project, **{"count/deployments.apps": "0"})
    real_project.create(light())
    message = real_project.reason("QuotaExceeded")["message"]
    for words in ("refuses Deployment llama-predict-v1", "count/deployments.apps=0", "have the ResourceQuota raised"):
        assert words in message
    backs_off(real_operator)
    quota(real_project, **{"count/deployments.apps": "1"})
    real_project.reason("Ready", seconds=90)


def test_quota_for_services_is_told(real_project):
    quota(real_project, services="1")
    real_project.create(light())
    found = eventually("it is told", lambda: refused(real_project, "QuotaExceeded"))
    assert "exceeded quota: limits, requested: services=1, used: services=1, limited: services=1" in found


def refused(project, reason):
    """Message of the release or the service with this reason."""
    status = project.service().get("status", {})
    entries = [*status.get("releases", []), *status.get("conditions", [])]
    return next((entry["message"] for entry in entries if entry.get("reason") == reason), "")


def test_pod_security_is_told_with_what_to_set(real_project):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    real_project.kube.api.merge(f"/api/v1/namespaces/{real_project.name}", {"metadata": {"labels": labels}})
    real_project.create(light())
    message = real_project.reason("PodSecurityViolation")["message"]
    for words in ('violates PodSecurity "restricted', "runAsNonRoot", "Set what it names in predictor.template"):
        assert words in message
    context = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = light(containers=[{"name": "user-container", "securityContext": context}]).manifest["spec"]
    real_project.patch("MLService", "llama", {"spec": spec})
    real_project.reason("Ready")


def test_missing_service_account_is_told(real_project):
    real_project.create(light(serviceAccountName="builder"))
    message = real_project.reason("ServiceAccountNotFound")["message"]
    assert 'serviceaccount "builder" not found' in message
    assert "Create the ServiceAccount" in message


def test_policy_that_denies_pods_is_told(real_project):
    paths = policy(real_project.kube, real_project, "pods", "")
    try:
        real_project.create(light())
        message = real_project.reason("AdmissionDenied")["message"]
        for words in ("ValidatingAdmissionPolicy", "not on my cluster", "whoever made the policy"):
            assert words in message
    finally:
        remove(real_project.kube, paths)


def remove(kube, paths):
    for path in paths:
        kube.api.request("DELETE", path)


def test_policy_that_denies_children_is_told_and_cured_by_another_attempt(project, operator):
    paths = policy(project.kube, project, "deployments", "apps")
    try:
        project.create(a_service())
        assert "not on my cluster" in project.reason("AdmissionDenied")["message"]
        assert condition(project.service(), "Stalled")["status"] == "True"
        backs_off(operator)
    finally:
        remove(project.kube, paths)
    eventually("the Deployment is made", lambda: project.get("Deployment", "llama-predict-v1"), seconds=90)
    project.reason("PredictorNotReady")


@contextmanager
def registered(project, url, authority, *rules):
    """A ValidatingWebhookConfiguration for this namespace; yields the webhook's name."""
    name = f"gate.{project.name}.example.com"
    path = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{project.name}"
    webhook = {
        "name": name,
        "clientConfig": {"url": url, "caBundle": authority},
        "rules": [
            {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["CREATE", "UPDATE"]}
            for group, resource in rules
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": project.name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    project.kube.api.apply(path, {**kind, "metadata": {"name": project.name}, "webhooks": [webhook]})
    try:
        eventually("it is in force", lambda: "gate." in _rehearsed(project, rules[0][1], rules[0][0])[1])
        yield name
    finally:
        project.kube.api.request("DELETE", path)


def test_webhook_that_does_not_answer_is_told_and_no_failure_for_ever(project, operator):
    with registered(project, "https://127.0.0.1:1/", certificate(project.kube), ("apps", "deployments")) as name:
        project.create(a_service())
        message = project.reason("WebhookUnavailable")["message"]
        assert f'failed calling webhook "{name}"' in message
        assert "whoever installed it must start it" in message
        assert condition(project.service(), "Reconciling")["status"] == "True"
        backs_off(operator)
    eventually("the Deployment is made", lambda: project.get("Deployment", "llama-predict-v1"), seconds=90)
    project.reason("PredictorNotReady")


@pytest.mark.parametrize("code", [403, 500], ids=["forbidden", "webhook_chooses_an_error_code"])
def test_webhook_that_denies_children_is_told_and_cured_when_it_allows_them(project, operator, tmp_path, code):
    rules = ("apps", "deployments"), ("", "services")
    with Webhook(tmp_path, "no model server without a cost centre", code) as webhook:
        with registered(project, webhook.url, webhook.authority, *rules) as name:
            project.create(a_service())
            said = f'admission webhook "{name}" denied the request: no model server without a cost centre'
            told = project.reason("AdmissionDenied")["message"], refused(project, "AdmissionDenied")
            for child, message in zip(("Service llama", "Deployment llama-predict-v1"), told, strict=True):
                for words in (f"refuses {child}: ", said, "or ask whoever runs the webhook"):
                    assert words in message
            assert condition(project.service(), "Stalled")["status"] == "True"
            assert {"Deployment llama-predict-v1", "Service llama-predict-v1", "Service llama"} <= set(webhook.asked)
            backs_off(operator, refused_children=3)
            before = project.service()["metadata"]["resourceVersion"], operator.text().count("admission webhook")
            time.sleep(1)
            after = project.service()["metadata"]["resourceVersion"], operator.text().count("admission webhook")
            assert after == before
            webhook.allows = True
            eventually("the Deployment is made", lambda: project.get("Deployment", "llama-predict-v1"), seconds=90)
            project.reason("PredictorNotReady")
        names = {service["metadata"]["name"] for service in project.kube.list("Service", project.name)}
        assert names == {"llama", "llama-predict-v1"}


def test_webhook_that_denies_a_change_leaves_what_serves_and_is_cured_when_it_is_removed(project, operator, tmp_path):
    project.create(a_service())
    project.there("Deployment", "llama-predict-v1")
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    with (
        Webhook(tmp_path, "frozen until Monday") as webhook,
        registered(project, webhook.url, webhook.authority, ("apps", "deployments")) as name,
    ):
        changed = a_service().with_parameters(MODEL_NAME="other")
        project.patch("MLService", "llama", {"spec": changed.manifest["spec"]})
        message = eventually("it is told", lambda: refused(project, "AdmissionDenied"))
        assert f'admission webhook "{name}" denied the request: frozen until Monday' in message
        assert message in project.reason("Ready")["message"]
        live = project.there("Deployment", "llama-predict-v1")
        assert "--served-model-name=llama" in live["spec"]["template"]["spec"]["containers"][0]["args"]
        backs_off(operator)

    def changed_at_last():
        container = project.there("Deployment", "llama-predict-v1")["spec"]["template"]["spec"]["containers"][0]
        return "--served-model-name=other" in container["args"]

    eventually("the change is made", changed_at_last, seconds=90)


def certificate(kube: Kube) -> str:
    config = yaml.safe_load(kube.kubeconfig.read_text())
    return str(config["clusters"][0]["cluster"]["certificate-authority-data"])
