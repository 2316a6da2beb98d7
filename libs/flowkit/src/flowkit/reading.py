"""Reading a durable consumer message by message, however often NATS or PostgreSQL goes away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from flowkit.bus import ACK_WAIT, Bus, sequence_of
from flowkit.db import TRANSIENT
from flowkit.errors import UnavailableError
from flowkit.metrics import FrameMetrics
from flowkit.tasks import end_if_cancelled
from flowkit.telemetry import get_log

log = get_log()

_FETCH_SECONDS = 5.0  # a pull request waits that long at the server; one that a restarted server forgot is lost
_AGAIN_SECONDS = 0.5
_LAST_SECONDS = 5.0  # for the message in hand, when the reader is stopped

AWAY = (UnavailableError, nats.errors.Error, *TRANSIENT)
"""What says that a server is away, not that the message is bad: it is dealt with again."""

Handle = Callable[[Msg, float], Awaitable[tuple[str, int]]]
"""(message, when its stream was made, in seconds since 1970) → outcome and number of entries as `FrameMetrics.message`
has them; raises what is transient to get the message again."""


async def each_message(
    bus: Bus,
    stream: str,
    durable: str,
    handle: Handle,
    metrics: FrameMetrics,
    *,
    shard: int = 0,
    ensure: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Give each message of a consumer to `handle` and acknowledge it, one at a time, until cancelled.

    The message in hand is finished first: another replica would get it only after the acknowledgement's deadline.

    Args:
        bus: where the stream is.
        stream: its name.
        durable: the consumer's name.
        handle: what is done with a message.
        metrics: what counts the messages.
        shard: which part of the stream the consumer has.
        ensure: makes the consumer if it is not there.
    """
    subscription: JetStreamContext.PullSubscription | None = None
    created_at = 0.0
    told = partial(metrics.message, stream, shard)
    try:
        while True:
            end_if_cancelled()
            try:
                if subscription is None:
                    if ensure is not None:
                        await ensure()
                    created_at = await _created_at(bus, stream)
                    subscription = await bus.jetstream.pull_subscribe_bind(durable, stream)
                messages = await subscription.fetch(1, timeout=_FETCH_SECONDS)
            except TimeoutError:
                continue
            except (nats.errors.Error, nats.js.errors.Error) as error:
                log.warning("reading.retry", consumer=durable, stream=stream, error=repr(error))
                await _leave(subscription)
                subscription = None
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for message in messages:
                await _finish(_deal_with(message, durable, handle, created_at, told))
    finally:
        await _leave(subscription)


async def _deal_with(
    message: Msg, durable: str, handle: Handle, created_at: float, told: Callable[[str, float, int], None]
) -> None:
    """Handle and acknowledge, or leave it to be delivered again when a server is away."""
    began = time.monotonic()
    try:
        outcome, entries = await handle(message, created_at)
        await message.ack()
        told(outcome, time.monotonic() - began, entries)
    except AWAY as error:
        told("retried", time.monotonic() - began, 0)
        sequence, _ = sequence_of(message)
        log.warning("reading.message_retry", consumer=durable, sequence=sequence, error=repr(error))
        await asyncio.sleep(_AGAIN_SECONDS)
        try:
            await message.nak(delay=0.1)
        except nats.errors.Error:
            log.warning("reading.nak_failed", consumer=durable, sequence=sequence, redelivered_after_seconds=ACK_WAIT)


async def _finish(work: Awaitable[None]) -> None:
    """Do the work to its end, also when cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_LAST_SECONDS)
        task.cancel()
        raise


async def _created_at(bus: Bus, stream: str) -> float:
    """Tells a stream made anew from the former one."""
    created = (await bus.jetstream.stream_info(stream)).created
    return created.timestamp() if created is not None else 0.0


async def _leave(subscription: JetStreamContext.PullSubscription | None) -> None:
    """End a subscription, if there is one; harmless when NATS is away."""
    if subscription is None:
        return
    try:
        if subscription.pending_msgs:  # came while nobody asked for it any more
            for message in await subscription.fetch(subscription.pending_msgs, timeout=0.1):
                await message.nak()
        await subscription.unsubscribe()
    except (nats.errors.Error, TimeoutError):
        log.debug("reading.unsubscribe_failed")
