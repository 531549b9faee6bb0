"""What users do, one change each, to a service that is ready."""

from collections.abc import Callable

from builders import a_release, a_runtime, a_service
from faults.proxy import FaultProxy
from faults.settle import settle
from kube import Kube, condition, eventually
from rig import Project


def created(project: Project) -> None:
    project.create(a_service())


def spec_changed(project: Project) -> None:
    spec = a_service().with_parameters(MODEL_NAME="other").manifest["spec"]
    project.patch("MLService", "llama", {"spec": spec})


def release_added(project: Project) -> None:
    project.patch("MLService", "llama", {"spec": a_service().also(a_release("v2")).manifest["spec"]})


def release_renamed(project: Project) -> None:
    project.patch("MLService", "llama", {"spec": a_service().named("v2").manifest["spec"]})


def paused(project: Project) -> None:
    project.patch("MLService", "llama", {"spec": {"runMode": "paused"}})


def scaled(project: Project) -> None:
    project.patch("MLService", "llama", {"spec": a_service().with_replicas(3).manifest["spec"]})


def runtime_edited(project: Project) -> None:
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": a_runtime(image="b:2")["spec"]})


def updated_on_request(project: Project) -> None:
    runtime_edited(project)
    project.patch("MLService", "llama", {"metadata": {"annotations": {"mlservice.tensorstack.dev/update": "1"}}})


SCENARIOS: list[Callable[[Project], None]] = [
    created,
    spec_changed,
    release_added,
    release_renamed,
    paused,
    scaled,
    updated_on_request,
]


def is_ready(project: Project, proxy: FaultProxy) -> bool:
    """Whether it is ready at rest. After an earlier fault it rests a while before its runtime is known."""
    settle(project, proxy)
    return condition(project.service(), "Ready").get("status") == "True"


def started(kube: Kube, proxy: FaultProxy, scenario: Callable[[Project], None]) -> Project:
    """A namespace with a service that is ready, or where the scenario is its creation, without one."""
    project = Project(kube)
    project.create(a_runtime())
    if scenario is not created:
        project.create(a_service())
        eventually("it is ready", lambda: is_ready(project, proxy), seconds=60)
    return project
