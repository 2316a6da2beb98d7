"""config-push put together: message → handler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config_push import collector_handlers, handlers, metrics
from config_push.handlers import ConfigPush
from config_push.settings import Settings
from config_push.store import ConfigStore
from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.rpc.v1 import config_push_pb2 as rpc
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.db import Connection
from flowkit.owner import Routes, serve
from flowkit.service import Running
from flowkit.standing import Standing


class ObjectStoreBodies:
    """Offers in the object store `bodies`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, name: str, body: bytes) -> None:
        """Store an offer under its name; again is harmless."""
        await self._bus.put_body(contracts.BODIES, name, body)


ROUTES: Routes[ConfigPush] = Routes(
    reports=handlers.agents_reported,
    wanted_fields=handlers.STATUS | handlers.EFFECTIVE | handlers.DESCRIPTION,
    wanted_kinds=frozenset({uplink_pb2.ENTRY_KIND_DELIVERED}),
    rpc={
        rpc.AssignConfigRequest: handlers.assign_config,
        rpc.KeepConfigRequest: handlers.keep_config,
        rpc.GetAgentConfigRequest: handlers.get_agent_config,
        rpc.ListDeliveriesRequest: handlers.list_deliveries,
        rpc.GetDeliveryRequest: handlers.get_delivery,
    },
    events={
        agent_facts.AgentRegistered: handlers.registered,
        agent_facts.AgentCapabilitiesChanged: handlers.capabilities_changed,
        agent_facts.AgentReidentified: handlers.reidentified,
        agent_facts.GatewayRemoved: handlers.gateway_removed,
        supervisor_facts.SupervisorStatusChanged: collector_handlers.collector_changed,
        supervisor_facts.ConfigPushOrdered: handlers.push_ordered,
        supervisor_facts.ConfigPushWithdrawn: handlers.push_withdrawn,
    },
    periodic=[(5.0, handlers.give_up_unanswered), (3600.0, handlers.delete_old)],
    standing=[Standing(contracts.AGENT_DESIRED, lambda key: key.endswith(".config"), handlers.standing)],
    counters=[metrics.DELIVERIES],
    figures=metrics.figures,
)


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[Running]:
    """Run config-push while the block is open."""

    def on(bus: Bus, connection: Connection) -> ConfigPush:
        return ConfigPush(ConfigStore(connection), ObjectStoreBodies(bus), settings)

    async with serve("config-push", settings, on, ROUTES) as running:
        yield running
