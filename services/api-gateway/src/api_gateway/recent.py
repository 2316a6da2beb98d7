"""The latest stored events, newest first: what happened lately, to all or to one agent."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from heapq import merge
from itertools import islice

from api_gateway.live import STREAMS, EventLog, StoredEvent, Wanted

_SCANNED = 20_000  # events of a stream that are looked at, at most


async def recent(
    events: EventLog,
    wanted: Wanted,
    instance_id: str | None,
    limit: int,
    is_late_enough: Callable[[StoredEvent], bool],
) -> list[StoredEvent]:
    """The latest events, newest first.

    Args:
        events: the streams.
        wanted: which.
        instance_id: only of this agent; its events are found by their subject, however long ago they were.
        limit: how many at most.
        is_late_enough: whether an event is not too old.

    Raises:
        UnavailableError: the streams cannot be read now.
    """
    found: list[deque[StoredEvent]] = []
    for stream, (first, last) in enumerate(await events.bounds()):
        domain = _domain(STREAMS[stream])
        if last < first or (wanted.domains and domain not in wanted.domains):
            continue
        # Without an agent the last `limit` are enough: each one is wanted, but for those that are not known here.
        after = max(first - 1, last - (_SCANNED if instance_id else limit))
        subject = f"flowgate.evt.{domain}.v1.*.{instance_id}" if instance_id else None
        latest: deque[StoredEvent] = deque(maxlen=limit)
        async with aclosing(events.read(stream, after, last, subject)) as stored:
            async for event in stored:
                if is_late_enough(event) and wanted.takes(event):
                    latest.append(event)
        latest.reverse()
        found.append(latest)
    return list(islice(merge(*found, key=lambda event: -event.stored_at), limit))


async def count(events: EventLog, wanted: Wanted, since: float) -> int:
    """How many events there have been since then, of the domains that are wanted.

    Raises:
        UnavailableError: the streams cannot be read now.
    """
    streams = [stream for stream, name in enumerate(STREAMS) if not wanted.domains or _domain(name) in wanted.domains]
    return sum(await asyncio.gather(*(events.count(stream, since) for stream in streams)))


def _domain(stream: str) -> str:
    return stream.removesuffix("_EVENTS").lower()
