"""Kill -9 right after the k-th write, for every k: the end is the one of a run that nobody disturbed."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from builders import a_release, a_runtime, a_service
from faults.proxy import Action, Exchange, FaultProxy
from faults.settle import settle, state
from kube import Kube, eventually
from rig import Operator, Project


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


def deleted_and_created_again(project: Project) -> None:
    """There is no garbage collector here: what the old service left is taken over as an orphan, or named."""
    project.delete("MLService", "llama", propagationPolicy="Orphan")
    project.create(a_service())


SCENARIOS: list[Callable[[Project], None]] = [
    created,
    spec_changed,
    release_added,
    release_renamed,
    paused,
    scaled,
    updated_on_request,
    deleted_and_created_again,
]


@pytest.fixture(scope="module")
def operator(kube: Kube, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    behind = Kube(proxy.kubeconfig)
    process = Operator(behind, tmp_path_factory.mktemp("operator") / "log")
    yield process
    process.stop()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_end_is_the_same_wherever_it_is_killed(kube, proxy, operator, scenario):
    proxy.faults = []
    undisturbed = started(kube, proxy, scenario)
    before = len(proxy.writes)
    scenario(undisturbed)
    settle(undisturbed, proxy)
    writes = [write for write in proxy.writes[before:] if concerns(write, undisturbed)]
    assert writes, "nothing was written: the scenario shows nothing"
    wanted = state(undisturbed)
    for k in range(1, len(writes) + 1):
        proxy.faults = []
        project, led = started(kube, proxy, scenario), operator.text().count("Leading")
        proxy.faults = [killing(operator, project, k)]
        scenario(project)
        settle(project, proxy, until=lambda: operator.process.poll() is not None)
        assert operator.process.poll() is not None, f"only {k - 1} writes this time"
        proxy.faults = []
        operator.kill()
        operator.start()
        eventually("it leads again", lambda led=led: operator.text().count("Leading") > led)
        settle(project, proxy)
        assert state(project) == wanted, f"killed after write {k}: {writes[k - 1].method} {writes[k - 1].path}"
    proxy.faults = []


def started(kube: Kube, proxy: FaultProxy, scenario: Callable[[Project], None]) -> Project:
    """A namespace with a service that is ready, or where the scenario is its creation, without one."""
    project = Project(kube)
    project.create(a_runtime())
    if scenario is not created:
        project.create(a_service())
        settle(project, proxy)
        project.reason("Ready")
    return project


def concerns(exchange: Exchange, project: Project) -> bool:
    return exchange.write is not None and f"/namespaces/{project.name}/" in exchange.path


def killing(operator: Operator, project: Project, k: int) -> Callable[[Exchange], Action | None]:
    """Kill the operator when the server has acted on its k-th write in this namespace."""
    numbers = count(1)

    def fault(exchange: Exchange) -> Action | None:
        if concerns(exchange, project) and next(numbers) == k:
            return Action(after=operator.process.kill)
        return None

    return fault
