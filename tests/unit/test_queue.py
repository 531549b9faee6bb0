import asyncio

from mlservice.cluster.queue import Turn, WorkQueue

A, B, C = ("n", "a"), ("n", "b"), ("n", "c")


async def others() -> None:
    """Give all others on the event loop several turns."""
    for _ in range(5):
        await asyncio.sleep(0)


async def drain(queue: WorkQueue) -> list[tuple[str, str]]:
    keys = []
    while not queue.idle:
        key = await queue.get()
        keys.append(key)
        queue.done(key)
    return keys


def test_key_is_queued_once_and_fan_outs_come_last() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A, Turn.FAN_OUT)
        queue.add(B, Turn.FAN_OUT)
        queue.add(C)
        queue.add(A)
        queue.add(A)
        assert await drain(queue) == [C, A, B]

    asyncio.run(scenario())


def test_ready_services_come_before_new_ones_which_get_their_share() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        new, ready = [("new", str(i)) for i in range(4)], [("ready", str(i)) for i in range(6)]
        for key in [*new, *ready]:
            queue.add(key)
        for key in ready:
            queue.add(key, Turn.FIRST)
        assert await drain(queue) == [*ready[:3], new[0], *ready[3:], *new[1:]]

    asyncio.run(scenario())


def test_services_with_nothing_to_write_leave_the_event_loop_to_others() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        for i in range(100):
            queue.add(("n", str(i)), Turn.FAN_OUT)
        handling = asyncio.create_task(drain(queue))
        await others()
        queue.add(C)
        assert (await handling).index(C) < 10

    asyncio.run(scenario())


def test_fan_out_leaves_workers_to_the_others() -> None:
    async def scenario() -> None:
        queue = WorkQueue(fan_out=1)
        queue.add(A, Turn.FAN_OUT)
        queue.add(B, Turn.FAN_OUT)
        assert await queue.get() == A
        next_one = asyncio.create_task(queue.get())
        await others()
        assert not next_one.done()
        queue.add(C)
        assert await next_one == C
        next_one = asyncio.create_task(queue.get())
        queue.done(A)
        assert await next_one == B

    asyncio.run(scenario())


def test_key_that_changes_while_it_is_handled_is_handled_once_more() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A)
        key = await queue.get()
        queue.add(A)
        queue.add(A)
        waiting = asyncio.create_task(queue.get())
        await others()
        assert not waiting.done()
        queue.done(key)
        assert await waiting == A
        queue.done(A)
        assert queue.idle

    asyncio.run(scenario())


def test_failures_double_the_delay_and_success_forgets_them() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        delays = [queue.retry(A) for _ in range(20)]
        assert 0.003 < delays[0] < 0.007
        assert 40 < delays[-1] <= 72
        queue.forget(A)
        assert queue.retry(A) < 0.007

    asyncio.run(scenario())


def test_of_two_wishes_for_later_the_earlier_holds() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add_after(A, 60)
        queue.add_after(A, 0.01)
        queue.add_after(A, 60)
        async with asyncio.timeout(5):
            assert await queue.get() == A

    asyncio.run(scenario())


def test_what_rang_before_its_handler_read_is_not_handled_once_more() -> None:
    async def scenario() -> None:
        queue = WorkQueue()
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)
        queue.read(A)
        queue.add(B)
        queue.read(B)  # nobody handles it
        queue.done(A)
        assert await drain(queue) == [B]
        queue.add(A)
        assert await queue.get() == A
        queue.read(A)
        queue.add(A)
        queue.done(A)
        assert await drain(queue) == [A]

    asyncio.run(scenario())
