"""Fleet events to many listeners: one reader per event stream feeds all of them, each with a bounded queue.

A listener's place is a cursor: the last sequence that it has seen of each stream, joined by dashes. It goes out as the
id of every server-sent event, so that a client that comes back with Last-Event-ID misses nothing and sees nothing
twice, whichever replica it comes back to.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import orjson
from google.protobuf.message import DecodeError, Message

from api_gateway.schemas.event import event_json
from flowkit import contracts, tasks
from flowkit.telemetry import get_log

STREAMS: tuple[str, ...] = tuple(dict.fromkeys(contracts.stream_of(kind) for kind in contracts.event_types().values()))

log = get_log()


@dataclass(frozen=True)
class StoredEvent:
    """An event as a stream holds it; decoded once, when the first listener looks at it."""

    stream: int
    """Index into STREAMS."""
    sequence: int
    """Its place in the stream, from 1."""
    stored_at: float
    """When it was stored, in seconds since 1970."""
    subject: str
    payload: bytes
    message_id: str | None

    @cached_property
    def fact(self) -> Message | None:
        """What it tells; None for one that this version does not know."""
        try:
            return contracts.decode_event(self.subject, self.payload)
        except (LookupError, DecodeError):
            log.warning("live.unknown_event", subject=self.subject)
            return None

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The fact as JSON; None for one that this version does not know."""
        return None if self.fact is None else event_json(self.fact, self.message_id)

    @cached_property
    def text(self) -> str:
        """The same as text."""
        return orjson.dumps(self.body).decode()


class EventLog(Protocol):
    """The event streams: JetStream, or memory in tests."""

    async def bounds(self) -> Sequence[tuple[int, int]]:
        """First and last sequence kept, per stream; (n + 1, n) for an empty one.

        Raises:
            UnavailableError: the streams cannot be read now.
        """
        ...

    async def count(self, stream: int, since: float) -> int:
        """How many events the stream has got since then, in seconds since 1970.

        Raises:
            UnavailableError: the streams cannot be read now.
        """
        ...

    def read(
        self, stream: int, after: int, until: int, subject: str | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        """What is kept of the stream behind `after`, up to `until`; only under a subject, which may hold wildcards."""
        ...

    def follow(self, stream: int, after: int) -> AsyncGenerator[StoredEvent, None]:
        """What the stream gets behind `after`, without end; goes on by itself after interruptions."""
        ...


@dataclass(frozen=True)
class Wanted:
    """Which events a listener wants; empty means all."""

    domains: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()

    def takes(self, event: StoredEvent) -> bool:
        """Whether this event is one of them."""
        if self.domains and event.subject.split(".")[2] not in self.domains:
            return False
        body = event.body
        if body is None:
            return False
        if self.operations and body.get("operation_id") not in self.operations:
            return False
        return not self.ids or body["instance_id"] in self.ids or body["gateway_id"] in self.ids


def cursor_text(place: Sequence[int]) -> str:
    """A place in the streams as text."""
    return "-".join(map(str, place))


def cursor_place(text: str, bounds: Sequence[tuple[int, int]]) -> list[int]:
    """The place that a cursor names.

    What is no cursor, or lies beyond the end of a stream (it was made anew), counts as the oldest that is kept.
    """
    parts = text.strip().split("-")
    known = [int(part) if part.isascii() and part.isdigit() and len(part) < 20 else 0 for part in parts]
    if len(known) != len(bounds):
        known = [0] * len(bounds)
    return [place if place <= last else 0 for place, (_, last) in zip(known, bounds, strict=True)]


class Hub:
    """Reads each event stream once and gives it to every listener."""

    def __init__(self, events: EventLog, queue_size: int) -> None:
        self.events = events
        self._queue_size = queue_size
        self._place: list[int] = []
        self._listeners: set[asyncio.Queue[StoredEvent | None]] = set()
        self.work: Sequence[asyncio.Task[None]] = ()
        self.is_closed = False
        """It was stopped: who comes now is let go at once, to find another replica."""

    async def start(self) -> None:
        """Begin to read at the end of each stream.

        Raises:
            UnavailableError: the streams cannot be read now.
        """
        self._place = [last for _, last in await self.events.bounds()]
        self.work = [asyncio.create_task(self._follow(stream)) for stream in range(len(self._place))]

    async def stop(self) -> None:
        """Let every listener go and stop reading."""
        self.is_closed = True
        for queue in list(self._listeners):
            self._let_go(queue)
        await tasks.cancel(*self.work)

    @property
    def is_running(self) -> bool:
        """Whether every stream is being read."""
        return bool(self.work) and not any(task.done() for task in self.work)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    async def listen(self, wanted: Wanted, cursor: str | None) -> AsyncGenerator[tuple[str, StoredEvent | None], None]:
        """Events from the cursor on, or from now on, each with the cursor behind it; the first has a cursor only.

        It ends when the listener is too slow, or at the stop of the hub: the client comes back with its cursor.
        """
        queue: asyncio.Queue[StoredEvent | None] = asyncio.Queue(self._queue_size)
        try:
            if cursor is None:
                self._listeners.add(queue)
                place = list(self._place)
                yield cursor_text(place), None
            else:
                bounds = await self.events.bounds()
                place = cursor_place(cursor, bounds)
                yield cursor_text(place), None
                # The long way first, without a queue that would overflow meanwhile; then what came since.
                for until in ([last for _, last in bounds], None):
                    if until is None:
                        self._listeners.add(queue)
                    async with aclosing(self._replay(place, until or list(self._place))) as replay:
                        async for event in replay:
                            place[event.stream] = event.sequence
                            if wanted.takes(event):
                                yield cursor_text(place), event
            while not self.is_closed and (event_or_end := await queue.get()) is not None:
                if event_or_end.sequence <= place[event_or_end.stream]:
                    continue
                place[event_or_end.stream] = event_or_end.sequence
                if wanted.takes(event_or_end):
                    yield cursor_text(place), event_or_end
        finally:
            self._listeners.discard(queue)

    async def _replay(self, after: Sequence[int], until: Sequence[int]) -> AsyncGenerator[StoredEvent, None]:
        """What is kept between two places, in the order in which it was stored."""
        readers = [
            self.events.read(stream, after[stream], until[stream])
            for stream in range(len(until))
            if after[stream] < until[stream]
        ]
        try:
            heads = [(event, reader) for reader in readers if (event := await anext(reader, None)) is not None]
            while heads:
                position = min(range(len(heads)), key=lambda n: heads[n][0].stored_at)
                event, reader = heads.pop(position)
                yield event
                following = await anext(reader, None)
                if following is not None:
                    heads.append((following, reader))
        finally:
            for reader in readers:
                await reader.aclose()

    async def _follow(self, stream: int) -> None:
        async for event in self.events.follow(stream, self._place[stream]):
            if event.sequence <= self._place[stream]:
                # The stream was made anew: every place in it is void, so all listeners come back as new.
                for queue in list(self._listeners):
                    self._let_go(queue)
            self._place[stream] = event.sequence
            for queue in list(self._listeners):
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    log.warning("live.slow_listener", waiting=queue.qsize())
                    self._let_go(queue)

    def _let_go(self, queue: asyncio.Queue[StoredEvent | None]) -> None:
        self._listeners.discard(queue)
        with suppress(asyncio.QueueEmpty):
            while True:
                queue.get_nowait()
        queue.put_nowait(None)
