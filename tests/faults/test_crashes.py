"""Kill -9 right after the k-th write, for every k: the end is the one of a run that nobody disturbed."""

from collections.abc import Callable
from itertools import count

import pytest
from faults.proxy import Action, Exchange
from faults.scenarios import SCENARIOS, started
from faults.settle import converges, settle, state
from rig import Operator, Project


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_end_is_the_same_wherever_it_is_killed(kube, proxy, operator, scenario):
    undisturbed = started(kube, proxy, scenario)
    before = len(proxy.writes)
    scenario(undisturbed)
    settle(undisturbed, proxy)
    writes = [write for write in proxy.writes[before:] if concerns(write, undisturbed)]
    assert writes, "nothing was written: the scenario shows nothing"
    wanted = state(undisturbed)
    for k in range(1, len(writes) + 1):
        project = started(kube, proxy, scenario)
        with proxy.failing(killing(operator, project, k)):
            scenario(project)
            settle(project, proxy, until=lambda: operator.process.poll() is not None)
        assert operator.process.poll() is not None, f"only {k - 1} writes this time"
        operator.kill()
        operator.start()
        converges(project, proxy, wanted, f"killed after write {k}: {writes[k - 1].method} {writes[k - 1].path}")


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
