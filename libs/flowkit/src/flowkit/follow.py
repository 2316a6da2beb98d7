"""Following another service's events: one at a time, in order, each with exactly one effect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind

from flowgate.uplink.v1 import dead_letters_pb2
from flowkit import contracts, offsets, outbox, tracing
from flowkit.bus import Bus, sequence_of
from flowkit.db import Connection, Database
from flowkit.metrics import FrameMetrics
from flowkit.opamp import clean_text
from flowkit.reading import AWAY, each_message
from flowkit.telemetry import get_log

log = get_log()

Store = TypeVar("Store")

_MAX_ERROR = 16_384  # characters in a dead letter
_MAX_EVENT = 1_000_000 - 5 * _MAX_ERROR  # bytes of the event in it; NATS takes 1 MiB together with the rest

EventHandler = Callable[[Store, Any, datetime], Awaitable[Sequence[outbox.Effect]]]
"""(store, fact, now) → effects."""


class Follower(Generic[Store]):
    """Gives the facts of one stream to handlers by their type; the durable consumer is named after the service."""

    def __init__(
        self,
        bus: Bus,
        database: Database,
        relay: outbox.Relay,
        service: str,
        store: Callable[[Connection], Store],
        stream: str,
        handlers: Mapping[type[Message], EventHandler[Store]],
        metrics: FrameMetrics | None = None,
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._store = store
        self._stream = stream
        self._handlers = handlers
        self._metrics = metrics or FrameMetrics(service)
        self._metrics.reads(stream, 1)

    async def run(self) -> None:
        """Follow until cancelled."""
        subjects = [contracts.filter_of(kind) for kind in self._handlers]
        ensure = partial(self._bus.ensure_consumer, self._stream, self._service, subjects)
        await each_message(self._bus, self._stream, self._service, self._handle, self._metrics, ensure=ensure)

    async def _handle(self, message: Msg, created_at: float) -> tuple[str, int]:
        sequence, _ = sequence_of(message)
        try:
            fact = contracts.decode_event(message.subject, message.data)
            parent = (message.headers or {}).get(tracing.HEADER, "")
            name = f"process {contracts.event_name(type(fact))}"
            with tracing.span(name, SpanKind.CONSUMER, parent, messaging__system="nats"):
                await self._commit(created_at, sequence, fact)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the facts behind it must not wait for it
            await self._bury(created_at, sequence, message, error)
        return "handled", 1

    async def _commit(self, created_at: float, sequence: int, fact: Message) -> None:
        async with self._database.transaction() as connection:
            if not await offsets.advance(connection, self._stream, 0, created_at, sequence):
                return
            effects = await self._handlers[type(fact)](self._store(connection), fact, datetime.now(UTC))
            await outbox.add(connection, self._service, effects)
        if effects:
            self._relay.wake()
        self._metrics.committed(effects)

    async def _bury(self, created_at: float, sequence: int, message: Msg, error: Exception) -> None:
        log.error("follow.dead_letter", stream=self._stream, sequence=sequence, error=repr(error), exc_info=True)
        letter = dead_letters_pb2.DeadLetter(
            service=self._service,
            stream=self._stream,
            stream_sequence=sequence,
            error=clean_text(repr(error), _MAX_ERROR),
            event=message.data if len(message.data) <= _MAX_EVENT else b"",
            event_subject=message.subject,
        )
        async with self._database.transaction() as connection:
            if not await offsets.advance(connection, self._stream, 0, created_at, sequence):
                return
            await outbox.add(connection, self._service, [letter])
        self._relay.wake()
        self._metrics.dead_letter(self._stream)
