"""Labels and names of the children; they are API: selectors are immutable and clients use the names."""

from mlservice.api.meta import (
    API_VERSION,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_RELEASE,
    MANAGER,
    Object,
)
from mlservice.api.mlservice import MLService


def release_name(service: MLService, release: str) -> str:
    """Name of a release's Deployment, Service and HTTPRoute."""
    return f"{service.name}-predict-{release}"


def predictor_selector(service: MLService, release: str) -> dict[str, str]:
    return {LABEL_NAME: service.name, LABEL_RELEASE: release, LABEL_COMPONENT: "predictor"}


def predictor_labels(service: MLService, release: str) -> dict[str, str]:
    return {**predictor_selector(service, release), **_recommended(service)}


def service_labels(service: MLService) -> dict[str, str]:
    return {LABEL_NAME: service.name, **_recommended(service)}


def _recommended(service: MLService) -> dict[str, str]:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/"""
    return {
        "app.kubernetes.io/name": "mlservice",
        "app.kubernetes.io/instance": service.name,
        LABEL_MANAGED_BY: MANAGER,
    }


def metadata(service: MLService, name: str, labels: dict[str, str]) -> Object:
    """Metadata of a child: the garbage collector deletes it with the service, also while the operator is down."""
    return {
        "name": name,
        "namespace": service.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "MLService",
                "name": service.name,
                "uid": service.metadata["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
