"""A burst at once, then one each so many seconds."""

import pytest
from mlservice.cluster import limit


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(limit.time, "monotonic", lambda: Clock.now)
    return Clock


def test_burst_then_one_each_interval(clock):
    allowance = limit.Allowance(2, 20.0)
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]
    assert allowance.take("b")
    clock.now += 19
    assert not allowance.left("a")
    clock.now += 1
    assert [allowance.left("a"), allowance.take("a"), allowance.take("a")] == [True, True, False]


def test_asking_does_not_count_and_refusals_do_not_add_up(clock):
    allowance = limit.Allowance(1, 20.0)
    assert allowance.left("a")
    assert allowance.take("a")
    for _ in range(10):
        clock.now += 2.5
        taken = allowance.take("a")
        assert taken == (clock.now in (120.0,))
    allowance.forget("a")
    assert allowance.take("a")


def test_what_may_be_done_as_before_is_forgotten(clock):
    allowance = limit.Allowance(2, 20.0)
    allowance.take("a")
    clock.now += 41
    allowance.take("b")
    assert len(allowance._buckets) == 1


def test_memory_is_bounded(clock):
    allowance = limit.Allowance(1, 20.0)
    for key in range(limit.REMEMBERED + 10):
        allowance.take(key)
    assert len(allowance._buckets) == limit.REMEMBERED
