"""Following another service's events: one at a time, in order, each with exactly one effect."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import asyncpg
import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from flowgate.uplink.v1 import dead_letters_pb2
from flowkit import contracts, offsets, outbox
from flowkit.bus import Bus, sequence_of
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.shards import FETCH_SECONDS, stream_created_at, unsubscribe
from flowkit.telemetry import get_log

log = get_log()

Store = TypeVar("Store")

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
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._store = store
        self._stream = stream
        self._handlers = handlers

    async def run(self) -> None:
        """Follow until cancelled."""
        subscription = None
        created_at = 0.0
        try:
            while True:
                try:
                    if subscription is None:
                        subjects = [contracts.filter_of(kind) for kind in self._handlers]
                        await self._bus.ensure_consumer(self._stream, self._service, subjects)
                        created_at = await stream_created_at(self._bus, self._stream)
                        subscription = await self._bus.jetstream.pull_subscribe_bind(self._service, self._stream)
                    messages = await subscription.fetch(1, timeout=FETCH_SECONDS)
                except TimeoutError:
                    continue
                except (nats.errors.Error, nats.js.errors.Error) as error:
                    log.warning("follow.read_retry", stream=self._stream, error=repr(error))
                    await unsubscribe(subscription)
                    subscription = None
                    await asyncio.sleep(0.5)
                    continue
                for message in messages:
                    await self._handle(created_at, message)
        finally:
            await unsubscribe(subscription)

    async def _handle(self, created_at: float, message: Msg) -> None:
        sequence, _ = sequence_of(message)
        try:
            try:
                fact = contracts.decode_event(message.subject, message.data)
                await self._commit(created_at, sequence, fact)
            except TRANSIENT:
                raise
            except (asyncpg.PostgresError, LookupError, TypeError, ValueError, DecodeError) as error:
                await self._bury(created_at, sequence, message, error)
            await message.ack()
            self._relay.wake()
        except (UnavailableError, nats.errors.Error, *TRANSIENT) as error:
            log.warning("follow.retry", stream=self._stream, sequence=sequence, error=repr(error))
            await asyncio.sleep(0.5)
            try:
                await message.nak(delay=0.1)
            except nats.errors.Error:
                log.warning("follow.nak_failed", stream=self._stream, sequence=sequence)

    async def _commit(self, created_at: float, sequence: int, fact: Message) -> None:
        async with self._database.transaction() as connection:
            if await offsets.advance(connection, self._stream, 0, created_at, sequence):
                effects = await self._handlers[type(fact)](self._store(connection), fact, datetime.now(UTC))
                await outbox.add(connection, self._service, effects)

    async def _bury(self, created_at: float, sequence: int, message: Msg, error: Exception) -> None:
        log.error("follow.dead_letter", stream=self._stream, sequence=sequence, error=repr(error), exc_info=True)
        letter = dead_letters_pb2.DeadLetter(
            service=self._service,
            stream=self._stream,
            stream_sequence=sequence,
            error=repr(error),
            event=message.data,
            event_subject=message.subject,
        )
        async with self._database.transaction() as connection:
            if await offsets.advance(connection, self._stream, 0, created_at, sequence):
                await outbox.add(connection, self._service, [letter])
