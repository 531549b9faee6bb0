"""Questions asked of pods."""

from datetime import datetime
from decimal import Decimal

from mlservice.api.meta import LABEL_RELEASE, Object
from mlservice.plan.quantity import quantity
from mlservice.plan.world import World


def pods_of(world: World, release: str) -> list[Object]:
    """The release's pods that are not being deleted, newest first; a tie is broken by name."""
    own = [
        pod
        for pod in world.pods
        if pod["metadata"].get("labels", {}).get(LABEL_RELEASE) == release
        and "deletionTimestamp" not in pod["metadata"]
    ]
    by_name = sorted(own, key=lambda pod: str(pod["metadata"]["name"]))
    return sorted(by_name, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def condition(pod: Object, type_: str) -> Object:
    """The condition of this type of a pod or Deployment; empty when it has none."""
    return next((c for c in pod.get("status", {}).get("conditions", []) if c["type"] == type_), {})


def is_ready(pod: Object) -> bool:
    return bool(condition(pod, "Ready").get("status") == "True")


def unschedulable_since(pod: Object) -> datetime | None:
    """When the scheduler first found no node for this pod, or None."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    return datetime.fromisoformat(scheduled["lastTransitionTime"])


def requests(pod: Object) -> dict[str, Decimal]:
    """What the pod's containers ask for together, in base units; a limit without a request counts as one."""
    total: dict[str, Decimal] = {}
    for container in pod.get("spec", {}).get("containers", []):
        resources = container.get("resources", {})
        for name, amount in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            total[name] = total.get(name, Decimal(0)) + (quantity(amount) or Decimal(0))
    return total
