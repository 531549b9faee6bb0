"""What the API server, or an admission check behind it, refuses: the reason and the cure, told from its own words.

The words are those of Kubernetes' admission plugins (pkg/quota, pod-security-admission, apiserver/pkg/admission); no
code of an answer tells them apart, and of a refused pod only the words arrive.
"""

import re

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.places import named
from mlservice.plan.world import Finding, ref

WORDS_LIMIT = 1000
"""Characters that are quoted of somebody else's words."""

RULES: tuple[tuple[str, Reason, str], ...] = (
    (
        "exceeded quota",
        Reason.QUOTA_EXCEEDED,
        "Delete something in the namespace, ask for less, or have the ResourceQuota raised",
    ),
    (
        "failed quota",
        Reason.QUOTA_EXCEEDED,
        "The ResourceQuota wants these to be set: add them to predictor.containersResources",
    ),
    (
        "violates PodSecurity",
        Reason.POD_SECURITY,
        "Set what it names in predictor.template or in the runtime, or change the namespace's label "
        "pod-security.kubernetes.io/enforce",
    ),
    (
        "failed calling webhook",
        Reason.WEBHOOK_UNAVAILABLE,
        "The webhook's own service does not answer: whoever installed it must start it, or remove its "
        "ValidatingWebhookConfiguration or MutatingWebhookConfiguration",
    ),
    (
        "admission webhook",
        Reason.ADMISSION_DENIED,
        "Change what it objects to, or ask whoever runs the webhook",
    ),
    (
        "ValidatingAdmissionPolicy",
        Reason.ADMISSION_DENIED,
        "Change what it objects to, or ask whoever made the policy",
    ),
    (
        "error looking up service account",
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        "Create the ServiceAccount, or correct serviceAccountName in predictor.template or in the runtime",
    ),
    (
        'User "[^"]*" cannot|cannot set blockOwnerDeletion',
        Reason.OPERATOR_FORBIDDEN,
        "The operator lacks a permission: apply its ClusterRole again (kubectl apply -k deploy)",
    ),
)
"""Patterns, reasons and cures: the first that is found in the words wins."""


OTHERWISE = {
    Reason.POD_TEMPLATE_INVALID: "Correct it in predictor.template, containersResources or the runtime",
    Reason.REFUSED: "",
}


def refusal(what: str, words: str, otherwise: Reason = Reason.REFUSED) -> Finding:
    """Return the finding about a refused object; `what` names it, `words` are the API server's.

    `otherwise` is the reason where the words tell none: PodTemplateInvalid or Refused.
    """
    reason, cure = next(
        ((r, c) for pattern, r, c in RULES if re.search(pattern, words)), (otherwise, OTHERWISE[otherwise])
    )
    quoted = f"The API server refuses {what}: {words[:WORDS_LIMIT].strip()}"
    return Finding(reason, f"{quoted.rstrip('.')}. {cure}" if cure else quoted)


def refused_child(child: Object, status: int, words: str) -> Finding:
    """Return the finding about a child; `status` is the HTTP status of the refusal."""
    unfit = child["kind"] == "Deployment" and status not in (403, 404)
    otherwise = Reason.POD_TEMPLATE_INVALID if unfit else Reason.REFUSED
    return refusal(str(ref(child)), named(words, child), otherwise)


def refused_pods(deployment: str, words: str) -> Finding:
    """Return the finding about the pods of a Deployment, by name."""
    return refusal(f"the pods of Deployment {deployment}", words)
