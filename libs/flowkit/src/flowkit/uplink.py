"""Reading the uplink: what agents said, batch by batch, in order, each with exactly one effect.

One durable consumer a shard with `max_ack_pending=1` gives strict order over any number of replicas. The handler's
statements, its effects and the offset go into one transaction; the batch is acknowledged after it. A batch that fails
is handled again entry by entry, and an entry that still fails goes to DEAD_LETTERS and never blocks its shard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

import asyncpg
import nats.errors
import nats.js.errors
from asyncpg.pgproto.pgproto import UUID as FastUUID  # a UUID in C, ten times faster to make
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from flowgate.uplink.v1 import dead_letters_pb2, uplink_pb2
from flowkit import contracts, offsets, outbox
from flowkit.bus import ACK_WAIT, Bus, sequence_of, shard_durable
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import NotFoundError, UnavailableError
from flowkit.opamp import EPOCH, time_of
from flowkit.telemetry import get_log
from opamp.v1 import opamp_pb2

log = get_log()

Store = TypeVar("Store")

FETCH_SECONDS = 5.0  # a pull request waits that long at the server; one that a restarted server forgot is lost


class Report:
    """One entry of the uplink.

    Attributes:
        entry: the entry as the ingress wrote it.
        gateway: the ingress replica.
        uid: the agent.
    """

    __slots__ = ("_message", "_received_at", "entry", "gateway", "uid")

    def __init__(self, entry: uplink_pb2.UplinkEntry, gateway: str) -> None:
        self.entry = entry
        self.gateway = gateway
        self.uid: UUID = FastUUID(entry.instance_uid)
        self._received_at: datetime | None = None
        self._message: opamp_pb2.AgentToServer | None = None

    @property
    def received_at(self) -> datetime:
        """When the ingress got it."""
        if self._received_at is None:
            self._received_at = time_of(self.entry.received_at_unix_nano) or EPOCH
        return self._received_at

    @property
    def connected_at(self) -> datetime:
        """When the connection began that it came on."""
        return time_of(self.entry.connected_at_unix_nano) or EPOCH

    def has(self, fields: int) -> bool:
        """Whether one of these fields of AgentToServer is set (bits of `opamp.field_bit`)."""
        return bool(self.entry.fields & fields)

    @property
    def instance_uid(self) -> str:
        """The agent, canonical UUID text."""
        return str(self.uid)

    @property
    def connection_id(self) -> UUID:
        """The connection that it came on."""
        return FastUUID(self.entry.connection_id)

    @property
    def message(self) -> opamp_pb2.AgentToServer:
        """What the agent said; parsed when first asked for. Empty for entries that are no message of the agent.

        Raises:
            google.protobuf.message.DecodeError: the bytes are damaged.
        """
        if self._message is None:
            self._message = opamp_pb2.AgentToServer.FromString(self.entry.agent_to_server)
        return self._message


ReportsHandler = Callable[[Store, Sequence[Report], datetime], Awaitable[Sequence[outbox.Effect]]]
"""(store, reports in order, now) → effects."""


class UplinkConsumer(Generic[Store]):
    """Gives the uplink's reports to a handler.

    Args:
        service: name of the service, which is the name of its consumers.
        wanted_fields: fields of AgentToServer that it cares for; reports with none of them are not handed over.
        wanted_kinds: kinds of entries other than reports that it cares for.
        wants_connections: it also cares for reports without any of the fields, since they tell of a connection.
        wants: has a closer look at a report that the masks let through.
        store: makes the service's store on a connection.
        relay: woken after each commit.
    """

    def __init__(
        self,
        bus: Bus,
        database: Database,
        relay: outbox.Relay,
        service: str,
        store: Callable[[Connection], Store],
        handler: ReportsHandler[Store],
        *,
        wanted_fields: int,
        wanted_kinds: frozenset[uplink_pb2.EntryKind] = frozenset(),
        wants_connections: bool = False,
        wants: Callable[[Report], bool] | None = None,
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._store = store
        self._handler = handler
        self._wanted_fields = wanted_fields
        self._wanted_kinds = wanted_kinds
        self._wants_all_reports = wants_connections
        self._wants_report = wants
        self.handled = 0  # entries, since the start
        self.dead = 0  # entries given up

    async def run(self, shards: int) -> None:
        """Read all shards until cancelled."""
        async with asyncio.TaskGroup() as group:
            for shard in range(shards):
                group.create_task(self._read(shard))

    async def _read(self, shard: int) -> None:
        durable = shard_durable(self._service, shard)
        subscription: JetStreamContext.PullSubscription | None = None
        created_at = 0.0
        try:
            while True:
                try:
                    if subscription is None:
                        created_at = await stream_created_at(self._bus, contracts.UPLINK)
                        subscription = await self._bus.jetstream.pull_subscribe_bind(durable, contracts.UPLINK)
                    messages = await subscription.fetch(1, timeout=FETCH_SECONDS)
                except TimeoutError:
                    continue
                except (nats.errors.Error, nats.js.errors.Error) as error:
                    log.warning("uplink.read_retry", shard=shard, error=repr(error))
                    await unsubscribe(subscription)
                    subscription = None
                    await asyncio.sleep(0.5)
                    continue
                for message in messages:
                    await self._handle(shard, created_at, message)
        finally:
            await unsubscribe(subscription)

    async def _handle(self, shard: int, created_at: float, message: Msg) -> None:
        """Handle one batch and acknowledge it, or leave it to be delivered again when a server is away."""
        sequence, _ = sequence_of(message)
        try:
            reports = await self._reports(message.data)
            if reports:
                await self._commit(shard, created_at, sequence, reports)
                self._relay.wake()
            await message.ack()
            self.handled += len(reports)
        except (UnavailableError, nats.errors.Error, *TRANSIENT) as error:
            log.warning("uplink.batch_retry", shard=shard, sequence=sequence, error=repr(error))
            await asyncio.sleep(0.5)
            try:
                await message.nak(delay=0.1)
            except nats.errors.Error:
                log.warning("uplink.nak_failed", shard=shard, sequence=sequence, redelivered_after_seconds=ACK_WAIT)

    async def _reports(self, payload: bytes) -> list[Report]:
        try:
            batch = uplink_pb2.UplinkBatch.FromString(payload)
        except DecodeError:
            log.error("uplink.batch_damaged", bytes=len(payload))
            return []
        reports = [Report(entry, batch.gateway) for entry in batch.entries if self._wants(entry)]
        for report in reports:
            if report.entry.body_object:
                try:
                    body = await self._bus.get_body(contracts.UPLINK_BODIES, report.entry.body_object)
                except NotFoundError as error:
                    log.error("uplink.body_lost", instance_uid=report.instance_uid, error=str(error))
                    continue
                report.entry.agent_to_server = body
        return [one for one in reports if self._wants_report(one)] if self._wants_report is not None else reports

    def _wants(self, entry: uplink_pb2.UplinkEntry) -> bool:
        if entry.kind == uplink_pb2.ENTRY_KIND_REPORT:
            return self._wants_all_reports or bool(entry.fields & self._wanted_fields)
        return entry.kind in self._wanted_kinds

    async def _commit(self, shard: int, created_at: float, sequence: int, reports: Sequence[Report]) -> None:
        now = datetime.now(UTC)
        try:
            async with self._database.transaction() as connection:
                if not await offsets.advance(connection, contracts.UPLINK, shard, created_at, sequence):
                    return
                effects = await self._handler(self._store(connection), reports, now)
                await outbox.add(connection, self._service, effects)
            return
        except TRANSIENT:
            raise
        except (
            asyncpg.PostgresError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            DecodeError,
        ) as error:
            log.error("uplink.batch_failed", shard=shard, sequence=sequence, error=repr(error), exc_info=True)
        async with self._database.transaction() as connection:
            if not await offsets.advance(connection, contracts.UPLINK, shard, created_at, sequence):
                return
            for report in reports:
                await self._commit_alone(connection, sequence, report, now)

    async def _commit_alone(self, connection: Connection, sequence: int, report: Report, now: datetime) -> None:
        try:
            async with connection.transaction():
                effects = await self._handler(self._store(connection), [report], now)
                await outbox.add(connection, self._service, effects)
        except TRANSIENT:
            raise
        except (
            asyncpg.PostgresError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            DecodeError,
        ) as error:
            self.dead += 1
            log.error("uplink.dead_letter", instance_uid=report.instance_uid, sequence=sequence, error=repr(error))
            letter = dead_letters_pb2.DeadLetter(
                service=self._service,
                stream=contracts.UPLINK,
                stream_sequence=sequence,
                error=repr(error),
                entry=report.entry,
            )
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
            log.debug("uplink.unsubscribe_failed")
