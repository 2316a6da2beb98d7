"""supervisor-control put together: message → handler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import operations_pb2 as operations_rpc
from flowgate.rpc.v1 import policies_pb2 as policies_rpc
from flowgate.rpc.v1 import supervisor_control_pb2 as rpc
from flowgate.rpc.v1 import telemetry_pb2 as telemetry_rpc
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.db import Connection
from flowkit.owner import Routes, serve
from flowkit.service import Running
from flowkit.standing import Standing
from flowkit.telemetry import get_log
from supervisor_control import metrics
from supervisor_control.domain.policies import FACET
from supervisor_control.handlers import operations, policies, supervisors, telemetry
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

log = get_log()


def routes(settings: Settings) -> Routes[Control]:
    """What supervisor-control listens to."""
    return Routes(
        reports=supervisors.agents_reported,
        wanted_fields=supervisors.HEALTH | supervisors.DESCRIPTION,
        wanted_kinds=frozenset({uplink_pb2.ENTRY_KIND_DELIVERED, uplink_pb2.ENTRY_KIND_DISCONNECTED}),
        wants=supervisors.concerns,
        rpc={
            rpc.GetSupervisorRequest: supervisors.get_supervisor,
            rpc.ListSupervisorsRequest: supervisors.list_supervisors,
            rpc.GetSupervisorSummaryRequest: supervisors.get_supervisor_summary,
            rpc.RequestRestartRequest: supervisors.request_restart,
            rpc.GetCommandRequest: supervisors.get_command,
            telemetry_rpc.ListLogsRequest: telemetry.list_logs,
            telemetry_rpc.GetMetricsRequest: telemetry.get_metrics,
            policies_rpc.ListPoliciesRequest: policies.list_policies,
            policies_rpc.PutPolicyRequest: policies.put_policy,
            policies_rpc.DeletePolicyRequest: policies.delete_policy,
            operations_rpc.CreateOperationRequest: operations.create_operation,
            operations_rpc.GetOperationRequest: operations.get_operation,
            operations_rpc.ListOperationTargetsRequest: operations.list_operation_targets,
            operations_rpc.ListOperationsRequest: operations.list_operations,
            operations_rpc.CancelOperationRequest: operations.cancel_operation,
        },
        events={
            agent_facts.AgentRegistered: supervisors.registered,
            agent_facts.AgentCapabilitiesChanged: supervisors.capabilities_changed,
            agent_facts.AgentReidentified: supervisors.reidentified,
            agent_facts.GatewayUpdated: supervisors.gateway_updated,
            agent_facts.GatewayRemoved: supervisors.gateway_removed,
            config_facts.DeliveryStateChanged: supervisors.delivery_state_changed,
        },
        periodic=[
            (settings.sweep_seconds, supervisors.expire_commands),
            (settings.partition_check_seconds, telemetry.keep_logs),
            (settings.partition_check_seconds, telemetry.keep_metrics),
            (settings.converge_seconds, policies.offer_what_is_due),
            (settings.sweep_seconds, operations.advance_operations),
            (600.0, operations.delete_old_operations),
        ],
        exports=telemetry.exported,
        standing=[Standing(contracts.AGENT_DESIRED, lambda key: key.endswith(f".{FACET}"), policies.standing)],
        counters=[metrics.COMMANDS],
        figures=metrics.figures,
    )


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[Running]:
    """Run supervisor-control while the block is open."""

    def on(bus: Bus, connection: Connection) -> Control:
        return Control.on(connection, settings)

    if not settings.telemetry_url:
        log.warning(
            "telemetry.not_offered",
            why="FLOWGATE_SUPERVISOR_CONTROL_TELEMETRY_URL is not set: agents are not asked for logs and metrics",
        )
    async with serve("supervisor-control", settings, on, routes(settings)) as running:
        yield running
