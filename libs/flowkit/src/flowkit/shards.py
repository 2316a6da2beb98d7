"""Reading a sharded stream: batch by batch, in order, each entry with exactly one effect.

One durable consumer a shard with `max_ack_pending=1` gives strict order over any number of replicas. The handler's
statements, its effects and the offset go into one transaction; the batch is acknowledged after it. A batch that fails
is handled again entry by entry, and an entry that still fails goes to DEAD_LETTERS and never blocks its shard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

import asyncpg
import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from flowgate.uplink.v1 import dead_letters_pb2
from flowkit import offsets, outbox
from flowkit.bus import ACK_WAIT, Bus, sequence_of, shard_durable
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.telemetry import get_log

log = get_log()

Store = TypeVar("Store")
Entry = TypeVar("Entry")

FETCH_SECONDS = 5.0  # a pull request waits that long at the server; one that a restarted server forgot is lost

EntriesHandler = Callable[[Store, Sequence[Entry], datetime], Awaitable[Sequence[outbox.Effect]]]
"""(store, entries in order, now) → effects."""

# What an entry can bring about that no other try will cure.
_FATAL = (asyncpg.PostgresError, ArithmeticError, LookupError, TypeError, ValueError, DecodeError)


class Entries(Protocol[Entry]):
    """What a stream's batches hold.

    Attributes:
        stream: its name.
    """

    stream: str

    async def read(self, payload: bytes) -> list[Entry]:
        """The entries of a batch that are wanted.

        Raises:
            google.protobuf.message.DecodeError: the batch is damaged.
        """
        ...

    def letter(self, entry: Entry) -> dead_letters_pb2.DeadLetter:
        """The entry as a dead letter; service, place and error are filled in by the reader."""
        ...

    def agent(self, entry: Entry) -> str:
        """The agent that it is of, for the log."""
        ...


class ShardConsumer(Generic[Store, Entry]):
    """Gives a stream's entries to a handler.

    Args:
        service: name of the service, which is the name of its consumers.
        entries: the stream.
        store: makes the service's store on a connection.
        handler: what is done with them.
        relay: woken after each commit.
        at_once: how many batches are worked on at a time, over all shards.
    """

    def __init__(
        self,
        bus: Bus,
        database: Database,
        relay: outbox.Relay,
        service: str,
        entries: Entries[Entry],
        store: Callable[[Connection], Store],
        handler: EntriesHandler[Store, Entry],
        *,
        at_once: int = 256,
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._entries = entries
        self._store = store
        self._handler = handler
        self._turn = asyncio.Semaphore(at_once)
        self.handled = 0  # entries, since the start
        self.dead = 0  # entries given up

    async def run(self, shards: int) -> None:
        """Read all shards until cancelled."""
        async with asyncio.TaskGroup() as group:
            for shard in range(shards):
                group.create_task(self._read(shard))

    async def _read(self, shard: int) -> None:
        stream, durable = self._entries.stream, shard_durable(self._service, shard)
        subscription: JetStreamContext.PullSubscription | None = None
        created_at = 0.0
        try:
            while True:
                try:
                    if subscription is None:
                        created_at = await stream_created_at(self._bus, stream)
                        subscription = await self._bus.jetstream.pull_subscribe_bind(durable, stream)
                    messages = await subscription.fetch(1, timeout=FETCH_SECONDS)
                except TimeoutError:
                    continue
                except (nats.errors.Error, nats.js.errors.Error) as error:
                    log.warning("shard.read_retry", stream=stream, shard=shard, error=repr(error))
                    await unsubscribe(subscription)
                    subscription = None
                    await asyncio.sleep(0.5)
                    continue
                for message in messages:
                    async with self._turn:
                        await self._handle(shard, created_at, message)
        finally:
            await unsubscribe(subscription)

    async def _handle(self, shard: int, created_at: float, message: Msg) -> None:
        """Handle one batch and acknowledge it, or leave it to be delivered again when a server is away."""
        sequence, _ = sequence_of(message)
        place = {"stream": self._entries.stream, "shard": shard, "sequence": sequence}
        try:
            entries = await self._wanted(message.data)
            if entries:
                await self._commit(shard, created_at, sequence, entries)
                self._relay.wake()
            await message.ack()
            self.handled += len(entries)
        except (UnavailableError, nats.errors.Error, *TRANSIENT) as error:
            log.warning("shard.batch_retry", **place, error=repr(error))
            await asyncio.sleep(0.5)
            try:
                await message.nak(delay=0.1)
            except nats.errors.Error:
                log.warning("shard.nak_failed", **place, redelivered_after_seconds=ACK_WAIT)

    async def _wanted(self, payload: bytes) -> list[Entry]:
        try:
            return await self._entries.read(payload)
        except (DecodeError, ValueError):
            log.error("shard.batch_damaged", stream=self._entries.stream, bytes=len(payload))
            return []

    async def _commit(self, shard: int, created_at: float, sequence: int, entries: Sequence[Entry]) -> None:
        stream, now = self._entries.stream, datetime.now(UTC)
        try:
            async with self._database.transaction() as connection:
                if not await offsets.advance(connection, stream, shard, created_at, sequence):
                    return
                effects = await self._handler(self._store(connection), entries, now)
                await outbox.add(connection, self._service, effects)
            return
        except TRANSIENT:
            raise
        except _FATAL as error:
            log.error(
                "shard.batch_failed", stream=stream, shard=shard, sequence=sequence, error=repr(error), exc_info=True
            )
        async with self._database.transaction() as connection:
            if not await offsets.advance(connection, stream, shard, created_at, sequence):
                return
            for entry in entries:
                await self._commit_alone(connection, sequence, entry, now)

    async def _commit_alone(self, connection: Connection, sequence: int, entry: Entry, now: datetime) -> None:
        try:
            async with connection.transaction():
                effects = await self._handler(self._store(connection), [entry], now)
                await outbox.add(connection, self._service, effects)
        except TRANSIENT:
            raise
        except _FATAL as error:
            self.dead += 1
            stream, agent = self._entries.stream, self._entries.agent(entry)
            log.error("shard.dead_letter", stream=stream, instance_uid=agent, sequence=sequence, error=repr(error))
            letter = self._entries.letter(entry)
            letter.service, letter.stream = self._service, stream
            letter.stream_sequence, letter.error = sequence, repr(error)
            await outbox.add(connection, self._service, [letter])


async def stream_created_at(bus: Bus, stream: str) -> float:
    """When the stream was made, seconds since 1970; tells a stream made anew from the former one."""
    created = (await bus.jetstream.stream_info(stream)).created
    return created.timestamp() if created is not None else 0.0


async def unsubscribe(subscription: JetStreamContext.PullSubscription | None) -> None:
    """End a subscription, if there is one; harmless when NATS is away."""
    if subscription is not None:
        try:
            await subscription.unsubscribe()
        except nats.errors.Error:
            log.debug("shard.unsubscribe_failed")
