"""Every reason a condition, release or Event of an MLService can carry; docs/reference/reasons.md explains each."""

from enum import StrEnum


class Reason(StrEnum):
    """Stable, CamelCase, one cause each; the message beside it says what to do."""

    READY = "Ready"
    """Every routed release has a ready pod and the route is in place."""

    PREDICTOR_NOT_READY = "PredictorNotReady"
    """Pods are starting: the model is loading, or a rollout replaces them."""

    PAUSED = "Paused"
    """spec.runMode is paused: no pods run."""

    RUNNING = "Running"
    """The service is not paused."""

    INVALID_SPEC = "InvalidSpec"
    """The MLService cannot be read; the message quotes the field."""

    RUNTIME_NOT_FOUND = "RuntimeNotFound"
    """The MLServiceRuntime does not exist in this namespace."""

    RUNTIME_DISABLED = "RuntimeDisabled"
    """The MLServiceRuntime has spec.enabled false; pods that run are left alone."""

    RUNTIME_INVALID = "RuntimeInvalid"
    """The MLServiceRuntime cannot be used: no user-container, or no clear serving port."""

    PARAMETER_MISSING = "ParameterMissing"
    """The runtime's template names a parameter that the release does not set."""

    TEMPLATE_INVALID = "TemplateInvalid"
    """The runtime's template uses a construct outside the supported subset of Go's text/template."""

    PATCH_INVALID = "PatchInvalid"
    """predictor.template cannot be merged onto the runtime's pod template."""

    CONTAINER_NOT_FOUND = "ContainerNotFound"
    """containersResources names a container that the pod does not have."""

    RESOURCES_INVALID = "ResourcesInvalid"
    """A limit or request of a container is no Kubernetes quantity."""

    PVC_NOT_FOUND = "PVCNotFound"
    """The PersistentVolumeClaim does not exist in this namespace."""

    STORAGE_UNSUPPORTED = "StorageUnsupported"
    """The storage asked for is not served by this version."""

    NAME_CONFLICT = "NameConflict"
    """A child's name is taken by an object that is not this service's."""

    PVC_TERMINATING = "PVCTerminating"
    """The PersistentVolumeClaim is being deleted; no new pod may use it."""

    PVC_LOST = "PVCLost"
    """The PersistentVolumeClaim's volume is gone."""

    PVC_PENDING = "PVCPending"
    """No volume is bound to the PersistentVolumeClaim, and the pods wait for that."""

    PVC_READ_ONLY = "PVCReadOnly"
    """The PersistentVolumeClaim allows reading only, and storage.pvc.readOnly is false."""

    PVC_NOT_MOUNTABLE = "PVCNotMountable"
    """The PersistentVolumeClaim is a raw block device, which has no files."""

    POD_TEMPLATE_INVALID = "PodTemplateInvalid"
    """The API server finds the pod template that runtime and template make together invalid."""

    QUOTA_EXCEEDED = "QuotaExceeded"
    """A ResourceQuota of the namespace leaves no room for a child or a pod."""

    POD_SECURITY = "PodSecurityViolation"
    """The namespace's Pod Security level forbids the pods."""

    ADMISSION_DENIED = "AdmissionDenied"
    """An admission webhook or a ValidatingAdmissionPolicy denied a child or a pod."""

    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"
    """An admission webhook that must be asked does not answer."""

    SERVICE_ACCOUNT_NOT_FOUND = "ServiceAccountNotFound"
    """The pods' ServiceAccount does not exist in this namespace."""

    SERVICE_ACCOUNT_RESERVED = "ServiceAccountReserved"
    """The pods would run under the operator's own ServiceAccount."""

    OPERATOR_FORBIDDEN = "OperatorForbidden"
    """The operator itself lacks a permission."""

    REFUSED = "Refused"
    """The API server refused a child or a pod for another reason; the message quotes it."""

    FIELDS_CONTESTED = "FieldsContested"
    """Somebody else changes a child again and again, against what the MLService says."""

    ROUTE_NOT_READY = "RouteNotReady"
    """The Gateway has not accepted the HTTPRoute yet, or refuses it."""

    SCALED_TO_ZERO = "ScaledToZero"
    """The routed release has no pods, since minReplicas is 0 and nobody scaled it up."""

    UNSCHEDULABLE = "Unschedulable"
    """No node takes the pod; the message is the scheduler's."""

    IMAGE_PULL_FAILED = "ImagePullFailed"
    """A container's image cannot be pulled."""

    CONTAINER_CRASHED = "ContainerCrashed"
    """A container ended with an error and is started again; the message holds its last words."""

    OUT_OF_MEMORY = "OutOfMemory"
    """A container used more memory than its limit and was killed."""

    CONTAINER_CONFIG_INVALID = "ContainerConfigInvalid"
    """The kubelet cannot create or start a container: a missing Secret, ConfigMap, sub path or command."""

    CONTAINERS_NOT_STARTED = "ContainersNotStarted"
    """A pod has a node, but none of its containers: a volume or the network is not there."""

    PROBE_FAILING = "ReadinessProbeFailing"
    """A container that was ready does not answer its readiness probe any more."""

    NODE_NOT_READY = "NodeNotReady"
    """The node of a pod does not answer."""

    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """No pod became ready within the Deployment's progress deadline."""

    POD_FAILED = "PodFailed"
    """A pod ended for good: evicted, refused by the node, or past its deadline."""

    REPLACING_IN_PLACE = "ReplacingInPlace"
    """The cluster has no room for a second pod: the old one stops before the new one starts."""

    FIELDS_IGNORED = "FieldsIgnored"
    """Some fields are accepted but not yet served; the message names them."""

    FIELDS_DEPRECATED = "FieldsDeprecated"
    """Some fields are of an older generation of the API and have no effect; the message names what replaced them."""

    ALL_READY = "AllReady"
    """Every release, routed or not, has its pods ready."""

    UP_TO_DATE = "UpToDate"
    """Every release runs what its runtime and the MLService say now."""

    NEWER_TEMPLATE = "NewerTemplate"
    """A runtime was edited, or the operator upgraded: new pods would be other ones. What runs is left alone."""

    REVISION_NOT_FOUND = "RevisionNotFound"
    """releases[].revision names a revision that the release does not have."""

    CREATED = "Created"
    """Event: the service was seen for the first time."""


WAITS_FOR_USER = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.RUNTIME_NOT_FOUND,
        Reason.RUNTIME_DISABLED,
        Reason.RUNTIME_INVALID,
        Reason.PARAMETER_MISSING,
        Reason.TEMPLATE_INVALID,
        Reason.PATCH_INVALID,
        Reason.CONTAINER_NOT_FOUND,
        Reason.RESOURCES_INVALID,
        Reason.PVC_NOT_FOUND,
        Reason.PVC_TERMINATING,
        Reason.PVC_LOST,
        Reason.PVC_READ_ONLY,
        Reason.PVC_NOT_MOUNTABLE,
        Reason.STORAGE_UNSUPPORTED,
        Reason.REVISION_NOT_FOUND,
        Reason.NAME_CONFLICT,
        Reason.POD_TEMPLATE_INVALID,
        Reason.QUOTA_EXCEEDED,
        Reason.POD_SECURITY,
        Reason.ADMISSION_DENIED,
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        Reason.SERVICE_ACCOUNT_RESERVED,
        Reason.OPERATOR_FORBIDDEN,
        Reason.REFUSED,
        Reason.FIELDS_CONTESTED,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
    }
)
"""Reasons that no waiting cures: Stalled is True (kstatus reads it as Failed) until somebody changes something."""
