"""The measurements of `make scale` in small, on a real API server: what costs how many writes, and nothing is timed."""

import pytest
import uvloop
from scale import report, steps
from scale.measure import rig

SERVICES = 100


@pytest.fixture(scope="module")
def figures():
    """Every step with a hundred services, one after the other."""

    async def measured():
        async with rig() as r:
            return {
                "growth": await steps.growth(r, SERVICES, SERVICES),
                "not_ready": await steps.not_ready(r),
                "latencies": await steps.latencies(r, 3),
                "runtime": await steps.edited_runtime(r),
                "busy": await steps.busy_service(r, 2),
                "rest": await steps.rest(r, SERVICES, 5, verify_seconds=2),
                "restart": await steps.restart(r, SERVICES),
                "crashes": await steps.crash_loops(r, steps.names(2, 12), rounds=12, pace=0.3),
            }

    return uvloop.run(measured())


def test_a_service_costs_its_children_two_statuses_and_two_events(figures):
    assert figures["growth"]["writes_per_service"] == 8
    assert figures["not_ready"] == []


def test_no_name_of_a_child_is_looked_at_before_it_is_made(figures):
    requests = figures["growth"]["requests"]
    reads = [requests[f"GET {kind}"] for kind in ("controllerrevisions", "deployments", "services")]
    assert sum(reads) < SERVICES  # lists, now and then


def test_nothing_is_written_at_rest_nor_by_a_new_process(figures):
    assert figures["rest"]["writes"] == 0
    assert figures["restart"]["writes"] == 0


def test_edited_runtime_costs_each_service_a_status_and_restarts_nothing(figures):
    assert figures["runtime"]["told_more_than_once"] == []
    assert figures["runtime"]["status_writes"] == figures["runtime"]["services"] + 1  # the newcomer's first
    assert figures["runtime"]["deployments_changed"] == 0


def test_busy_service_disturbs_no_other(figures):
    assert figures["busy"]["others_written"] == 0


def test_crash_loops_are_told_once(figures):
    crashes = figures["crashes"]
    assert crashes["pod_changes"] == 12 * crashes["services"]
    assert crashes["writes"] <= 2 * crashes["services"]  # a status and an Event


def test_size_that_is_not_measured_again_keeps_its_column(figures, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("before\n" + "\n".join(report.MARKS) + "\nafter\n")
    for services, commit in [(200, "older"), (100, "newer")]:
        report.publish({str(services): figures | {"services": services, "commit": commit}}, page)
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert lines[2] == "| figure | 100 services | 200 services |"
    assert lines[4] == "| commit | newer | older |"
    assert (tmp_path / "figures" / "scale-rate.svg").exists()
