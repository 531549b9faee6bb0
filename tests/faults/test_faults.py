"""The API server fails, and what it says gets lost: once it is well again, the end is as if nothing had been."""

import itertools
import json
import time
from collections.abc import Callable

import pytest
from faults.proxy import Action, Fault
from faults.scenarios import created, release_renamed, started
from faults.settle import converges, settle, state

FAULT_SECONDS = 3.0
"""How long a fault lasts; the scenario happens at its beginning."""


def writes(action: Action) -> Fault:
    return lambda e: action if e.write is not None else None


def every_second_write(action: Action) -> Fault:
    numbers = itertools.count()
    return lambda e: action if e.write is not None and next(numbers) % 2 == 0 else None


def requests(action: Action) -> Fault:
    return lambda e: action


def watches(change: Callable[[bytes], list[bytes]]) -> Fault:
    """Change the lines of watches that begin now; those that run are cut first, by the test."""
    return lambda e: Action(lines=change) if e.is_watch else None


def gone(line: bytes) -> list[bytes]:
    """Every watch ends at once with 410, so that all must be listed again."""
    status = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "injected"}
    return [json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"]


FAULTS: dict[str, Callable[[], Fault]] = {
    "conflict": lambda: every_second_write(Action(status=409)),
    "too many requests": lambda: requests(Action(status=429, headers=(("Retry-After", "1"),))),
    "internal error": lambda: writes(Action(status=500)),
    "unavailable": lambda: requests(Action(status=503)),
    "unauthorized": lambda: requests(Action(status=401)),
    "forbidden": lambda: requests(Action(status=403)),
    "slow": lambda: requests(Action(delay_seconds=0.5)),
    "cut before the server acts": lambda: requests(Action(cut=True)),
    "cut after the server acted": lambda: every_second_write(Action(after=lambda: None)),
    "watch lines dropped": lambda: watches(lambda line: []),
    "watch lines doubled": lambda: watches(lambda line: [line, line]),
    "watches expired": lambda: watches(gone),
}


SCENARIOS = [created, release_renamed]


@pytest.fixture(scope="module")
def undisturbed(kube, proxy, operator):
    """The end of each scenario when nothing fails."""
    ends = {}
    for scenario in SCENARIOS:
        project = started(kube, proxy, scenario)
        scenario(project)
        settle(project, proxy)
        ends[scenario] = state(project)
    return ends


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_fault_leaves_no_trace(kube, proxy, operator, undisturbed, scenario, fault):
    project = started(kube, proxy, scenario)
    with proxy.failing(fault()):
        scenario(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, undisturbed[scenario])
    assert operator.process.poll() is None, "the operator ended"
