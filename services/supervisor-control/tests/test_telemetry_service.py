"""Own telemetry through the running service, with a real nats-server and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import UUID
from zlib import crc32

import asyncpg
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import SecretStr

from flowgate.rpc.v1 import telemetry_pb2 as rpc
from flowgate.uplink.v1 import dead_letters_pb2, telemetry_pb2
from flowkit import contracts
from flowkit.bus import Bus, shard_durable
from flowkit.errors import UnavailableError
from flowkit.rpc import RpcClient
from flowkit.testing import connected_bus, eventually
from supervisor_control.app import lifespan
from supervisor_control.settings import Settings

SHARDS = 2
AGENTS = [UUID(int=number) for number in range(1, 5)]


@pytest.fixture
async def bus(fresh_nats_url: str) -> AsyncIterator[Bus]:
    async with connected_bus(fresh_nats_url, SHARDS) as bus:
        yield bus


@pytest.fixture
def settings(fresh_nats_url: str, fresh_database_url: Callable[[str], str]) -> Settings:
    return Settings(
        nats_url=SecretStr(fresh_nats_url),
        database_url=SecretStr(fresh_database_url("supervisor_control")),
        uplink_shards=SHARDS,
    )


def entry(uid: UUID, *bodies: str) -> telemetry_pb2.TelemetryEntry:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add(severity_number=9).body.string_value = body
    return telemetry_pb2.TelemetryEntry(
        instance_uid=uid.bytes,
        signal=telemetry_pb2.SIGNAL_LOGS,
        received_at_unix_nano=int(datetime.now(UTC).timestamp() * 1e9),
        export_request=request.SerializeToString(),
    )


async def publish(bus: Bus, *entries: telemetry_pb2.TelemetryEntry) -> None:
    for shard in range(SHARDS):
        of_shard = [one for one in entries if crc32(one.instance_uid) % SHARDS == shard]
        if of_shard:
            batch = telemetry_pb2.TelemetryBatch(shard=shard, gateway="gateway-1", entries=of_shard)
            await bus.jetstream.publish(contracts.subject_of(batch), batch.SerializeToString())


async def left(bus: Bus) -> int:
    infos = [
        await bus.jetstream.consumer_info(contracts.TELEMETRY, shard_durable("supervisor-control", shard))
        for shard in range(SHARDS)
    ]
    return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in infos)


async def bodies(bus: Bus, uid: UUID) -> list[str]:
    async def ask() -> rpc.ListLogsResponse:
        try:
            return await RpcClient(bus).call(
                rpc.ListLogsRequest(instance_id=str(uid), limit=1000), rpc.ListLogsResponse
            )
        except UnavailableError as error:  # its subscription may not have reached the server yet
            raise AssertionError("not ready") from error

    answer = await eventually(ask, until=lambda _: True)
    return sorted(one.body for one in answer.records)


async def test_every_record_is_stored_once_though_batches_come_again(bus: Bus, settings: Settings) -> None:
    """The service is stopped again and again in the middle of its work; what was not acknowledged comes again."""
    expected = {uid: sorted(f"{uid.int}-{n}-{k}" for n in range(40) for k in range(20)) for uid in AGENTS}
    for number in range(40):
        await publish(bus, *(entry(uid, *(f"{uid.int}-{number}-{k}" for k in range(20))) for uid in AGENTS))
    for _ in range(4):
        async with lifespan(settings):
            await asyncio.sleep(0.15)
    async with lifespan(settings):
        await eventually(lambda: left(bus), seconds=40, until=lambda count: count == 0)
        assert {uid: await bodies(bus, uid) for uid in AGENTS} == expected


async def test_a_batch_that_was_committed_but_not_acknowledged_has_no_second_effect(
    bus: Bus, settings: Settings
) -> None:
    """As after a kill between the two: the offset tells that its records are there."""
    uid = AGENTS[0]
    await publish(bus, entry(uid, "committed by the one that was killed"))
    await publish(bus, entry(uid, "next"))
    created = (await bus.jetstream.stream_info(contracts.TELEMETRY)).created
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    await connection.execute(
        "INSERT INTO stream_offsets VALUES ('TELEMETRY', $1, $2, 1)", crc32(uid.bytes) % SHARDS, created
    )
    await connection.close()
    async with lifespan(settings):
        await eventually(lambda: left(bus), until=lambda count: count == 0)
        assert await bodies(bus, uid) == ["next"]


async def test_an_entry_that_cannot_be_read_blocks_nothing(bus: Bus, settings: Settings) -> None:
    """It goes to the dead letters, as a batch that could be published again; its neighbours are stored."""
    uid = AGENTS[0]
    broken = telemetry_pb2.TelemetryEntry(
        instance_uid=uid.bytes, signal=telemetry_pb2.SIGNAL_LOGS, export_request=b"\xff"
    )
    traces = telemetry_pb2.TelemetryEntry(
        instance_uid=uid.bytes, signal=telemetry_pb2.SIGNAL_TRACES, export_request=b"\xff"
    )
    await publish(bus, entry(uid, "before"), broken, traces, entry(uid, "after"))
    async with lifespan(settings):
        await eventually(lambda: bodies(bus, uid), until=lambda found: found == ["after", "before"])
        await eventually(lambda: left(bus), until=lambda count: count == 0)

        async def letter() -> dead_letters_pb2.DeadLetter:
            message = await bus.jetstream.get_msg("DEAD_LETTERS", 1)
            return dead_letters_pb2.DeadLetter.FromString(message.data or b"")

        found = await letter()
    assert (found.service, found.stream) == ("supervisor-control", contracts.TELEMETRY)
    assert telemetry_pb2.TelemetryBatch.FromString(found.event).entries[0] == broken
