"""The API server fails, and what it says gets lost: once it is well again, the end is as if nothing had been."""

import time

import pytest
from faults.injected import FAULTS, late, unheard, writes
from faults.proxy import Action
from faults.scenarios import CREATED, RENAMED, UPDATED, started
from faults.settle import converges, settle
from kube import eventually

FAULT_SECONDS = 3.0
"""How long a fault lasts; the scenario happens at its beginning."""


FEW = ("watches failed", "watches late", "services' watch later than children's")
"""Faults that `make test` tries on one scenario only."""


def cases():
    """Every fault on both scenarios."""
    for name, fault in FAULTS.items():
        yield pytest.param(RENAMED, fault, id=f"{name}-{RENAMED.name}")
        marks = [pytest.mark.long] if name in FEW else []
        yield pytest.param(CREATED, fault, id=f"{name}-{CREATED.name}", marks=marks)


@pytest.mark.parametrize(("scenario", "fault"), list(cases()))
def test_fault_leaves_no_trace(kube, proxy, operator, ends, scenario, fault):
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    with proxy.failing(fault()):
        scenario.change(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, wanted)
    assert operator.process.poll() is None, "the operator ended"


def test_update_is_of_the_runtime_as_it_was_edited_right_before_it_was_asked_for(kube, proxy, operator, ends):
    wanted = ends(UPDATED)
    project = started(kube, proxy, UPDATED)
    with proxy.failing(late("mlserviceruntimes")):
        UPDATED.change(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, wanted, seconds=20)


def test_so_is_that_of_a_release_whose_deployment_was_deleted_before(kube, proxy, operator, ends):
    """Seed 1035 of the random steps: the runtimes' watch came back later than the services' and Deployments'."""
    wanted = ends(UPDATED)
    project = started(kube, proxy, UPDATED)
    with proxy.failing(unheard("mlserviceruntimes"), writes(Action(status=503))):
        time.sleep(FAULT_SECONDS)  # until every watch has begun anew
        project.delete("Deployment", "llama-predict-v1")
        UPDATED.change(project)
        time.sleep(FAULT_SECONDS)
        proxy.faults = [unheard("mlserviceruntimes")]
        eventually("its Deployment is back", lambda: project.get("Deployment", "llama-predict-v1"), seconds=60)
        settle(project, proxy)
    converges(project, proxy, wanted, seconds=20)
