"""Questions asked of pods."""

from decimal import Decimal

from mlservice.api.meta import LABEL_RELEASE, LABEL_REVISION, Object
from mlservice.plan.quantity import quantity
from mlservice.plan.world import World

TEMPLATE_HASH = "pod-template-hash"
"""The label by which the Deployment controller tells the pods of one template from those of another."""


def pods_of(world: World, release: str, ending: bool = False) -> list[Object]:
    """The release's pods, those that are being deleted or the others, oldest first; a tie is broken by name."""
    own = [
        pod
        for pod in world.pods
        if pod["metadata"].get("labels", {}).get(LABEL_RELEASE) == release
        and ("deletionTimestamp" in pod["metadata"]) == ending
    ]
    return sorted(own, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), pod["metadata"]["name"]))


def is_of(pod: Object, template: Object) -> bool:
    """Whether the pod was made of this revision's template."""
    labels: Object = template.get("metadata", {}).get("labels", {})
    return bool(pod["metadata"].get("labels", {}).get(LABEL_REVISION) == labels.get(LABEL_REVISION))


def current_pods(world: World, release: str, template: Object) -> list[Object]:
    """Those of the release's pods that are of this template: what was mended in it shows in no older pod.

    A restarted rollout has pods of one revision and two templates: the later ones are meant.
    """
    own = [pod for pod in pods_of(world, release) if is_of(pod, template)]
    hashes = [str(pod["metadata"]["labels"].get(TEMPLATE_HASH, "")) for pod in own]
    newest = list(dict.fromkeys(hashes))[-1:]
    return [pod for pod, digest in zip(own, hashes, strict=True) if digest in newest]


def condition(pod: Object, type_: str) -> Object:
    """The condition of this type of a pod or Deployment; empty when it has none."""
    return next((c for c in pod.get("status", {}).get("conditions", []) if c["type"] == type_), {})


def is_ready(pod: Object) -> bool:
    return bool(condition(pod, "Ready").get("status") == "True")


def has_failed(pod: Object) -> bool:
    """Whether it ended for good; it stays until somebody deletes it, and holds no room."""
    return bool(pod.get("status", {}).get("phase") == "Failed")


def requests(pod: Object) -> dict[str, Decimal]:
    """What the pod's containers ask for together, in base units; a limit without a request counts as one."""
    total: dict[str, Decimal] = {}
    for container in pod.get("spec", {}).get("containers", []):
        resources = container.get("resources", {})
        for name, amount in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            total[name] = total.get(name, Decimal(0)) + (quantity(amount) or Decimal(0))
    return total
