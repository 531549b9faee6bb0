"""What the API server's own words mean; the examples are quoted from real ones."""

import pytest
from mlservice.api.reasons import Reason
from mlservice.cluster.client import ApiError
from mlservice.plan.contest import contest
from mlservice.plan.refusal import refusal
from mlservice.plan.world import Ref

POD = 'pods "llama-predict-v1-5d4c9-abcde" is forbidden: '


@pytest.mark.parametrize(
    ("words", "reason", "cure"),
    [
        (
            POD + "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 1, limited: 1",
            "QuotaExceeded",
            "raised",
        ),
        (
            POD + "failed quota: cpus: must specify limits.cpu for: user-container",
            "QuotaExceeded",
            "containersResources",
        ),
        (
            POD + 'violates PodSecurity "restricted:latest": runAsNonRoot != true',
            "PodSecurityViolation",
            "predictor.template",
        ),
        ('admission webhook "gate.example.com" denied the request: no', "AdmissionDenied", "webhook"),
        (
            "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "AdmissionDenied",
            "policy",
        ),
        (
            'Internal error occurred: failed calling webhook "gate.example.com": failed to call webhook: Post "https://g"',
            "WebhookUnavailable",
            "start it",
        ),
        (
            'services "llama" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "services"',
            "OperatorForbidden",
            "ClusterRole",
        ),
        (
            POD + 'error looking up service account a/b: serviceaccount "b" not found',
            "ServiceAccountNotFound",
            "Create",
        ),
        ('namespaces "x" is forbidden: it is being terminated', "Refused", ""),
    ],
)
def test_reason_is_read_from_the_words(words, reason, cure):
    found = refusal("Deployment x", words)
    assert found.reason == reason
    assert found.message.startswith(f"The API server refuses Deployment x: {words}")
    assert cure in found.message


def test_template_that_does_not_fit_is_told_so():
    found = refusal("Deployment x", "spec.nodeSelektor: field not declared in schema", Reason.POD_TEMPLATE_INVALID)
    assert found.reason == "PodTemplateInvalid"
    assert "Correct it in predictor.template, containersResources or the runtime" in found.message


@pytest.mark.parametrize(
    ("status", "message", "refused"),
    [
        (422, "is invalid", True),
        (403, "forbidden", True),
        (500, "Internal error occurred: failed calling webhook", True),
        (429, 'admission webhook "x" denied the request', True),
        (500, "etcdserver: leader changed", False),
        (409, "the object has been modified", False),
        (503, "not ready", False),
    ],
)
def test_refusals_are_told_from_troubles_that_pass(status, message, refused):
    assert ApiError(status, "", message).is_refusal == refused


def test_contest_names_field_and_rivals():
    live = {
        "metadata": {"managedFields": [{"manager": "mlservice-operator"}, {"manager": "kubectl-edit"}]},
        "spec": {"template": {"spec": {"containers": [{"name": "user-container", "image": "theirs"}]}}},
    }
    wanted = {"spec": {"template": {"spec": {"containers": [{"name": "user-container", "image": "ours"}]}}}}
    message = contest(Ref("Deployment", "x"), live, wanted).message
    assert "Deployment x (kubectl-edit) changes spec.template.spec.containers[user-container].image again" in message
    assert (
        "give the autoscaler the MLService's bounds"
        in contest(Ref("Deployment", "x"), live, {"spec": {"replicas": 1}}).message
    )
    assert "deletes Service y again" in contest(Ref("Service", "y"), None, {}).message
