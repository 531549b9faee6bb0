"""A real API server, a proxy in front of it that breaks things, and an operator that knows only the proxy."""

from collections.abc import Iterator
from typing import Any

import pytest
from faults.clock import Clock
from faults.monitor import Monitor
from faults.progress import Progress
from faults.proxy import Exchange, FaultProxy
from faults.scenarios import Scenario, started
from faults.settle import concerns, settle, state
from kube import Kube
from local_cluster.apiserver import ApiLevel
from rig import Operator, install_crds


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run also what takes hours: make faults")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--whole"):
        config.pluginmanager.register(Progress())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--whole"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def level() -> Iterator[ApiLevel]:
    with ApiLevel() as level:
        yield level


@pytest.fixture(scope="session")
def kube(level: ApiLevel) -> Kube:
    server = Kube(level.kubeconfig)
    install_crds(server)
    return server


@pytest.fixture(scope="session")
def proxy(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(kube.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def monitor(kube: Kube) -> Iterator[Monitor]:
    with Monitor(kube) as monitor:
        yield monitor


@pytest.fixture(autouse=True)
def nothing_breaks_the_rules(monitor: Monitor, operator: Operator) -> Iterator[None]:
    """No test may leave a broken rule behind, nor an operator that grows from test to test."""
    yield
    monitor.sample(operator)
    assert monitor.broken() == []


@pytest.fixture(scope="session")
def operator(kube: Kube, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    process = Operator(kube, tmp_path_factory.mktemp("operator") / "log", proxy.kubeconfig)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def own_clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def clock(operator: Operator, own_clock: Clock) -> Iterator[Clock]:
    """The operator runs by this clock, and by the host's again after the test."""
    before = operator.environment
    for environment in (before | own_clock.environment, before):
        operator.kill()
        operator.environment = environment
        operator.start()
        operator.led()
        if environment is not before:
            yield own_clock


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether everything is wanted, and not only what fits into `make test`."""
    return bool(request.config.getoption("--whole"))


class Ends:
    """The end of each scenario when nothing fails, and what the operator writes until then."""

    def __init__(self, kube: Kube, proxy: FaultProxy) -> None:
        self.kube, self.proxy = kube, proxy
        self.known: dict[str, tuple[Any, list[Exchange]]] = {}

    def __call__(self, scenario: Scenario) -> Any:
        return self._run(scenario)[0]

    def writes(self, scenario: Scenario) -> list[Exchange]:
        return self._run(scenario)[1]

    def _run(self, scenario: Scenario) -> tuple[Any, list[Exchange]]:
        if scenario.name not in self.known:
            project = started(self.kube, self.proxy, scenario)
            before = len(self.proxy.writes)
            scenario.change(project)
            settle(project, self.proxy)
            writes = [write for write in self.proxy.writes[before:] if concerns(write, project)]
            self.known[scenario.name] = state(project), writes
        return self.known[scenario.name]


@pytest.fixture(scope="session")
def ends(kube: Kube, proxy: FaultProxy, operator: Operator) -> Ends:
    return Ends(kube, proxy)
