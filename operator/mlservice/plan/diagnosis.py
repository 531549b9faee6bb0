"""Why a release's pods are not ready, in the pods' own words.

Each policy looks at one pod and answers with a finding or None. The first policy that finds something in any pod wins,
newest pod first, so that the answer depends on the pods alone and does not flip between them.
"""

from collections.abc import Callable, Iterator

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.pods import condition, pods_of
from mlservice.plan.world import Finding, World

PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
MESSAGE_LIMIT = 1000
"""Characters of a container's last words that are quoted; the end of them, where the error stands."""


def pod_finding(world: World, release: str) -> Finding | None:
    """Return the most telling finding about the release's pods, or None while they simply start."""
    pods = pods_of(world, release)
    return next((finding for policy in POLICIES for pod in pods if (finding := policy(pod))), None)


def _failed(pod: Object) -> Finding | None:
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    return Finding(
        Reason.POD_FAILED, f"Pod {_name(pod)} failed: {status.get('reason', '')} {status.get('message', '')}"
    )


def _image(pod: Object) -> Finding | None:
    for container, waiting in _waiting(pod):
        if waiting.get("reason") in PULL:
            return Finding(
                Reason.IMAGE_PULL_FAILED,
                f"Pod {_name(pod)}, container {container['name']}: {waiting['reason']}: "
                f"{waiting.get('message') or container.get('image')}. Check its name, tag and pull secrets",
            )
    return None


def _config(pod: Object) -> Finding | None:
    for container, waiting in _waiting(pod):
        if waiting.get("reason") in CONFIG:
            return Finding(
                Reason.CONTAINER_CONFIG_INVALID,
                f"Pod {_name(pod)}, container {container['name']}: {waiting['reason']}: {waiting.get('message', '')}",
            )
    return None


def _out_of_memory(pod: Object) -> Finding | None:
    for container, ended in _ended(pod):
        if ended.get("reason") == "OOMKilled":
            return Finding(
                Reason.OUT_OF_MEMORY,
                f"Pod {_name(pod)}, container {container['name']} used more memory than its limit and was killed "
                f"({container.get('restartCount', 0)} restarts): raise its memory limit",
            )
    return None


def _crashed(pod: Object) -> Finding | None:
    for container, ended in _ended(pod):
        if ended.get("exitCode") and not container.get("ready"):
            words = str(ended.get("message", "")).strip()[-MESSAGE_LIMIT:]
            return Finding(
                Reason.CONTAINER_CRASHED,
                f"Pod {_name(pod)}, container {container['name']} ended with exit code {ended['exitCode']} "
                f"({container.get('restartCount', 0)} restarts). Its last words: {words or 'none'}",
            )
    return None


def _unschedulable(pod: Object) -> Finding | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    return Finding(Reason.UNSCHEDULABLE, f"Pod {_name(pod)}: {scheduled.get('message', 'not scheduled')}")


POLICIES: tuple[Callable[[Object], Finding | None], ...] = (
    _image,
    _config,
    _out_of_memory,
    _crashed,
    _failed,
    _unschedulable,
)
"""The order is the priority: what a person must mend comes before what may pass."""


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])


def _waiting(pod: Object) -> Iterator[tuple[Object, Object]]:
    for container in _containers(pod):
        if waiting := container.get("state", {}).get("waiting"):
            yield container, waiting


def _ended(pod: Object) -> Iterator[tuple[Object, Object]]:
    for container in _containers(pod):
        state = container.get("state", {})
        if ended := state.get("terminated") or container.get("lastState", {}).get("terminated"):
            yield container, ended
