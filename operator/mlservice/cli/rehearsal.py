"""What the operator would do about one service: its own plan, made again until nothing is left to write.

Nothing is written. What a write would leave behind is what the API server answers to a dry run, or, without a server,
the object as it is sent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from mlservice.api.meta import Object
from mlservice.api.mlservice import MLService
from mlservice.api.reasons import WAITS_FOR_USER, Reason
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import CHILDREN, POD
from mlservice.controller.ownership import conflict_with
from mlservice.plan import Finding, Plan, Ref, World, plan
from mlservice.plan.drift import contains
from mlservice.plan.refusal import refused_child, refused_pods
from mlservice.plan.world import ref

ROUNDS = 4
"""As the controller: a new Deployment, then its replica count, then nothing."""

NO_UID = "00000000-0000-0000-0000-000000000000"
"""Stands for the uid of an object that does not exist yet."""


class Attempt(Protocol):
    """Says what would come of a write."""

    unasked: tuple[str, ...]
    """What the API server could not be asked about."""

    async def write(self, child: Object, live: Object | None) -> Object | Finding:
        """The object as it would be then, or why it would be refused."""

    async def start(self, deployment: Object) -> Finding | None:
        """Why the pods of this Deployment would be refused; None when they would not."""


@dataclass(frozen=True)
class Rehearsal:
    """One service before and after."""

    before: World
    """The world as it is, but for the service, its runtimes and claims: those are as the files have them."""
    live: Object | None
    """The MLService as it is in the cluster."""
    after: Mapping[Ref, Object]
    """Its children as they would be."""
    final: Plan
    """The plan that stands then, with its status."""
    refusals: Mapping[Ref, Finding]

    @property
    def blocked(self) -> dict[str, Reason]:
        """What waits for a person: releases by name, and the service itself as ''."""
        status = self.final.status
        reasons = {release["name"]: release.get("reason") for release in status["releases"]}
        ready = next(c["reason"] for c in status["conditions"] if c["type"] == "Ready")
        reasons |= {} if ready in reasons.values() else {"": ready}
        return {what: Reason(reason) for what, reason in reasons.items() if reason in WAITS_FOR_USER}


async def rehearse(before: World, live: Object | None, attempt: Attempt, now: datetime) -> Rehearsal:
    """Plan, attempt what is planned, and plan again on what would be there then."""
    children, refusals = dict(before.children), dict(before.refusals)
    tried: dict[Ref, Object] = {}
    for _ in range(ROUNDS):
        step, previous = plan(replace(before, children=children), now), dict(children)
        for child in step.children:
            where = ref(child)
            if tried.get(where) == child or (where in children and contains(children[where], child)):
                continue
            tried[where], answer = child, await attempt.write(child, children.get(where))
            if isinstance(answer, Finding):
                refusals[where] = answer
            else:
                children[where] = answer
        for gone in step.unwanted:
            children.pop(ref(gone), None)
        for name, count in step.replicas.items():
            where = Ref("Deployment", name)
            children[where] = {**children[where], "spec": {**children[where]["spec"], "replicas": count}}
        if children == previous:
            break
    for where in _starting(before.children, children):
        if finding := await attempt.start(children[where]):
            refusals[where] = finding
    children = {where: _noticed(before.child(where.kind, where.name), obj) for where, obj in children.items()}
    final = plan(replace(before, children=children, refusals=refusals), now)
    return Rehearsal(before, live, children, final, refusals)


def _starting(before: Mapping[Ref, Object], after: Mapping[Ref, Object]) -> Iterator[Ref]:
    """Deployments that would start pods of a template that runs nowhere yet."""
    for where, obj in after.items():
        if where.kind == "Deployment" and obj["spec"].get("replicas", 1):
            old = before.get(where, {}).get("spec", {})
            if old.get("template") != obj["spec"]["template"] or not old.get("replicas", 1):
                yield where


def _noticed(old: Object | None, new: Object) -> Object:
    """A Deployment with another template as its controller reports it at once: no pod is of the newest template."""
    if not old or new["kind"] != "Deployment" or old["spec"]["template"] == new["spec"]["template"]:
        return new
    generation = new["metadata"].get("generation", 0)
    return {**new, "status": {**new.get("status", {}), "observedGeneration": generation, "updatedReplicas": 0}}


class Assumed:
    """Without an API server: every write succeeds, and leaves behind what was sent."""

    unasked: tuple[str, ...] = ()

    async def write(self, child: Object, live: Object | None) -> Object | Finding:
        old = live or {"metadata": {"uid": NO_UID}, **({"spec": {"replicas": 1}} if "spec" in child else {})}
        metadata = {**old["metadata"], **child["metadata"], "generation": old["metadata"].get("generation", 0) + 1}
        spec = {"spec": {**old["spec"], **child["spec"]}} if "spec" in child else {}
        return {**old, **child, "metadata": metadata, **spec}

    async def start(self, deployment: Object) -> Finding | None:
        return None


class DryRun:
    """Asks the API server by dry run; where it may not be asked, the write is assumed to succeed."""

    def __init__(self, client: Client, service: MLService) -> None:
        self.client, self.service = client, service
        self.unasked: tuple[str, ...] = ()

    async def write(self, child: Object, live: Object | None) -> Object | Finding:
        where, resource = ref(child), CHILDREN[child["kind"]]
        if live is None:
            found = await self.client.get(resource, self.service.namespace, where.name)
            if found and (conflict := conflict_with(found, self.service)):
                return conflict
        try:
            return await self.client.rehearse("PATCH", resource, child)
        except ApiError as error:
            if self._left_open(error, str(where)):
                return await Assumed().write(child, live)
            if not error.is_refusal:
                raise
            return refused_child(child, error.status, error.message)

    async def start(self, deployment: Object) -> Finding | None:
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        metadata = {**template.get("metadata", {}), "generateName": f"{name}-", "namespace": self.service.namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        try:
            await self.client.rehearse("POST", POD, pod)
        except ApiError as error:
            if self._left_open(error, f"the pods of Deployment {name}"):
                return None
            if not error.is_refusal:
                raise
            return refused_pods(name, error.message)
        return None

    def _left_open(self, error: ApiError, what: str) -> bool:
        self.unasked += (what,) if is_unasked(error) else ()
        return is_unasked(error)


def is_unasked(error: ApiError) -> bool:
    """Whether the answer is about who asks, or about dry runs, and not about the object."""
    forbidden = error.status == 403 and re.search(r'User ".*" cannot ', error.message)
    return bool(forbidden) or "does not support dry run" in error.message
