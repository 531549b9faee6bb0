"""Names that are API: the group, labels, annotations, and the base class of every model."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

GROUP = "tensorstack.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

MANAGER = "mlservice-operator"
"""Field manager of every server-side apply, and the value of `app.kubernetes.io/managed-by`."""

SCALER = f"{MANAGER}-scale"
"""Field manager of replica counts, apart from the apply's, so that leaving them out of the apply never resets them."""

REPAIRER = f"{MANAGER}-repair"
"""Field manager of a child's spec that is set whole; gone from the object a moment later."""

LABEL_NAME = "mlservice.tensorstack.dev/name"
LABEL_RELEASE = "mlservice.tensorstack.dev/release"
LABEL_COMPONENT = "mlservice.tensorstack.dev/component"
LABEL_REVISION = "mlservice.tensorstack.dev/revision"
"""On pods: the hash of their template, which is the end of their ControllerRevision's name."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

ANNOTATION_APPLIED = "mlservice.tensorstack.dev/applied"
"""Hash of what the operator last applied to this child; a field it no longer sends shows as a changed hash."""

ANNOTATION_INPUTS = "mlservice.tensorstack.dev/inputs"
"""On Deployments and ControllerRevisions: hash of what the MLService said when their pod template was rendered."""

ANNOTATION_IN_PLACE = "mlservice.tensorstack.dev/in-place"
"""On a Deployment while its pods are replaced in place: why no new pod starts beside the old ones."""

ANNOTATION_UPDATE = "mlservice.tensorstack.dev/update"
"""On an MLService, written by a person: another value asks for the newest runtime in every release."""

USER_CONTAINER = "user-container"
"""The container that serves the model; T9k's API fixes this name."""

DEFAULT_PORT = 8080
"""Serving port of a runtime that declares none (T9k's rule)."""

Object = dict[str, Any]
"""A Kubernetes object as the API server sends it."""


class Model(BaseModel):
    """Base of the custom resources' models: camelCase on the wire, attribute docstrings become `kubectl explain`."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True, extra="ignore", frozen=True
    )


def without_nulls(value: Any) -> Any:
    """Drop every null, at any depth: in this API a null means 'unset' (Helm charts render empty values as null)."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value if v is not None]
    return value


def mistakes(error: ValidationError) -> str:
    """What a model found wrong, one mistake after the other, such as `spec.default: Field required`."""
    return "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
