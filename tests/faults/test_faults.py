"""The API server fails, and what it says gets lost: once it is well again, the end is as if nothing had been."""

import time

import pytest
from faults.injected import FAULTS
from faults.scenarios import CREATED, RENAMED, started
from faults.settle import converges

FAULT_SECONDS = 3.0
"""How long a fault lasts; the scenario happens at its beginning."""


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("scenario", [CREATED, RENAMED], ids=lambda s: s.name)
def test_fault_leaves_no_trace(kube, proxy, operator, ends, scenario, fault):
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    with proxy.failing(fault()):
        scenario.change(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, wanted)
    assert operator.process.poll() is None, "the operator ended"
