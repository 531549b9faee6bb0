"""What `plan` reads and what it answers: plain frozen data, no behaviour that touches a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlservice.api.meta import Object
from mlservice.api.mlservice import MLService
from mlservice.api.reasons import Reason
from mlservice.api.settings import Settings


@dataclass(frozen=True, order=True)
class Ref:
    """One object of the service's namespace, by kind and name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def ref(obj: Object) -> Ref:
    return Ref(obj["kind"], obj["metadata"]["name"])


@dataclass(frozen=True)
class Finding:
    """Something is wrong: which reason, and in words what and what to do."""

    reason: Reason
    message: str


class Invalid(Exception):
    """The user's input cannot be turned into children; knows the reason and the message it is shown with."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(reason, message)


@dataclass(frozen=True)
class World:
    """Everything about one service, already read."""

    service: MLService
    settings: Settings
    runtimes: Mapping[str, Object] = field(default_factory=dict)
    """The MLServiceRuntimes that the releases name, by name; a missing one is absent."""
    claims: Mapping[str, Object] = field(default_factory=dict)
    """The PersistentVolumeClaims that the releases name, by name; a missing one is absent."""
    children: Mapping[Ref, Object] = field(default_factory=dict)
    """Deployments, Services, HTTPRoutes and ControllerRevisions that this service controls."""
    adopted: Mapping[str, Object] = field(default_factory=dict)
    """Pod templates, as far as they are ours, of Deployments without a revision; by the Deployment's name."""
    pods: Sequence[Object] = ()
    """Pods that carry this service's name label."""
    refusals: Mapping[Ref, Finding] = field(default_factory=dict)
    """Children that could not be written as they are wanted now, and why."""

    def child(self, kind: str, name: str) -> Object | None:
        return self.children.get(Ref(kind, name))


@dataclass(frozen=True)
class Event:
    """One line of the service's history, as `kubectl describe` shows it."""

    type: str
    """Normal or Warning."""
    reason: Reason
    note: str


@dataclass(frozen=True)
class Plan:
    """What must be true next."""

    children: tuple[Object, ...]
    """Objects that must exist, as server-side apply sends them."""
    unwanted: tuple[Object, ...]
    """Live objects that must go."""
    replicas: Mapping[str, int]
    """Deployments whose replica count is out of bounds, and the count to set."""
    status: Object
    """The whole status of the MLService."""
    events: tuple[Event, ...] = ()
    again_seconds: float | None = None
    """When to look again although nothing may have changed; None: the next change will say."""
