"""What the stores keep of each object: enough to plan with, no more."""

from typing import Any

from mlservice.api.meta import LABEL_NAME, Object
from mlservice.cluster.store import Key


def without_managed_fields(obj: Object) -> Object:
    """managedFields are half of an object's size and none of its meaning."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


def child(obj: Object) -> Object:
    """Of managedFields, which are half of an object's size, only who the managers are and who wrote the replicas."""
    managers = []
    for entry in obj["metadata"].get("managedFields", []):
        replicas = "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        managers.append(
            _picked(entry, "manager", "operation", "subresource")
            | ({"fieldsV1": {"f:spec": {"f:replicas": {}}}} if replicas else {})
        )
    return {**obj, "metadata": {**obj["metadata"], "managedFields": managers}}


def pod(obj: Object) -> Object:
    spec = obj.get("spec", {})
    status = obj.get("status", {})
    return {
        "kind": obj["kind"],
        "metadata": _metadata(obj),
        "spec": {
            **_picked(spec, "nodeName", "schedulerName", "nodeSelector", "affinity", "tolerations"),
            "containers": [_picked(c, "name", "resources") for c in spec.get("containers", [])],
            "volumes": [v for v in spec.get("volumes", []) if "persistentVolumeClaim" in v],
        },
        "status": _picked(
            status, "phase", "reason", "message", "conditions", "initContainerStatuses", "containerStatuses"
        ),
    }


def claim(obj: Object) -> Object:
    return {
        "kind": obj["kind"],
        "metadata": _metadata(obj),
        "spec": _picked(obj.get("spec", {}), "accessModes", "volumeName", "volumeMode"),
        "status": _picked(obj.get("status", {}), "phase"),
    }


def controlling_service(obj: Object) -> Key | None:
    """Key of the MLService that controls this child."""
    for owner in obj["metadata"].get("ownerReferences", []):
        if owner.get("controller") and owner["kind"] == "MLService":
            return obj["metadata"]["namespace"], owner["name"]
    return None


def labelled_service(obj: Object) -> Key | None:
    """Key of the MLService that a pod belongs to."""
    name = obj["metadata"].get("labels", {}).get(LABEL_NAME)
    return (obj["metadata"]["namespace"], name) if name else None


def _metadata(obj: Object) -> Object:
    return _picked(
        obj["metadata"],
        "name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp", "deletionTimestamp",
    )  # fmt: skip


def _picked(obj: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: obj[name] for name in names if name in obj}
