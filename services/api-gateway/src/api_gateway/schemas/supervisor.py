"""Supervisors: their state, what is known of them as log records, and what the UI needs of each in one answer."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from api_gateway.schemas.agent import AgentHealthResponse, ComponentHealthTree, agent_health_json
from api_gateway.schemas.command import CommandResponse, command_json
from api_gateway.schemas.config import AgentConfigResponse, DeliveryResponse, config_json, delivery_json
from api_gateway.schemas.description import (
    AgentDescriptionResponse,
    AgentVersionResponse,
    description_json,
    version_json,
)
from api_gateway.schemas.gateway import (
    GATEWAY_EXAMPLE,
    GatewayResponse,
    HealthSummary,
    Status,
    gateway_json,
    health_json,
    mode_of,
    status_of,
)
from api_gateway.schemas.status import (
    CapabilityBody,
    CollectorProcess,
    ConnectionBody,
    OwnTelemetryBody,
    RemoteConfigBody,
    SupervisorProcess,
    capabilities_json,
    collector_process_json,
    connection_json,
    own_telemetry_json,
    remote_config_json,
    supervisor_process_json,
)
from api_gateway.schemas.telemetry import LogRecordBody, record_json
from api_gateway.schemas.values import ApiModel, exact_number, stamp
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.opamp import capability_name
from opamp.v1 import opamp_pb2 as opamp


class SupervisorState(ApiModel):
    """State of a supervisor and the collector under it."""

    collector_state: str | None
    """State of the collector: starting, running, unhealthy, stopping, stopped or crashed."""
    collector_started_at: str | None
    """When the collector started; null while it does not run."""
    collector_starts: int | str
    """Starts of the collector seen since the supervisor is known."""
    last_error: str | None
    """Last error, in the supervisor's words."""
    last_error_at: str | None
    """When it was reported."""
    is_crash_looping: bool
    """Whether the collector crashes again and again."""
    command: CommandResponse | None
    """The latest command."""
    updated_at: str | None
    """When the state was reported."""


class SupervisorStatusResponse(SupervisorState):
    """State of a supervisor-managed agent."""

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    status: Status
    """Whether it is there: online, stale or offline."""
    health: HealthSummary
    """How the agent does, as the registry knows it."""
    last_seen_at: str | None
    """When it was last heard of."""
    connection: ConnectionBody
    """Its connection."""
    supervisor: SupervisorProcess
    """The supervisor itself."""
    collector: CollectorProcess
    """The collector under it."""
    components: dict[str, ComponentHealthTree]
    """How the collector's parts do, by name."""
    remote_config: RemoteConfigBody | None
    """How far its configuration is; null when `partial` names config-push."""
    capabilities: list[CapabilityBody]
    """What OpAMP agents can do, and whether this one can."""
    own_telemetry: OwnTelemetryBody | None
    """Its own telemetry and heartbeat; null when it takes no connection settings."""
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


class ActionState(ApiModel):
    """Whether something can be done with an agent, and if not, why."""

    available: bool
    """Whether it can be ordered."""
    capability: str
    """The capability that it needs."""
    reason: str | None
    """Why it cannot be ordered, and what to do about it."""


class Actions(ApiModel):
    """What can be done with an agent."""

    push_config: ActionState
    """Give it a configuration."""
    restart: ActionState
    """Restart its collector."""


