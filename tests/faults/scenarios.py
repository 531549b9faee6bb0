"""What users do, one change each, and what is there before it."""

from collections.abc import Callable
from dataclasses import dataclass

from builders import ServiceBuilder, a_claim, a_release, a_runtime, a_service
from faults.proxy import FaultProxy
from faults.settle import settle
from kube import Kube, Object, condition, eventually
from rig import Project


@dataclass(frozen=True)
class Scenario:
    """A change of the service `llama`; `before` is how it is when the change comes, and its Ready's reason then."""

    name: str
    change: Callable[[Project], object]
    before: Callable[[], ServiceBuilder] | None = a_service
    reason: str = "Ready"


def two_releases() -> ServiceBuilder:
    return a_service().also(a_release("v2"))


def on_a_claim() -> ServiceBuilder:
    return a_service().on("weights")


def paused() -> ServiceBuilder:
    return a_service().having(runMode="paused")


def becoming(service: ServiceBuilder) -> Callable[[Project], object]:
    return lambda project: project.patch("MLService", "llama", {"spec": service.manifest["spec"]})


def runtime_edited(project: Project) -> None:
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": a_runtime(image="b:2")["spec"]})


def updated_on_request(project: Project) -> None:
    runtime_edited(project)
    project.patch("MLService", "llama", {"metadata": {"annotations": {"mlservice.tensorstack.dev/update": "1"}}})


def another_runtime(project: Project) -> None:
    project.create(a_runtime("another", image="c:3"))
    service = a_service()
    service.predictor["model"]["runtime"] = "another"
    becoming(service)(project)


def release_removed(project: Project) -> None:
    project.patch("MLService", "llama", {"spec": a_service().manifest["spec"]})


def claim_comes(project: Project) -> None:
    claim = a_claim("weights", "ReadWriteMany")
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    project.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})


def a_strangers_service(project: Project) -> Object:
    spec = {"ports": [{"port": 80}], "selector": {"app": "other"}}
    return project.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llama"}, "spec": spec})


def deleted(project: Project) -> None:
    project.delete("MLService", "llama")


def deleted_and_made_again(project: Project) -> None:
    deleted(project)
    eventually("llama is gone", lambda: project.get("MLService", "llama") is None)
    project.create(a_service().with_parameters(MODEL_NAME="other"))


def created(project: Project) -> None:
    project.create(a_service())


def created_beside_a_stranger(project: Project) -> None:
    a_strangers_service(project)
    created(project)


CREATED = Scenario("created", created, before=None)
RENAMED = Scenario("release_renamed", becoming(a_service().named("v2")))
UPDATED = Scenario("updated_on_request", updated_on_request)
PAUSED = Scenario("paused", becoming(paused()))

SCENARIOS = [
    CREATED,
    Scenario("spec_changed", becoming(a_service().with_parameters(MODEL_NAME="other"))),
    Scenario("runtime_edited", runtime_edited),
    UPDATED,
    Scenario("runtime_changed", another_runtime),
    Scenario("release_added", becoming(two_releases())),
    Scenario("release_removed", release_removed, two_releases),
    RENAMED,
    Scenario("default_switched", becoming(two_releases().having(default="v2")), two_releases),
    PAUSED,
    Scenario("resumed", becoming(a_service().having(runMode="running")), paused, "Paused"),
    Scenario("scaled", becoming(a_service().with_replicas(3))),
    Scenario("claim_late", claim_comes, on_a_claim, "PVCNotFound"),
    Scenario("name_conflict", created_beside_a_stranger, before=None),
    Scenario("deleted", deleted),
    Scenario("deleted_and_made_again", deleted_and_made_again),
]


def is_as_before(project: Project, proxy: FaultProxy, scenario: Scenario) -> bool:
    """Whether it is so at rest. After an earlier fault it rests a while before its runtime is known."""
    settle(project, proxy)
    return condition(project.service(), "Ready").get("reason") == scenario.reason


def started(kube: Kube, proxy: FaultProxy, scenario: Scenario) -> Project:
    """A namespace with what the scenario begins with."""
    project = Project(kube)
    project.create(a_runtime())
    if scenario.before:
        project.create(scenario.before())
        eventually(f"it is {scenario.reason}", lambda: is_as_before(project, proxy, scenario), seconds=60)
    return project
