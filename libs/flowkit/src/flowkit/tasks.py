"""The end of tasks that run until they are cancelled."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 6.0  # longer than a reader takes for the message in hand


async def cancel(*tasks: "asyncio.Future[Any]", again_seconds: float = _AGAIN_SECONDS) -> list[Exception]:
    """Cancel tasks and wait until they have ended; returns what they raised.

    Before Python 3.12 `asyncio.wait_for`, which NATS's client is full of, loses a cancellation that comes together with
    what it waits for: a task that goes on is cancelled again.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=again_seconds)
    raised = (None if task.cancelled() else task.exception() for task in tasks)
    return [error for error in raised if isinstance(error, Exception)]


def end_if_cancelled() -> None:
    """For a loop around what may lose a cancellation.

    Raises:
        asyncio.CancelledError: this task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
