"""Kill -9 right after the k-th write, for every k: the end is the one of a run that nobody disturbed."""

from collections.abc import Callable
from itertools import count

import pytest
from faults.proxy import Action, Exchange
from faults.scenarios import SCENARIOS, started
from faults.settle import concerns, converges, settle
from rig import Operator, Project


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_end_is_the_same_wherever_it_is_killed(kube, proxy, operator, whole, ends, scenario):
    wanted, writes = ends(scenario), ends.writes(scenario)
    assert writes or scenario.name == "deleted", "nothing was written: the scenario shows nothing"
    for k in kills(len(writes), whole):
        project = started(kube, proxy, scenario)
        before = len(proxy.writes)
        with proxy.failing(killing(operator, project, k)):
            if k == 0:
                operator.process.kill()
            scenario.change(project)
            settle(project, proxy, until=lambda: operator.process.poll() is not None)
        assert operator.process.poll() is not None, f"only {k - 1} writes this time"
        operator.kill()
        operator.start()
        operator.led()
        where = f"after write {k}: {writes[k - 1].method} {writes[k - 1].path}" if k else "before it saw the change"
        converges(project, proxy, wanted, f"killed {where}")
        written = [w for w in proxy.writes[before:] if concerns(w, project)]
        assert len(written) <= 2 * len(writes) + 2, f"killed {where}, it wrote {[(w.method, w.path) for w in written]}"


def kills(writes: int, whole: bool) -> list[int]:
    """After how many writes it is killed: every number, or two of them."""
    return list(range(writes + 1)) if whole else sorted({min(1, writes), (writes + 1) // 2})


def killing(operator: Operator, project: Project, k: int) -> Callable[[Exchange], Action | None]:
    """Kill the operator when the server has acted on its k-th write in this namespace."""
    numbers = count(1)

    def fault(exchange: Exchange) -> Action | None:
        if concerns(exchange, project) and next(numbers) == k:
            return Action(after=operator.process.kill)
        return None

    return fault
