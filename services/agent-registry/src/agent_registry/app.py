"""agent-registry put together: message → handler."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import nats.errors
import nats.js.errors

from agent_registry import answers, domain, enrollment_handlers, handlers, metrics
from agent_registry.presence import Heard, Missing, Presence
from agent_registry.registry import Registry
from agent_registry.settings import Settings
from agent_registry.store import GatewayStore
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowgate.rpc.v1 import enrollment_pb2
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts, outbox
from flowkit.bus import Bus
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.owner import Routes, serve
from flowkit.service import Running
from flowkit.shards import reading_position
from flowkit.standing import Standing
from flowkit.telemetry import get_log

log = get_log()


def routes(settings: Settings) -> Routes[Registry]:
    """What agent-registry listens to."""
    return Routes(
        reports=handlers.agents_reported,
        wanted_fields=domain.DESCRIPTION | domain.HEALTH | domain.COMPONENTS,
        wanted_kinds=frozenset({uplink_pb2.ENTRY_KIND_DISCONNECTED, uplink_pb2.ENTRY_KIND_DELIVERED}),
        wants_connections=True,
        rpc={
            rpc.ListGatewaysRequest: handlers.list_gateways,
            rpc.GetGatewayRequest: handlers.get_gateway,
            rpc.UpdateGatewayRequest: handlers.update_gateway,
            rpc.DeleteGatewayRequest: handlers.delete_gateway,
            rpc.GetFleetSummaryRequest: handlers.get_fleet_summary,
            rpc.ListComponentsRequest: handlers.list_components,
            rpc.ListLabelsRequest: handlers.list_labels,
            enrollment_pb2.CreateEnrollmentTokenRequest: enrollment_handlers.create_token,
            enrollment_pb2.ListEnrollmentTokensRequest: enrollment_handlers.list_tokens,
            enrollment_pb2.RevokeEnrollmentTokenRequest: enrollment_handlers.revoke_token,
        },
        events={
            supervisor_facts.SupervisorStatusChanged: handlers.supervisor_status_changed,
            config_facts.DeliveryStateChanged: handlers.delivery_state_changed,
        },
        periodic=[
            (settings.sweep_seconds, handlers.sweep),
            (settings.sweep_seconds, enrollment_handlers.sweep_enrollment),
            (60.0, handlers.archive),
            (3600.0, handlers.delete_old),
        ],
        standing=[
            Standing(contracts.AGENT_CREDENTIALS, lambda key: True, enrollment_handlers.standing),
            Standing(contracts.AGENT_DESIRED, lambda key: key.endswith(".state"), handlers.standing),
        ],
        figures=metrics.figures,
    )


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[Running]:
    """Run agent-registry while the block is open."""
    presence = Presence(datetime.now(UTC))

    async def follow_presence(bus: Bus, database: Database) -> None:
        await presence.follow(bus)
        missing = Missing()
        while True:
            await asyncio.sleep(settings.sweep_seconds)
            await presence.check(datetime.now(UTC))
            heard = presence.take_fresh()
            try:
                unknown = await write_presence(database, heard, settings.stale_after_seconds / 4)
                position = (0, 0)
                if unknown:
                    position = await reading_position(bus, contracts.UPLINK, "agent-registry", settings.uplink_shards)
                lost = missing.lost({UUID(bytes=one.uid) for one in heard}, unknown, *position)
                if lost:
                    async with database.transaction() as connection:
                        await outbox.add(connection, "agent-registry", [domain.full_state_of(uid) for uid in lost])
            except (UnavailableError, nats.errors.Error, nats.js.errors.Error, TimeoutError, *TRANSIENT) as error:
                log.warning("presence.write_failed", error=repr(error))

    def on(bus: Bus, connection: Connection) -> Registry:
        return Registry.on(connection, presence, settings)

    async with serve("agent-registry", settings, on, routes(settings), follow_presence) as running:
        yield running


async def write_presence(database: Database, heard: Sequence[Heard], coarse_seconds: float) -> set[UUID]:
    """Write who was heard of, seldom enough that an idle heartbeat costs no write of its own.

    Agents that counted as gone only because nothing was heard of them are there again. Returns those that are unknown
    here.
    """
    if not heard:
        return set()
    async with database.transaction() as connection:
        store = GatewayStore(connection)
        back = await store.reconnect_heard(heard)
        await store.record_seen(heard, coarse_seconds)
        await outbox.add(connection, "agent-registry", [answers.back_again(row, datetime.now(UTC)) for row in back])
        return set(await store.unknown([UUID(bytes=one.uid) for one in heard]))
