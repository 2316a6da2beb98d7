"""Reading a sharded stream: batch by batch, in order, each entry with exactly one effect.

One durable consumer a shard with `max_ack_pending=1` gives strict order over any number of replicas. The handler's
statements, its effects and the offset go into one transaction; the batch is acknowledged after it. A batch that fails
is handled again entry by entry, and an entry that still fails goes to DEAD_LETTERS and never blocks its shard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from flowgate.uplink.v1 import dead_letters_pb2
from flowkit import offsets, outbox
from flowkit.bus import Bus, sequence_of, shard_durable
from flowkit.db import Connection, Database
from flowkit.metrics import FrameMetrics
from flowkit.opamp import clean_text
from flowkit.reading import AWAY, each_message
from flowkit.telemetry import get_log

log = get_log()

Store = TypeVar("Store")
Entry = TypeVar("Entry")

EntriesHandler = Callable[[Store, Sequence[Entry], datetime], Awaitable[Sequence[outbox.Effect]]]
"""(store, entries in order, now) → effects."""


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
        metrics: what counts the batches.
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
        metrics: FrameMetrics | None = None,
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._entries = entries
        self._store = store
        self._handler = handler
        self._turn = asyncio.Semaphore(at_once)
        self._metrics = metrics or FrameMetrics(service)

    async def run(self, shards: int) -> None:
        """Read all shards until cancelled."""
        self._metrics.reads(self._entries.stream, shards)
        async with asyncio.TaskGroup() as group:
            for shard in range(shards):
                group.create_task(self._read(shard))

    async def _read(self, shard: int) -> None:
        async def handle(message: Msg, created_at: float) -> tuple[str, int]:
            async with self._turn:
                entries = await self._wanted(message.data)
                if not entries:
                    return "damaged" if entries is None else "nothing", 0
                await self._commit(shard, created_at, sequence_of(message)[0], entries)
                return "handled", len(entries)

        durable = shard_durable(self._service, shard)
        await each_message(self._bus, self._entries.stream, durable, handle, self._metrics, shard=shard)

    async def _wanted(self, payload: bytes) -> list[Entry] | None:
        """The entries that are wanted; None when the batch is damaged."""
        try:
            return await self._entries.read(payload)
        except (DecodeError, ValueError):
            log.error("shard.batch_damaged", stream=self._entries.stream, bytes=len(payload))
            return None

    async def _commit(self, shard: int, created_at: float, sequence: int, entries: Sequence[Entry]) -> None:
        stream, now = self._entries.stream, datetime.now(UTC)
        try:
            async with self._database.transaction() as connection:
                if not await offsets.advance(connection, stream, shard, created_at, sequence):
                    return
                effects = await self._handler(self._store(connection), entries, now)
                await outbox.add(connection, self._service, effects)
            if effects:
                self._relay.wake()
            self._metrics.committed(effects)
            return
        except AWAY:
            raise
        except Exception as error:
            log.error(
                "shard.batch_failed", stream=stream, shard=shard, sequence=sequence, error=repr(error), exc_info=True
            )
        async with self._database.transaction() as connection:
            if not await offsets.advance(connection, stream, shard, created_at, sequence):
                return
            told = [effect for entry in entries for effect in await self._alone(connection, sequence, entry, now)]
        self._relay.wake()
        self._metrics.committed(told)

    async def _alone(
        self, connection: Connection, sequence: int, entry: Entry, now: datetime
    ) -> Sequence[outbox.Effect]:
        try:
            async with connection.transaction():
                effects = await self._handler(self._store(connection), [entry], now)
                await outbox.add(connection, self._service, effects)
            return effects
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the others behind it must not wait for it
            stream, agent = self._entries.stream, self._entries.agent(entry)
            log.error("shard.dead_letter", stream=stream, instance_uid=agent, sequence=sequence, error=repr(error))
            letter = self._entries.letter(entry)
            letter.service, letter.stream = self._service, stream
            letter.stream_sequence, letter.error = sequence, clean_text(repr(error))
            await outbox.add(connection, self._service, [letter])
            self._metrics.dead_letter(stream)
            return []


async def reading_position(bus: Bus, stream: str, service: str, shards: int) -> tuple[int, int]:
    """Where a sharded stream ends, and how far the service has worked it off, as sequences of the stream.

    Both are the same when nothing waits. What comes meanwhile is not counted.

    Raises:
        nats.errors.Error, nats.js.errors.Error: NATS does not answer, or the stream or a consumer is not there.
    """
    end = (await bus.jetstream.stream_info(stream)).state.last_seq
    done = end
    for shard in range(shards):
        consumer = await bus.jetstream.consumer_info(stream, shard_durable(service, shard))
        if consumer.num_pending or consumer.num_ack_pending:
            done = min(done, consumer.ack_floor.stream_seq if consumer.ack_floor else 0)
    return end, done
