"""Mount a release's weights into user-container."""

from mlservice.api.meta import Object
from mlservice.api.mlservice import DEFAULT_MOUNT_PATH, PVCStorage, Storage
from mlservice.api.reasons import Reason
from mlservice.plan.world import Invalid, World

VOLUME = "mlservice-storage"


def checked_claim(storage: Storage | None, world: World) -> PVCStorage | None:
    """Return the claim to mount, or None where the release has no storage.

    Raises Invalid when the claim does not exist, or the storage is of a kind that is not served yet.
    """
    if storage is None:
        return None
    if storage.s3 is not None:
        raise Invalid(
            Reason.STORAGE_UNSUPPORTED,
            "storage.s3 is not served yet: put the model on a PersistentVolumeClaim and name it in storage.pvc",
        )
    pvc = storage.pvc
    if pvc is not None and pvc.name not in world.claims:
        raise Invalid(
            Reason.PVC_NOT_FOUND,
            f"PersistentVolumeClaim {pvc.name} does not exist in namespace {world.service.namespace}: create it, or "
            "correct storage.pvc.name. The release starts by itself as soon as the claim exists",
        )
    return pvc


def volume(pvc: PVCStorage) -> Object:
    return {
        "name": VOLUME,
        "persistentVolumeClaim": {"claimName": pvc.name} | ({"readOnly": True} if pvc.read_only else {}),
    }


def mount(pvc: PVCStorage) -> Object:
    """The volume mount; a sub path of `.` or with a trailing slash, as T9k's manifests have it, means the same."""
    parts = [part for part in (pvc.sub_path or "").split("/") if part not in ("", ".")]
    return {
        "name": VOLUME,
        "mountPath": pvc.mount_path or DEFAULT_MOUNT_PATH,
        **({"subPath": "/".join(parts)} if parts else {}),
        **({"readOnly": True} if pvc.read_only else {}),
    }
