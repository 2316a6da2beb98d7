"""Parts of a supervisor's status: connection, the two processes, what capabilities allow, own telemetry."""

from datetime import datetime
from typing import Any, Literal

from api_gateway.schemas.config import DeliveryResponse, ReportedConfigStatus, config_json
from api_gateway.schemas.gateway import status_of
from api_gateway.schemas.values import ApiModel, exact_number, stamp
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowkit.opamp import capability_name, moment

DISCONNECT_REASONS = {
    "agent": "the agent said goodbye: it was stopped or goes elsewhere",
    "closed": "the connection was lost without a goodbye: the agent was killed, its host is down or the network failed",
    "timeout": "nothing was heard of the agent for too long",
    "drain": "the ingress shut down and the agent has not come back to another one",
    "silence": "neither the agent nor its ingress was heard of for too long",
}

# Bit → what it allows FlowGate to do.
CAPABILITIES = {
    0x1: "It reports its status; every agent has to.",
    0x2: "It takes configurations: push_config.",
    0x4: "It reports the configuration that it runs with.",
    0x8: "It takes packages; FlowGate offers none so far.",
    0x10: "It reports on packages.",
    0x20: "It sends its own traces when a policy wants them.",
    0x40: "It sends its own metrics when a policy wants them: charts and metrics.",
    0x80: "It sends its own logs when a policy wants them: logs of the collector.",
    0x100: "It takes another OpAMP server, headers or certificate; FlowGate offers none, only the heartbeat interval.",
    0x200: "It takes connection settings of other kinds; FlowGate offers none.",
    0x400: "It restarts its collector on command: restart.",
    0x800: "It reports health, with its parts.",
    0x1000: "It reports what became of a configuration that was pushed.",
    0x2000: "It sends heartbeats, and takes their interval from a policy.",
    0x4000: "It reports the components that it was built with.",
    0x8000: "It reports what became of connection settings.",
}


class ConnectionBody(ApiModel):
    """An agent's connection, or its last one."""

    is_connected: bool
    """Whether it is there."""
    since: str | None
    """When the connection began."""
    ingress: str | None
    """Ingress replica."""
    transport: str | None
    """websocket or http."""
    remote_address: str | None
    """Address of the agent's end."""
    disconnected_at: str | None
    """When it ended; null while it is there."""
    disconnect_reason: Literal["agent", "closed", "timeout", "drain", "silence"] | None
    """Why it ended; null while it is there."""
    disconnect_reason_text: str | None
    """The same in words."""


class SupervisorProcess(ApiModel):
    """The supervisor itself."""

    is_running: bool
    """Whether it runs, as far as its connection tells."""
    started_at: str | None
    """When it started, as seen by its first message; null when that was not seen."""
    uptime_seconds: int | None
    """How long it has been running; null while it is offline or when its start was not seen."""
    starts: int | str
    """Starts seen since the supervisor is known."""
    last_error: str | None
    """Last error in its own log within a day, if its log comes here."""
    last_error_at: str | None
    """When it was logged."""
    logs_path: str | None
    """Where its logs lie on the host, if it said so."""


class CollectorProcess(ApiModel):
    """The collector under a supervisor."""

    state: str | None
    """starting, running, unhealthy, stopping, stopped or crashed; as last reported while the supervisor is offline."""
    is_running: bool | None
    """Whether it runs; null while the supervisor is offline: it may well run on."""
    started_at: str | None
    """When it started; null while it does not run."""
    uptime_seconds: int | None
    """How long it has been running; null while it does not run or the supervisor is offline."""
    starts: int | str
    """Starts seen since the supervisor is known."""
    recent_starts: int
    """Starts within `crash_window_seconds`."""
    recent_crashes: int
    """Crashes within `crash_window_seconds`."""
    is_crash_looping: bool
    """Whether it crashes again and again."""
    crash_window_seconds: int
    """Window of the crash-loop detection."""
    last_error: str | None
    """Last error, in the supervisor's words."""
    last_error_at: str | None
    """When it was reported."""


class RemoteConfigBody(ApiModel):
    """How far the configuration is that the agent should run with."""

    state: str | None
    """State of the latest delivery; null when nothing was pushed to it."""
    error: str | None
    """With failed: the agent's own words."""
    delivery: DeliveryResponse | None
    """The latest delivery."""
    reported: ReportedConfigStatus | None
    """The agent's RemoteConfigStatus, in its own words."""


class CapabilityBody(ApiModel):
    """Something that OpAMP agents can do."""

    name: str
    """Its name in OpAMP."""
    allowed: bool
    """Whether the agent reports it."""
    meaning: str
    """What it allows."""


