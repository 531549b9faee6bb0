"""Random steps of users, strangers and fate; at rest the cluster must be what the plan of its world says.

A step is chosen from what was done before, never from what the cluster shows, so a seed is always the same steps.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from copy import deepcopy

from builders import ServiceBuilder, a_claim, a_release, a_runtime, a_service
from faults.asked import Asked
from faults.injected import FAULTS
from faults.next_plan import against_the_plan
from faults.proxy import Action, Exchange, FaultProxy
from faults.settle import concerns, settle
from kube import Kube, Object, Refused
from mlservice.api.meta import ANNOTATION_INPUTS, LABEL_RELEASE
from rig import Operator, Project

SERVICES = ("a", "b", "c")
RELEASES = ("v1", "v2", "v3")
RUNTIMES = ("vllm-openai", "second")
NAMES = ("x", "y", "z")
STRANGERS_IMAGE = "stranger:1"
STEPS_TO_REST = 12


class Machine:
    """One namespace, one seed."""

    def __init__(self, kube: Kube, proxy: FaultProxy, operator: Operator, seed: int) -> None:
        self.kube, self.proxy, self.operator, self.seed = kube, proxy, operator, seed
        self.chance = random.Random(seed)
        self.project, self.asked, self.log = Project(kube), Asked(), list[str]()
        for name in RUNTIMES:
            self._put_runtime(name, "a:1")
        self.steps: dict[Callable[[], str], int] = {
            self.create: 12,
            self.update: 26,
            self.update_pins: 4,
            self.delete: 4,
            self.edit_runtime: 8,
            self.edit_runtime_and_ask: 4,
            self.remove_runtime: 2,
            self.claim: 4,
            self.delete_child: 10,
            self.edit_deployment: 8,
            self.edit_service: 5,
            self.edit_revision: 2,
            self.scale: 6,
            self.lose_pods: 6,
            self.kill: 1,
            self.kill_at_a_write: 1,
            self.break_something: 3,
        }

    def run(self, steps: int) -> None:
        """So many steps, and a rest after each dozen. Raises AssertionError with the last steps."""
        for number in range(1, steps + 1):
            step = self.chance.choices(list(self.steps), list(self.steps.values()))[0]
            try:
                said = step()
            except Refused as refused:
                said = f"refused: {refused}"
            self.log.append(f"{number} {step.__name__}: {said}")
            if number % STEPS_TO_REST == 0 or number == steps:
                self.rest()

    # What users do.

    def create(self) -> str:
        name = self.chance.choice(SERVICES)
        service = a_service(name).having(runMode=self.chance.choice(["running"] * 4 + ["paused"]))
        names = self.chance.sample(RELEASES, self.chance.choice([1, 1, 2, 3]))
        service.manifest["spec"] |= {"releases": [self._release(r) for r in names], "default": names[0]}
        if name in self.asked.specs:
            return f"{name} is there"
        self.project.create(service)
        self.asked.specs[name] = service.manifest["spec"]
        return f"{name}: {service.manifest['spec']}"

    def update(self) -> str:
        name, change, release = self._service(), self.chance.randrange(8), self.chance.choice(RELEASES)
        new, names = self._release(release), list(RELEASES)
        self.chance.shuffle(names)
        if name not in self.asked.specs:
            return f"no {name}"
        spec = deepcopy(self.asked.specs[name])
        releases = {r["name"]: r for r in spec["releases"]}
        if change == 0:
            spec["runMode"] = "paused" if spec["runMode"] == "running" else "running"
        elif change == 1:
            spec["default"] = next(n for n in names if n in releases)
        elif change == 2 and len(releases) > 1:
            del releases[next(n for n in names if n in releases)]
        elif change == 3:
            releases = {release: new}  # renamed, or replaced
        else:
            releases[release] = new
        spec["releases"] = list(releases.values())
        if spec["default"] not in releases:
            spec["default"] = spec["releases"][0]["name"]
        return self._write(name, spec)

    def update_pins(self) -> str:
        """Ask for the newest runtime, or hold a release at an old revision, or let it go."""
        name, number = self._service(), self.chance.choice([None, 1, 2])
        release, which = self._release_of(name), self.chance.randrange(2)
        if name not in self.asked.specs:
            return f"no {name}"
        if which:
            return self._ask(name)
        spec = deepcopy(self.asked.specs[name])
        for known in spec["releases"]:
            if known["name"] == release:
                known["revision"] = number
        self.asked.unpin(name, release)
        self.asked.updates.pop(name, None)
        return self._write(name, spec)

    def delete(self) -> str:
        name = self._service()
        if name not in self.asked.specs:
            return f"no {name}"
        del self.asked.specs[name]
        self.asked.updates.pop(name, None)
        self.asked.unpin(name)
        self.project.delete("MLService", name)
        return name

    def edit_runtime(self) -> str:
        return self._put_runtime(
            self.chance.choice(RUNTIMES), f"{self.chance.choice('abc')}:{self.chance.randrange(3)}"
        )

    def edit_runtime_and_ask(self) -> str:
        """Each kind has a watch of its own: the operator may hear of the second before the first."""
        name, edited = self._service(), self.edit_runtime()
        return f"{edited}, {self._ask(name) if name in self.asked.specs else f'no {name}'}"

    def remove_runtime(self) -> str:
        name = self.chance.choice(RUNTIMES)
        if name in self.asked.runtimes:
            del self.asked.runtimes[name]
            self.project.delete("MLServiceRuntime", name)
        return name

    def claim(self) -> str:
        if self.project.get("PersistentVolumeClaim", "weights"):
            self.project.patch("PersistentVolumeClaim", "weights", {"metadata": {"finalizers": None}})
            self.project.delete("PersistentVolumeClaim", "weights")
            return "deleted"
        claim = a_claim("weights", "ReadWriteMany")
        claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
        self.project.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
        return "created"

    # What strangers do.

    def delete_child(self) -> str:
        child, kind = self._child(), self.chance.randrange(4)
        name, release = child.split("-predict-")
        if kind == 0:
            self.asked.unpin(name, release)
            self.project.delete("Deployment", child)
        elif kind == 1:
            self.project.delete("Service", child)
        elif kind == 2:
            self.project.delete("Service", name)
        else:
            for revision in self._revisions(child):
                self.project.delete("ControllerRevision", revision["metadata"]["name"])
            self._unpin_if_lost(child)
        return f"{kind} of {child}"

    def edit_deployment(self) -> str:
        name, change = self._child(), self.chance.randrange(4)
        container = {"name": "user-container", "image": STRANGERS_IMAGE, "ports": [{"containerPort": 9999}]}
        patch = [
            {"spec": {"template": {"spec": {"containers": [container]}}}},
            {"spec": {"minReadySeconds": 77, "strategy": {"type": "Recreate", "rollingUpdate": None}}},
            {"metadata": {"labels": {"mlservice.tensorstack.dev/component": "other", "own": "label"}}},
            {"metadata": {"annotations": None}},
        ][change]
        self.project.patch("Deployment", name, patch)
        self._unpin_if_lost(name)
        return f"{name}: {patch}"

    def edit_service(self) -> str:
        name = self.chance.choice([self._child(), self._service()])
        patch = self.chance.choice(
            [
                {"spec": {"selector": {LABEL_RELEASE: "elsewhere"}}},
                {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 1}]}},
                {"metadata": {"labels": {"app.kubernetes.io/part-of": "other"}}},
            ]
        )
        self.project.patch("Service", name, patch)
        return f"{name}: {patch}"

    def edit_revision(self) -> str:
        child = self._child()
        for revision in self._revisions(child):
            edit = {"metadata": {"annotations": None, "labels": {"own": "x"}}}
            self.project.patch("ControllerRevision", revision["metadata"]["name"], edit)
        self._unpin_if_lost(child)
        return child

    def scale(self) -> str:
        name, count = self._child(), self.chance.randrange(4)
        if count == 0:
            self.asked.unpin(*name.split("-predict-"))
        self.project.patch("Deployment", name, {"spec": {"replicas": count}})
        return f"{name} to {count}"

    # What fate does.

    def lose_pods(self) -> str:
        name = self._child()
        self.project.patch("Deployment", name, {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status")
        return name

    def kill(self) -> str:
        self._restart()
        return "at once"

    def kill_at_a_write(self) -> str:
        def fault(exchange: Exchange) -> Action | None:
            return Action(after=self.operator.process.kill) if concerns(exchange, self.project) else None

        self.proxy.faults = [fault]
        return "at its next write"

    def break_something(self) -> str:
        name = self.chance.choice(list(FAULTS))
        self.proxy.break_off(FAULTS[name]())
        return name

    # Rest.

    def rest(self, seconds: float = 120) -> None:
        """End every fault, let all come to rest, and look."""
        if self.proxy.faults:
            self.proxy.break_off()
        deadline = time.monotonic() + seconds
        wrong = ["not looked at yet"]
        while wrong and time.monotonic() < deadline:
            self._restart(only_if_dead=True)
            try:
                self.operator.led()
                settle(self.project, self.proxy, until=self._dead, seconds=seconds)
                assert not self._dead(), "a request that was under way when the faults ended has killed it"
            except AssertionError as restless:
                wrong = [str(restless)]
            else:
                wrong = [*asyncio.run(against_the_plan(self.project)), *self.asked.wrong(self.project)]
        assert not wrong, "\n".join([f"seed {self.seed}, {self.project.name}:", *wrong, "steps:", *self.log[-40:]])
        self.asked.remember(self.project)

    def _dead(self) -> bool:
        return self.operator.process.poll() is not None

    # Pieces.

    def _restart(self, only_if_dead: bool = False) -> None:
        if only_if_dead and self.operator.process.poll() is None:
            return
        with contextlib.suppress(Refused):  # the Lease is gone already
            self.operator.kill()
        self.operator.start()

    def _service(self) -> str:
        """One that is there, if any is."""
        return self.chance.choice(sorted(self.asked.specs) or SERVICES)

    def _release_of(self, name: str) -> str:
        spec = self.asked.specs.get(name, {"releases": [{"name": "v1"}]})
        return self.chance.choice([release["name"] for release in spec["releases"]])

    def _child(self) -> str:
        name = self._service()
        return f"{name}-predict-{self._release_of(name)}"

    def _unpin_if_lost(self, child: str) -> None:
        """Strangers have deleted or written over everything that tells what it ran, or what it was made of."""
        live, revisions = self.project.get("Deployment", child), self._revisions(child)
        containers = live["spec"]["template"]["spec"]["containers"] if live else []
        without_template = any(c["image"] == STRANGERS_IMAGE for c in containers) and not revisions
        told = [ANNOTATION_INPUTS in obj["metadata"].get("annotations", {}) for obj in [live, *revisions] if obj]
        without_inputs = bool(revisions) and not any(told)
        if without_template or without_inputs:
            self.asked.unpin(*child.split("-predict-"))

    def _revisions(self, child: str) -> list[Object]:
        found = self.kube.list("ControllerRevision", self.project.name)
        return [obj for obj in found if obj["metadata"]["name"].startswith(f"{child}-")]

    def _write(self, name: str, spec: Object) -> str:
        self.project.patch("MLService", name, {"spec": spec})
        self.asked.specs[name] = spec
        self.asked.unpin_what_differs(name, spec)
        return f"{name}: {spec}"

    def _release(self, name: str) -> Object:
        release = a_release(name, self.chance.choice(RUNTIMES))
        service = ServiceBuilder(name)
        service.manifest["spec"]["releases"] = [release]
        service.with_parameters(MODEL_NAME=self.chance.choice(NAMES))
        low, spread = self.chance.choice([0, 1, 1, 1, 2]), self.chance.choice([None, 0, 2])
        claimed, patched, gpus = self.chance.random() < 0.2, self.chance.random() < 0.2, self.chance.random() < 0.2
        if low != 1 or spread is not None:
            service.predictor["minReplicas"] = low
        if spread is not None:
            service.predictor["maxReplicas"] = low + spread
        if claimed:
            service.on("weights")
        if patched:
            service.patched(containers=[{"name": "user-container", "env": [{"name": "A", "value": "b"}]}])
        if gpus:
            service.with_gpus(2)
        return release

    def _ask(self, name: str) -> str:
        mark = str(len(self.log))
        self.asked.unpin(name)
        annotations = {"mlservice.tensorstack.dev/update": mark}
        self.project.patch("MLService", name, {"metadata": {"annotations": annotations}})
        held = any(release.get("revision") for release in self.asked.specs[name]["releases"])
        self.asked.updates[name] = set() if held else set(self.asked.runtimes)
        return f"{name} update={mark}"

    def _put_runtime(self, name: str, image: str) -> str:
        runtime = a_runtime(name, image=image)
        for runtimes in self.asked.updates.values():
            runtimes.discard(name)
        if name in self.asked.runtimes:
            self.project.patch("MLServiceRuntime", name, {"spec": runtime["spec"]})
        else:
            self.project.create(runtime)
        self.asked.runtimes[name] = image
        return f"{name} {image}"
