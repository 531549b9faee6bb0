"""Why a release's pods are not ready, in the pods' own words.

Each policy looks at one pod and answers with a finding or None. The first policy that finds something in any pod wins,
oldest pod first, so that the answer depends on the pods alone. What changes with every restart and says nothing new is
left out: counters, times, and whether a crashed container happens to run again or to wait.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mlservice.api.meta import Object
from mlservice.api.reasons import Reason
from mlservice.plan.last_words import last_words
from mlservice.plan.pods import condition, current_pods, has_failed
from mlservice.plan.scheduling import not_started_since, unscheduled, untouched_since
from mlservice.plan.storage import attached_elsewhere
from mlservice.plan.world import Finding, World

PULL = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
NEVER_RAN = {"StartError", "ContainerCannotRun"}
"""Why a container ended that could not even be started: containerd's word, and Docker's."""

SIGNALS = {
    137: ", killed: by its liveness probe, or because the node ran out of memory",
    143: ", told to stop: usually its liveness or startup probe failed",
}
"""Exit codes of a container that did not end by itself: 128 and the signal's number."""

WORDS_LIMIT = 1000
"""Characters of a container's last words that are quoted; the end of them, where the error stands."""

PASSING = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"  # 2026-01-31 12:00:00,123
    r"|\b\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)?"  # vLLM's 01-31 12:00:00
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"|(?<=pid[ =:])\d+"
    r"|(?<=:)\d+(?=->)"  # the port of the asking side of a connection
    r"|\b0x[0-9a-f]+"
    r"|(?<!sha256:)\b[0-9a-f]{32,}"  # ids of containers
)
"""What differs between two failures of one cause."""


@dataclass(frozen=True)
class Diagnosis:
    finding: Finding | None = None
    again_seconds: float | None = None
    """When to look again, because something may have lasted too long by then."""


def diagnosis(world: World, release: str, template: Object, now: datetime) -> Diagnosis:
    """Return the most telling finding about the release's pods of this template, or none while they simply start."""
    pods = current_pods(world, release, template)
    for policy in POLICIES:
        for pod in pods:
            if finding := policy(pod):
                return Diagnosis(finding)
    patience, soonest = world.settings.surge_patience_seconds, None
    for slow in SLOW_POLICIES:
        for pod in pods:
            if found := slow(pod, world):
                since, finding = found
                left = patience - (now - since).total_seconds()
                if left <= 0:
                    return Diagnosis(finding)
                soonest = min(left, soonest or left)
    return Diagnosis(again_seconds=soonest)


def _image(pod: Object) -> Finding | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in PULL:
            # ErrImagePull and ImagePullBackOff take turns; the second quotes the first.
            words = re.sub(r'^Back-off pulling image ".*?"(: \w+: |$)', "", str(waiting.get("message", "")))
            return Finding(
                Reason.IMAGE_PULL_FAILED,
                f"{_place(pod, container)}: image {container.get('image', '')} cannot be pulled"
                f"{f': {_steady(words)}' if words else ''}. Check its name, tag and pull secrets",
            )
    return None


def _config(pod: Object) -> Finding | None:
    for container in _containers(pod):
        waiting, ended = container.get("state", {}).get("waiting", {}), _ended(container)
        if ended.get("reason") in NEVER_RAN and not container.get("ready"):
            words = ended.get("message", "")
        elif waiting.get("reason") in CONFIG:
            words = waiting.get("message", "")
        else:
            continue
        return Finding(
            Reason.CONTAINER_CONFIG_INVALID, f"{_place(pod, container)} cannot be started: {_steady(str(words))}"
        )
    return None


def _out_of_memory(pod: Object) -> Finding | None:
    for container in _containers(pod):
        if _ended(container).get("reason") == "OOMKilled" and not container.get("ready"):
            return Finding(
                Reason.OUT_OF_MEMORY,
                f"{_place(pod, container)} used more memory than its limit and was killed: raise its memory limit",
            )
    return None


def _crashed(pod: Object) -> Finding | None:
    initial = {c["name"] for c in pod.get("status", {}).get("initContainerStatuses", [])}
    for container in _containers(pod):
        ended = _ended(container)
        code = ended.get("exitCode")
        if code is None or container.get("ready") or (code == 0 and container["name"] in initial):
            continue
        words = _steady(last_words(str(ended.get("message", ""))))
        return Finding(
            Reason.CONTAINER_CRASHED,
            f"{_place(pod, container)} ended with exit code {code}{SIGNALS.get(code, '')}, and is started again. "
            + (f"Its last words: {words}" if words else f"It left no words: see {_kubectl(pod, 'describe')}"),
        )
    return None


