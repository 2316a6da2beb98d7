"""agent-registry put together: message → handler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import nats.errors
import nats.js.errors

from agent_registry import domain, enrollment, enrollment_handlers, handlers
from agent_registry.enrollment_store import EnrollmentStore
from agent_registry.presence import Presence
from agent_registry.registry import Registry
from agent_registry.settings import Settings
from agent_registry.store import GatewayStore
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowgate.rpc.v1 import enrollment_pb2
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts, outbox
from flowkit.bus import Bus
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.outbox import Effect, KvPut
from flowkit.owner import Routes, serve
from flowkit.service import Ready
from flowkit.telemetry import get_log

log = get_log()


def routes(settings: Settings) -> Routes[Registry]:
    """What agent-registry listens to."""
    return Routes(
        reports=handlers.agents_reported,
        wanted_fields=domain.DESCRIPTION | domain.HEALTH | domain.COMPONENTS,
        wanted_kinds=frozenset({uplink_pb2.ENTRY_KIND_DISCONNECTED}),
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
        events={supervisor_facts.SupervisorStatusChanged: handlers.supervisor_status_changed},
        periodic=[
            (settings.sweep_seconds, handlers.sweep),
            (settings.sweep_seconds, enrollment_handlers.sweep_enrollment),
            (60.0, handlers.archive),
        ],
    )


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[Ready]:
    """Run agent-registry while the block is open."""
    presence = Presence(datetime.now(UTC))

    async def follow_presence(bus: Bus, database: Database) -> None:
        await presence.follow(bus)
        missing: set[UUID] = set()
        has_mirrored = False
        while True:
            has_mirrored = has_mirrored or await mirror_credentials(bus, database)
            await asyncio.sleep(settings.sweep_seconds)
            missing = await write_presence(database, presence, settings.stale_after_seconds / 4, missing)

    def on(bus: Bus, connection: Connection) -> Registry:
        return Registry.on(connection, presence, settings)

    async with serve("agent-registry", settings, on, routes(settings), follow_presence) as ready:
        yield ready


async def mirror_credentials(bus: Bus, database: Database) -> bool:
    """Put right what of the live tokens is missing in the bucket or there too much: NATS or the database may be older
    than the other, after a loss or from a backup. False when it has to be tried again."""
    try:
        keys = await _keys(bus)
        async with database.transaction() as connection:
            live = {str(one.token_id): one for one in await EnrollmentStore(connection).live()}
            effects: list[Effect] = [
                enrollment.credential(one) for token_id, one in live.items() if token_id not in keys
            ]
            effects += [KvPut(contracts.AGENT_CREDENTIALS, key, None) for key in keys if key not in live]
            await outbox.add(connection, "agent-registry", effects)
    except (UnavailableError, nats.errors.Error, nats.js.errors.Error, *TRANSIENT) as error:
        log.warning("credentials.mirror_retry", error=repr(error))
        return False
    if effects:
        log.info("credentials.mirrored", changes=len(effects))
    return True


async def _keys(bus: Bus) -> list[str]:
    bucket = await bus.kv(contracts.AGENT_CREDENTIALS)
    try:
        return await bucket.keys() if (await bucket.status()).values else []
    except nats.js.errors.NoKeysError:  # all of them were removed
        return []


async def write_presence(
    database: Database, presence: Presence, coarse_seconds: float, missing: set[UUID]
) -> set[UUID]:
    """Write who was heard of, seldom enough that an idle heartbeat costs no write of its own.

    Agents that are connected and unknown here, this time and the time before (`missing`), are asked for everything:
    this store has lost them. Returns who is unknown now.
    """
    uids, seen = presence.take_fresh()
    if not uids:
        return missing
    try:
        async with database.transaction() as connection:
            store = GatewayStore(connection)
            await store.record_seen(uids, seen, coarse_seconds)
            unknown = set(await store.unknown([UUID(bytes=uid) for uid in uids]))
            asked = [domain.full_state_of(uid) for uid in unknown & missing]
            await outbox.add(connection, "agent-registry", asked)
    except (UnavailableError, *TRANSIENT) as error:
        log.warning("presence.write_failed", error=repr(error))
        return missing
    return (missing - {UUID(bytes=uid) for uid in uids}) | unknown
