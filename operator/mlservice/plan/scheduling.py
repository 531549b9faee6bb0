"""What the scheduler says of a pod, and how far a pod got that has a node but no container yet.

The words are those of kube-scheduler's plugins (pkg/scheduler/framework/plugins); a pod's status has no codes for them.
"""

import re
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.pods import condition, requests
from mlservice.plan.world import Finding

ROOM = ("Insufficient ", "Too many pods", "free ports", "anti-affinity", "ReadWriteOncePod", "max volume count")
"""What the scheduler misses where another pod's end can help."""

CORDONED = "node(s) were unschedulable"
"""Some node is closed to new pods. It may be the one where the old pod runs, so that its end would not help."""

CLAIM_TROUBLE: tuple[tuple[str, Reason, str], ...] = (
    (r'persistentvolumeclaim "(\S+)" not found', Reason.PVC_NOT_FOUND, "create it"),
    (
        r'persistentvolumeclaim "(\S+)" is being deleted',
        Reason.PVC_TERMINATING,
        "create it again as soon as it is gone, or name another",
    ),
    (
        r'persistentvolumeclaim "(\S+)" bound to non-existent persistentvolume',
        Reason.PVC_LOST,
        "its volume is gone: delete the claim and make it anew, with the weights on it",
    ),
)
PENDING = ("unbound immediate PersistentVolumeClaims", "available persistent volumes to bind", "binding volumes")


def unscheduled(pod: Object) -> Finding | None:
    """What keeps the scheduler from giving the pod a node, or None when it has one or was not looked at yet."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    said = _without_preemption(str(scheduled.get("message", "not scheduled")))
    name, namespace = pod["metadata"]["name"], pod["metadata"].get("namespace", "default")
    for pattern, reason, cure in CLAIM_TROUBLE:
        if found := re.search(pattern, said):
            return Finding(reason, f"Pod {name} waits for PersistentVolumeClaim {found[1]}: {said}: {cure}")
    if any(part in said for part in PENDING) and "Insufficient " not in said:
        claims = ", ".join(claim_names(pod)) or "its claim"
        return Finding(
            Reason.PVC_PENDING,
            f"Pod {name} waits for a volume to be bound to PersistentVolumeClaim {claims}: {said}. What is missing, a "
            f"storage class or a PersistentVolume, shows in kubectl -n {namespace} describe pvc {claims}",
        )
    cure = ". Free what is missing, ask for less, or add a node" if "Insufficient " in said else ""
    return Finding(Reason.UNSCHEDULABLE, f"Pod {name}: {said}{cure}")


def lacks_room_since(pod: Object) -> datetime | None:
    """Since when the pod waits for room that another pod's end may make; None when it does not, or nobody can tell."""
    scheduled = condition(pod, "PodScheduled")
    said = str(scheduled.get("message", ""))
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable" or CORDONED in said:
        return None
    return _time(scheduled) if any(part in said for part in ROOM) else None


def fits_in_place_of(wanted: Object, placed: Object) -> bool:
    """Whether a pod that is to be scheduled could have the node of another that ends."""
    room = requests(placed)
    return _conditions(wanted) == _conditions(placed) and all(
        amount <= room.get(name, 0) for name, amount in requests(wanted).items()
    )


def untouched_since(pod: Object) -> datetime | None:
    """Since when no scheduler has looked at the pod; None once one has."""
    if condition(pod, "PodScheduled") or pod["spec"].get("nodeName") or pod["status"].get("phase") != "Pending":
        return None
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def not_started_since(pod: Object) -> datetime | None:
    """Since when the pod has a node but no sandbox, which the kubelet makes after the volumes are mounted.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions
    """
    sandbox = condition(pod, "PodReadyToStartContainers")
    if sandbox.get("status") != "False" or pod.get("status", {}).get("phase") != "Pending":
        return None
    return _time(sandbox) or _time(condition(pod, "PodScheduled"))


def claim_names(pod: Object) -> list[str]:
    """Names of the PersistentVolumeClaims that the pod mounts."""
    volumes = pod.get("spec", {}).get("volumes", [])
    return sorted({v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v})


def _conditions(pod: Object) -> tuple[object, ...]:
    spec = pod.get("spec", {})
    affinity = spec.get("affinity") or {}
    return spec.get("nodeSelector") or {}, affinity.get("nodeAffinity") or {}, _lasting(spec.get("tolerations") or [])


def _lasting(tolerations: list[Object]) -> list[Object]:
    """Without those that admission adds to every pod, which a template does not have."""
    return [
        t for t in tolerations if t.get("key") not in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]


def _time(found: Object) -> datetime | None:
    stamp = found.get("lastTransitionTime")
    return datetime.fromisoformat(stamp) if stamp else None


def _without_preemption(said: str) -> str:
    """Without the second list of all nodes, which tells why no other pod is thrown out."""
    return re.sub(r"[. ]*(no new claims to deallocate, )?preemption: .*$", "", said).rstrip(". ")
