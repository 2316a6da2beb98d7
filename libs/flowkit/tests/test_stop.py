"""An owner that is stopped finishes what it has begun."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from flowgate.agent.v1 import events_pb2 as facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts, opamp
from flowkit.bus import Bus, Outgoing, shard_durable
from flowkit.db import Connection
from flowkit.outbox import Effect
from flowkit.owner import Routes, serve
from flowkit.settings import OwnerSettings
from flowkit.testing import connected_bus, make_report
from flowkit.uplink import Report
from opamp.v1 import opamp_pb2

SERVICE = "agent-registry"


async def test_the_batch_in_hand_is_finished(fresh_nats_url: str, fresh_database_url: Callable[[str], str]) -> None:
    """It is stored, told and acknowledged: no other replica waits for the deadline of an acknowledgement."""
    database = fresh_database_url("agent_registry")
    settings = OwnerSettings(FLOWGATE_NATS_URL=fresh_nats_url, FLOWGATE_DATABASE_URL=database, FLOWGATE_UPLINK_SHARDS=1)  # type: ignore[call-arg]
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(store: Connection, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
        begun.set()
        await may_end.wait()
        await store.execute("INSERT INTO available_components (hash, components) VALUES ('a', 'b')")
        return [facts.AgentHealthChanged(instance_uid=report.instance_uid) for report in reports]

    routes: Routes[Connection] = Routes(reports=slow, wanted_fields=opamp.field_bit("health"))
    entry = make_report(UUID(int=1), opamp_pb2.AgentToServer(health=opamp_pb2.ComponentHealth(healthy=True))).entry
    batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=[entry])

    def make(bus: Bus, connection: Connection) -> Connection:
        return connection

    async with connected_bus(fresh_nats_url) as bus:
        async with serve(SERVICE, settings, make, routes):
            await bus.publish(Outgoing(contracts.subject_of(batch), "1", batch.SerializeToString(), {}))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.3, may_end.set)
        consumer = await bus.jetstream.consumer_info(contracts.UPLINK, shard_durable(SERVICE, 0))
        assert (consumer.num_ack_pending, consumer.num_pending) == (0, 0)
        assert (await bus.jetstream.stream_info("AGENT_EVENTS")).state.messages == 1
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM available_components") == 1
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
    await connection.close()
