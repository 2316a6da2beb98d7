"""Tasks end though a cancellation got lost."""

import asyncio

import pytest

from flowkit import tasks


async def deaf(ends: int) -> None:
    """Ends with the given cancellation only."""
    for _ in range(ends - 1):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
    await asyncio.sleep(60)


async def fails() -> None:
    try:
        await asyncio.sleep(60)
    finally:
        raise ValueError("at the end")


async def test_a_task_that_goes_on_is_cancelled_again() -> None:
    """And what tasks raised is told, also by those that ended before."""

    async def nothing() -> None:
        return

    async def broken() -> None:
        raise KeyError("before")

    running = [asyncio.ensure_future(one) for one in (deaf(1), deaf(3), fails(), nothing(), broken())]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        raised = await tasks.cancel(*running, again_seconds=0.05)
    assert all(task.done() for task in running)
    assert [type(error) for error in raised] == [ValueError, KeyError]


async def test_no_tasks_at_all() -> None:
    """Nothing to wait for."""
    assert await tasks.cancel() == []


async def test_a_loop_ends_though_its_cancellation_got_lost() -> None:
    """`cancelling` still tells of it."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            tasks.end_if_cancelled()
            turns += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:  # as wait_for of Python 3.11 does
                pass

    running = asyncio.ensure_future(loop())
    await asyncio.sleep(0.01)
    running.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await running
    assert turns == 1