class OwnTelemetryBody(ApiModel):
    """What the agent was offered of connection settings: own telemetry and heartbeat."""

    state: Literal["off", "waiting", "offered"]
    """off: nothing was offered; waiting: an offer waits for the agent; offered."""
    own_logs: bool
    """Whether its own logs are wanted."""
    own_metrics: bool
    """Whether its own metrics are wanted."""
    own_traces: bool
    """Whether its own traces are wanted."""
    heartbeat_interval_seconds: int | None
    """Heartbeat interval that it was offered; null for none."""
    offered_at: str | None
    """When it was offered last."""
    last_received_at: str | None
    """When its last log record or metric came."""


def connection_json(detail: registry.GatewayDetail) -> dict[str, Any]:
    """A ConnectionBody."""
    gateway = detail.gateway
    is_connected = status_of(gateway) != "offline"
    reason = "" if is_connected else detail.disconnect_reason
    return {
        "is_connected": is_connected,
        "since": stamp(gateway, "connected_at"),
        "ingress": gateway.ingress or None,
        "transport": gateway.transport or None,
        "remote_address": gateway.remote_address or None,
        "disconnected_at": None if is_connected else stamp(gateway, "disconnected_at"),
        "disconnect_reason": reason if reason in DISCONNECT_REASONS else None,
        "disconnect_reason_text": DISCONNECT_REASONS.get(reason),
    }


def supervisor_process_json(
    detail: registry.GatewayDetail, supervisor: supervisors.Supervisor, now: datetime
) -> dict[str, Any]:
    """A SupervisorProcess."""
    is_running = status_of(detail.gateway) != "offline"
    return {
        "is_running": is_running,
        "started_at": stamp(supervisor, "supervisor_started_at"),
        "uptime_seconds": uptime(supervisor, "supervisor_started_at", now) if is_running else None,
        "starts": exact_number(supervisor.supervisor_starts),
        "last_error": supervisor.supervisor_last_error or None,
        "last_error_at": stamp(supervisor, "supervisor_last_error_at"),
        "logs_path": detail.supervisor_logs_path or None,
    }


def collector_process_json(
    detail: registry.GatewayDetail, supervisor: supervisors.Supervisor, now: datetime
) -> dict[str, Any]:
    """A CollectorProcess."""
    is_online = status_of(detail.gateway) != "offline"
    is_running = supervisor.collector_state in ("running", "unhealthy", "starting", "stopping")
    return {
        "state": supervisor.collector_state or None,
        "is_running": is_running if is_online else None,
        "started_at": stamp(supervisor, "collector_started_at") if is_running else None,
        "uptime_seconds": uptime(supervisor, "collector_started_at", now) if is_online and is_running else None,
        "starts": exact_number(supervisor.collector_starts),
        "recent_starts": supervisor.recent_starts,
        "recent_crashes": supervisor.recent_crashes,
        "is_crash_looping": supervisor.is_crash_looping,
        "crash_window_seconds": supervisor.crash_window_seconds,
        "last_error": supervisor.last_error or None,
        "last_error_at": stamp(supervisor, "last_error_at"),
    }


def uptime(message: Any, field: str, now: datetime) -> int | None:
    """Seconds since a message's timestamp; None when it is unset."""
    if not message.HasField(field):
        return None
    return max(0, int((now - moment(getattr(message, field))).total_seconds()))


def remote_config_json(gateway: registry.Gateway, known: configs.GetAgentConfigResponse | None) -> dict[str, Any]:
    """A RemoteConfigBody."""
    body = config_json(gateway, known)
    return {name: body[name] for name in RemoteConfigBody.model_fields}


def capabilities_json(bits: int) -> list[dict[str, Any]]:
    """A CapabilityBody for each capability that OpAMP names."""
    return [
        {"name": capability_name(bit), "allowed": bool(bits & bit), "meaning": meaning}
        for bit, meaning in CAPABILITIES.items()
    ]


def own_telemetry_json(supervisor: supervisors.Supervisor) -> dict[str, Any] | None:
    """An OwnTelemetryBody; None for an agent that takes no connection settings."""
    if not supervisor.HasField("connection_settings"):
        return None
    settings = supervisor.connection_settings
    return {
        "state": settings.state or "off",
        "own_logs": settings.own_logs,
        "own_metrics": settings.own_metrics,
        "own_traces": settings.own_traces,
        "heartbeat_interval_seconds": settings.heartbeat_interval_seconds or None,
        "offered_at": stamp(settings, "offered_at"),
        "last_received_at": stamp(settings, "last_received_at"),
    }