class UiAgent(GatewayResponse):
    """A supervisor-managed agent as the UI's list shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **GATEWAY_EXAMPLE,
                    "supervisor": {
                        "collector_state": "running",
                        "collector_started_at": "2026-11-02T08:15:29.000Z",
                        "collector_starts": 2,
                        "last_error": None,
                        "last_error_at": None,
                        "is_crash_looping": False,
                        "command": None,
                        "updated_at": "2026-11-02T08:15:30.125Z",
                    },
                    "delivery": None,
                    "actions": {
                        "push_config": {"available": True, "capability": "AcceptsRemoteConfig", "reason": None},
                        "restart": {"available": True, "capability": "AcceptsRestartCommand", "reason": None},
                    },
                }
            ]
        }
    )

    supervisor: SupervisorState | None
    """State of its supervisor; null when unknown."""
    delivery: DeliveryResponse | None
    """The latest delivery of a configuration; null when there was none."""
    actions: Actions
    """What can be done with it."""


class UiAgentListResponse(ApiModel):
    """A page of supervisor-managed agents."""

    items: list[UiAgent]
    """The agents."""
    next_cursor: str | None
    """`cursor` of the next page; null on the last one."""
    total: int
    """How many match, over all pages."""
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


class UiAgentResponse(ApiModel):
    """Everything known of a supervisor-managed agent."""

    gateway: GatewayResponse
    """The gateway."""
    supervisor: SupervisorState | None
    """State of its supervisor; null when unknown."""
    health: AgentHealthResponse
    """How it does."""
    version: AgentVersionResponse
    """What it is."""
    description: AgentDescriptionResponse
    """How it describes itself."""
    config: AgentConfigResponse | None
    """What it runs with and should run with; null when `partial` names config-push."""
    logs: list[LogRecordBody]
    """The latest of what happened to it, newest first."""
    actions: Actions
    """What can be done with it."""
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


class SupervisorAgentListResponse(ApiModel):
    """A page of supervisor-managed agents."""

    items: list[GatewayResponse]
    """The agents."""
    next_cursor: str | None
    """`cursor` of the next page; null on the last one."""
    total: int
    """How many match, over all pages."""


def supervisor_json(supervisor: supervisors.Supervisor) -> dict[str, Any]:
    """A SupervisorState."""
    return {
        "collector_state": supervisor.collector_state or None,
        "collector_started_at": stamp(supervisor, "collector_started_at"),
        "collector_starts": exact_number(supervisor.collector_starts),
        "last_error": supervisor.last_error or None,
        "last_error_at": stamp(supervisor, "last_error_at"),
        "is_crash_looping": supervisor.is_crash_looping,
        "command": command_json(supervisor.command) if supervisor.HasField("command") else None,
        "updated_at": stamp(supervisor, "updated_at"),
    }


def supervisor_status_json(
    detail: registry.GatewayDetail,
    supervisor: supervisors.Supervisor,
    known: configs.GetAgentConfigResponse | None,
    partial: list[str],
    now: datetime,
) -> dict[str, Any]:
    """A SupervisorStatusResponse; `partial` names the owners that did not answer."""
    gateway = detail.gateway
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "status": status_of(gateway),
        "health": health_json(gateway),
        "last_seen_at": stamp(gateway, "last_seen_at"),
        **supervisor_json(supervisor),
        "connection": connection_json(detail),
        "supervisor": supervisor_process_json(detail, supervisor, now),
        "collector": collector_process_json(detail, supervisor, now),
        "components": agent_health_json(detail, now)["components"],
        "remote_config": None if partial else remote_config_json(gateway, known),
        "capabilities": capabilities_json(gateway.capabilities),
        "own_telemetry": own_telemetry_json(supervisor),
        "partial": partial,
    }


def _action(gateway: registry.Gateway, bit: int, setting: str) -> dict[str, Any]:
    capability, reason = capability_name(bit), None
    if not gateway.capabilities & bit and mode_of(gateway) == "extension":
        reason = (
            "The collector's own opampextension reports and takes no orders. Run the collector under opampsupervisor "
            "to manage it."
        )
    elif not gateway.capabilities & bit:
        reason = (
            f"The agent lacks the capability {capability}. Set capabilities.{setting}: true in the supervisor's "
            "configuration and restart the supervisor."
        )
    return {"available": reason is None, "capability": capability, "reason": reason}


def actions_json(gateway: registry.Gateway) -> dict[str, Any]:
    """Actions. What is ordered for an agent that is offline waits for it, a restart until it expires."""
    bits = opamp.AgentCapabilities
    return {
        "push_config": _action(gateway, bits.AgentCapabilities_AcceptsRemoteConfig, "accepts_remote_config"),
        "restart": _action(gateway, bits.AgentCapabilities_AcceptsRestartCommand, "accepts_restart_command"),
    }


def ui_agent_json(
    gateway: registry.Gateway, supervisor: supervisors.Supervisor | None, delivery: configs.Delivery | None
) -> dict[str, Any]:
    """A UiAgent."""
    return {
        **gateway_json(gateway),
        "supervisor": supervisor and supervisor_json(supervisor),
        "delivery": delivery and delivery_json(delivery),
        "actions": actions_json(gateway),
    }


def ui_detail_json(
    detail: registry.GatewayDetail,
    supervisor: supervisors.GetSupervisorResponse | None,
    known: configs.GetAgentConfigResponse | None,
    records: telemetry.ListLogsResponse | None,
    partial: list[str],
    now: datetime,
) -> dict[str, Any]:
    """A UiAgentResponse; `partial` names the owners that did not answer."""
    gateway = detail.gateway
    return {
        "gateway": gateway_json(gateway),
        "supervisor": supervisor and supervisor_json(supervisor.supervisor),
        "health": agent_health_json(detail, now),
        "version": version_json(detail),
        "description": description_json(detail),
        "config": None if "config-push" in partial else config_json(gateway, known),
        "logs": [record_json(record) for record in records.records] if records else [],
        "actions": actions_json(gateway),
        "partial": partial,
    }
