"""supervisor-control put together: message → handler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import supervisor_control_pb2 as rpc
from flowgate.uplink.v1 import uplink_pb2
from flowkit.bus import Bus
from flowkit.db import Connection
from flowkit.owner import Routes, serve
from flowkit.service import Ready
from supervisor_control import handlers
from supervisor_control.handlers import Control
from supervisor_control.settings import Settings
from supervisor_control.store import SupervisorStore


def routes(settings: Settings) -> Routes[Control]:
    """What supervisor-control listens to."""
    return Routes(
        reports=handlers.agents_reported,
        wanted_fields=handlers.HEALTH | handlers.DESCRIPTION,
        wanted_kinds=frozenset({uplink_pb2.ENTRY_KIND_DELIVERED, uplink_pb2.ENTRY_KIND_DISCONNECTED}),
        wants=handlers.concerns,
        rpc={
            rpc.GetSupervisorRequest: handlers.get_supervisor,
            rpc.ListSupervisorsRequest: handlers.list_supervisors,
            rpc.RequestRestartRequest: handlers.request_restart,
            rpc.GetCommandRequest: handlers.get_command,
            rpc.ListLogRecordsRequest: handlers.list_log_records,
        },
        events={
            agent_facts.AgentRegistered: handlers.registered,
            agent_facts.AgentCapabilitiesChanged: handlers.capabilities_changed,
            agent_facts.AgentReidentified: handlers.reidentified,
            agent_facts.GatewayRemoved: handlers.gateway_removed,
            config_facts.DeliveryStateChanged: handlers.delivery_state_changed,
        },
        periodic=[(settings.sweep_seconds, handlers.expire_commands), (600.0, handlers.delete_old_records)],
    )


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[Ready]:
    """Run supervisor-control while the block is open."""

    def on(bus: Bus, connection: Connection) -> Control:
        return Control(SupervisorStore(connection), settings)

    async with serve("supervisor-control", settings, on, routes(settings)) as ready:
        yield ready
