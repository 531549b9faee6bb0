"""Requests that run side by side: one failure ends none of the others, and kopf may cancel what is not its own."""

import asyncio

import pytest
from mlservice.cluster.client import all_of


def test_request_that_somebody_else_cancels_is_one_that_failed():
    async def cancelled() -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(all_of([cancelled()]))


def test_others_end_before_a_failure_is_raised():
    done = []

    async def fails() -> None:
        raise OSError

    async def works() -> None:
        await asyncio.sleep(0)
        done.append(True)

    with pytest.raises(OSError):
        asyncio.run(all_of([fails(), works()]))
    assert done