def _probe(pod: Object) -> Finding | None:
    """A container that was ready since its last start and is not any more; one that still loads never was."""
    ready = condition(pod, "Ready")
    for container in pod.get("status", {}).get("containerStatuses", []):
        started = container.get("state", {}).get("running", {}).get("startedAt")
        since = ready.get("lastTransitionTime")
        if started and since and ready.get("status") == "False" and not container.get("ready") and since > started:
            return Finding(
                Reason.PROBE_FAILING,
                f"{_place(pod, container)} runs, was ready, and has not answered its readiness probe since {since}: it "
                f"hangs or is overloaded. See {_kubectl(pod, 'describe')}, and {_kubectl(pod, 'logs')}",
            )
    return None


def _node(pod: Object) -> Finding | None:
    """When a node falls silent, the node controller takes the pod's readiness away, and leaves its containers'."""
    ready = condition(pod, "Ready")
    silent = ready.get("status") == "False" and not ready.get("reason")
    if not silent or condition(pod, "ContainersReady").get("status") != "True":
        return None
    node = pod.get("spec", {}).get("nodeName", "")
    return Finding(
        Reason.NODE_NOT_READY,
        f"Pod {_name(pod)}: its node {node} does not answer. Kubernetes starts another pod elsewhere after about 5 "
        f"minutes; see kubectl describe node {node}",
    )


def _failed(pod: Object) -> Finding | None:
    if not has_failed(pod):
        return None
    status = pod["status"]
    words = f"{status.get('reason', '')}: {status.get('message', '')}".strip(": ")
    return Finding(
        Reason.POD_FAILED,
        f"Pod {_name(pod)} failed for good{f': {words}' if words else ''}. Another pod takes its place",
    )


def _not_started(pod: Object, world: World) -> tuple[datetime, Finding] | None:
    since = not_started_since(pod)
    if since is None:
        return None
    start = f"Pod {_name(pod)} is on node {pod['spec'].get('nodeName')}, where none of its containers can be started"
    if elsewhere := attached_elsewhere(pod, world):
        return since, Finding(Reason.CONTAINERS_NOT_STARTED, f"{start}: {elsewhere}")
    return since, Finding(
        Reason.CONTAINERS_NOT_STARTED,
        f"{start}: a volume (a missing Secret or ConfigMap, a claim that is attached elsewhere) or the network is not "
        f"there. The pod's events say which: {_kubectl(pod, 'describe')}",
    )


def _untouched(pod: Object, world: World) -> tuple[datetime, Finding] | None:
    since = untouched_since(pod)
    if since is None:
        return None
    scheduler = pod.get("spec", {}).get("schedulerName", "default-scheduler")
    return since, Finding(
        Reason.UNSCHEDULABLE,
        f"Pod {_name(pod)} waits for scheduler {scheduler}, which does nothing: is it installed?",
    )


POLICIES: tuple[Callable[[Object], Finding | None], ...] = (
    _image,
    _config,
    _out_of_memory,
    _crashed,
    _node,
    _probe,
    unscheduled,
    _failed,
)
"""The order is the priority: what a person must mend comes before what may pass."""

SLOW_POLICIES: tuple[Callable[[Object, World], tuple[datetime, Finding] | None], ...] = (_not_started, _untouched)
"""What is normal for a moment: since when it is so, and the finding once it lasts."""


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _place(pod: Object, container: Object) -> str:
    return f"Pod {_name(pod)}, container {container['name']}"


def _kubectl(pod: Object, verb: str) -> str:
    kind = "pod " if verb == "describe" else ""
    return f"kubectl -n {pod['metadata'].get('namespace', 'default')} {verb} {kind}{_name(pod)}"


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])


def _ended(container: Object) -> Object:
    """How the container ended last; empty while its first run lasts."""
    state, last = container.get("state", {}), container.get("lastState", {})
    ended: Object = state.get("terminated") or last.get("terminated") or {}
    return ended


def _steady(words: str) -> str:
    """The end of the words, whole lines of it, without what differs from one failure to the next."""
    words = PASSING.sub("…", words).strip()
    return words if len(words) <= WORDS_LIMIT else words[-WORDS_LIMIT:].partition("\n")[2] or words[-WORDS_LIMIT:]
