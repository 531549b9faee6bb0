"""Mount a release's weights into user-container."""

from mlservice.api.meta import Object
from mlservice.api.mlservice import DEFAULT_MOUNT_PATH, PVCStorage, Storage
from mlservice.api.reasons import Reason
from mlservice.plan.scheduling import claim_names
from mlservice.plan.world import Invalid, World

VOLUME = "mlservice-storage"


def checked_claim(storage: Storage | None, world: World) -> PVCStorage | None:
    """Return the claim to mount, as it allows, or None where the release has no storage.

    A claim without a volume yet is fine: with volumeBindingMode WaitForFirstConsumer it is the pod that makes one come.
    Raises Invalid when no new pod could mount the claim, or the storage is of a kind that is not served yet.
    """
    if storage is None:
        return None
    if storage.s3 is not None:
        raise Invalid(
            Reason.STORAGE_UNSUPPORTED,
            "storage.s3 is not served yet: put the model on a PersistentVolumeClaim and name it in storage.pvc",
        )
    pvc = storage.pvc
    if pvc is None:
        return None
    claim, name = world.claims.get(pvc.name), f"PersistentVolumeClaim {pvc.name}"
    if claim is None:
        raise Invalid(
            Reason.PVC_NOT_FOUND,
            f"{name} does not exist in namespace {world.service.namespace}: create it, or correct storage.pvc.name. "
            "The release starts by itself as soon as the claim exists",
        )
    if "deletionTimestamp" in claim["metadata"]:
        raise Invalid(
            Reason.PVC_TERMINATING,
            f"{name} is being deleted: no new pod may use it, and it goes when the last pod that uses it ends. To "
            "replace it: set spec.runMode to paused, create the claim again once it is gone, set runMode to running",
        )
    if claim.get("status", {}).get("phase") == "Lost":
        raise Invalid(
            Reason.PVC_LOST,
            f"{name} has lost its volume {claim['spec'].get('volumeName', '')}: delete the claim, create it again, and "
            "put the weights on it",
        )
    if claim["spec"].get("volumeMode") == "Block":
        raise Invalid(
            Reason.PVC_NOT_MOUNTABLE,
            f"{name} is a raw block device (volumeMode: Block): weights are files, so name a claim with volumeMode: "
            "Filesystem",
        )
    if _modes(claim) == {"ReadOnlyMany"}:
        if pvc.read_only is False:
            raise Invalid(
                Reason.PVC_READ_ONLY,
                f"{name} can only be read (its access mode is ReadOnlyMany), and storage.pvc.readOnly is false: remove "
                "that line, or set it to true",
            )
        return pvc.model_copy(update={"read_only": True})
    return pvc


def one_pod_claim(storage: Storage | None, world: World) -> str | None:
    """Name of the release's claim if only one pod at a time can use it."""
    name = storage.pvc.name if storage and storage.pvc else ""
    return name if _modes(world.claims.get(name, {})) == {"ReadWriteOncePod"} else None


def attached_elsewhere(pod: Object, world: World) -> str | None:
    """Say which claim keeps this pod from starting because it attaches to one node, and another pod uses it there."""
    node = pod["spec"].get("nodeName")
    for name in claim_names(pod):
        if _modes(world.claims.get(name, {})) != {"ReadWriteOnce"}:
            continue
        for other in world.pods:
            elsewhere = other["spec"].get("nodeName")
            ended = other.get("status", {}).get("phase") in ("Failed", "Succeeded")
            if elsewhere and elsewhere != node and not ended and name in claim_names(other):
                return (
                    f"PersistentVolumeClaim {name} attaches to one node only (ReadWriteOnce), and pod "
                    f"{other['metadata']['name']} uses it on node {elsewhere}"
                )
    return None


def _modes(claim: Object) -> set[str]:
    return set(claim.get("spec", {}).get("accessModes") or [])


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
