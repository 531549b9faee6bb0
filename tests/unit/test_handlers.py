"""What is said of kopf's tasks that nobody waits for any more."""

import asyncio
import gc
import logging

import pytest
from kopf._cogs.aiokits.aioadapters import wait_flag
from mlservice.controller.handlers import leave_quietly


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
