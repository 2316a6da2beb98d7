"""For tests: the fleet's events in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from fnmatch import fnmatchcase

from google.protobuf.message import Message

from api_gateway.live import STREAMS, StoredEvent
from flowkit import contracts


class MemoryEventLog:
    """`live.EventLog` without a bus; `put` stores an event."""

    def __init__(self) -> None:
        self._stored: list[list[StoredEvent]] = [[] for _ in STREAMS]
        self._dropped = [0] * len(STREAMS)
        self._more = asyncio.Condition()

    async def put(self, fact: Message, message_id: str | None = None) -> StoredEvent:
        """Store a fact in its stream."""
        stream = STREAMS.index(contracts.stream_of(type(fact)))
        total = sum(map(len, self._stored)) + sum(self._dropped)
        sequence = self._dropped[stream] + len(self._stored[stream]) + 1
        event = StoredEvent(
            stream, sequence, float(total), contracts.subject_of(fact), fact.SerializeToString(), message_id
        )
        async with self._more:
            self._stored[stream].append(event)
            self._more.notify_all()
        return event

    def drop(self, stream: int, count: int) -> None:
        """Let the oldest events of a stream expire."""
        del self._stored[stream][:count]
        self._dropped[stream] += count

    async def bounds(self) -> Sequence[tuple[int, int]]:
        """First and last sequence kept, per stream."""
        return [(dropped + 1, dropped + len(kept)) for dropped, kept in zip(self._dropped, self._stored, strict=True)]

    async def count(self, stream: int, since: float) -> int:
        """How many were stored since then."""
        return sum(event.stored_at >= since for event in self._stored[stream])

    async def read(
        self, stream: int, after: int, until: int, subject: str | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        """What is kept between the two."""
        for event in list(self._stored[stream]):
            if after < event.sequence <= until and (subject is None or fnmatchcase(event.subject, subject)):
                yield event

    async def follow(self, stream: int, after: int) -> AsyncGenerator[StoredEvent, None]:
        """What comes, without end."""
        stored = self._stored[stream]
        while True:
            async with self._more:
                while not stored or stored[-1].sequence <= after:
                    await self._more.wait()
                fresh = [event for event in stored if event.sequence > after]
            for event in fresh:
                after = event.sequence
                yield event
                await asyncio.sleep(0)  # others have their turn, as they do when messages come from a socket
