"""PersistentVolumes of the local cluster, which has no provisioner: a folder of this machine for each claim."""

from pathlib import Path
from typing import Any

from local_cluster.api import Api
from local_cluster.state import State

SIZE = "100Gi"


def provide(state: State, api: Api, namespace: str, claim: str) -> Path:
    """Make a folder the volume of a claim that exists or will; returns the folder, in which any user may write.

    A volume whose claim was deleted is given to the next claim of this name, with what is on it.
    """
    name = f"{namespace}-{claim}"
    folder = state.root / "volumes" / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o1777)  # the kubelet does not apply fsGroup to a hostPath
    path = f"/api/v1/persistentvolumes/{name}"
    live = api.apply(path, manifest(name, folder, namespace, claim))
    if live.get("status", {}).get("phase") == "Released":
        api.merge(path, {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
    return folder


def manifest(name: str, folder: Path, namespace: str, claim: str) -> dict[str, Any]:
    """The PersistentVolume, reserved for its claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
