"""How kopf's tasks end, and what is said of those that nobody waits for any more."""

import asyncio
import contextlib
import gc
import logging

import pytest
from kopf._cogs.aiokits.aioadapters import wait_flag
from kopf._cogs.aiokits.aiotasks import create_guarded_task
from mlservice.controller import handlers
from mlservice.controller.handlers import cancel_again, leave_quietly


async def failing() -> None:
    raise RuntimeError("ours")


async def fail_unheard(coroutine, stopping: bool) -> None:
    stop = asyncio.Event()
    leave_quietly(stop)
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    assert task.done()
    if stopping:
        stop.set()
    del task
    gc.collect()


@pytest.mark.parametrize(
    ("of_kopf", "stopping", "said"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_only_what_kopf_had_begun_fails_in_silence_and_only_once_told_to_stop(caplog, of_kopf, stopping, said):
    coroutine = wait_flag("no flag, so it raises") if of_kopf else failing()  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        asyncio.run(fail_unheard(coroutine, stopping))
    assert ("never retrieved" in caplog.text) is said


async def swallow_one_cancellation() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(60)


async def ends_of_kopfs_task_and_ours() -> tuple[bool, bool]:
    kopfs = create_guarded_task(swallow_one_cancellation(), "watcher for mlservices")
    ours = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    kopfs.cancel()
    await cancel_again()
    await asyncio.wait([kopfs], timeout=10)
    return kopfs.cancelled(), ours.done()


def test_a_watch_of_kopf_that_swallowed_its_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr(handlers, "ENDING_SECONDS", 0.01)
    assert asyncio.run(ends_of_kopfs_task_and_ours()) == (True, False)


def test_kopf_sets_no_timer_that_kills_the_process():
    """Such a timer is set whenever a watch fails, and runs on when kopf has begun anew."""
    assert handlers.settings().process.ultimate_exiting_timeout is None
