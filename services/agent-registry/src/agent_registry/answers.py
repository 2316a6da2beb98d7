"""Rows of the store as answers."""

from datetime import datetime

import asyncpg
import orjson

from agent_registry.domain import patience
from agent_registry.presence import Presence
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowkit.db import unsigned
from flowkit.opamp import timestamp

STATUS_NAMES = {
    rpc.GATEWAY_STATUS_ONLINE: "online",
    rpc.GATEWAY_STATUS_STALE: "stale",
    rpc.GATEWAY_STATUS_OFFLINE: "offline",
}
HEALTH_NAMES = {
    rpc.HEALTH_STATE_HEALTHY: "healthy",
    rpc.HEALTH_STATE_UNHEALTHY: "unhealthy",
    rpc.HEALTH_STATE_UNKNOWN: "unknown",
}
_MODES = {
    "extension": facts.MANAGEMENT_MODE_EXTENSION,
    "supervisor": facts.MANAGEMENT_MODE_SUPERVISOR,
}


def gateway(row: asyncpg.Record, presence: Presence, stale_before: datetime) -> rpc.Gateway:
    """A gateway as lists show it; its status is computed here and stored nowhere."""
    last_seen = presence.last_seen(row["instance_uid"].bytes, row["last_seen_at"])
    if not row["is_connected"]:
        status = rpc.GATEWAY_STATUS_OFFLINE
    elif last_seen < stale_before - patience(row["transport"], row["heartbeat_seconds"]):
        status = rpc.GATEWAY_STATUS_STALE
    else:
        status = rpc.GATEWAY_STATUS_ONLINE
    return rpc.Gateway(
        gateway_id=str(row["gateway_id"]),
        instance_id=str(row["instance_uid"]),
        name=row["name"],
        management_mode=_MODES[row["management_mode"]],
        status=status,
        healthy=row["healthy"],
        last_error=row["last_error"],
        health_status=row["health_status"],
        agent_type=row["agent_type"],
        version=row["version"],
        labels=row["labels"],
        capabilities=unsigned(row["capabilities"]),
        last_seen_at=timestamp(last_seen),
        first_seen_at=timestamp(row["first_seen_at"]),
        connected_at=timestamp(row["connected_at"]),
        disconnected_at=None if row["is_connected"] else timestamp(row["disconnected_at"]),
        transport=row["transport"],
        ingress=row["ingress"],
        remote_address=row["remote_address"],
        host_name=row["host_name"],
        os_type=row["os_type"],
        host_arch=row["host_arch"],
        health_since=timestamp(row["health_since"]),
        started_at=timestamp(row["started_at"]),
        enrollment_token_id=str(row["enrollment_token_id"] or ""),
    )


def detail(row: asyncpg.Record, presence: Presence, stale_before: datetime) -> rpc.GatewayDetail:
    """Everything known of a gateway."""
    status = row["supervisor_status"]
    return rpc.GatewayDetail(
        gateway=gateway(row, presence, stale_before),
        agent_description=row["agent_description"] or b"",
        health=row["health"] or b"",
        available_components=row["components"] or b"",
        supervisor_status_json=orjson.dumps(status).decode() if status else "",
        supervisor_logs_path=row["supervisor_logs_path"] or "",
        sequence_num=unsigned(row["sequence_num"]),
        disconnect_reason=row["disconnect_reason"],
    )


def back_again(row: asyncpg.Record, at: datetime) -> facts.AgentConnected:
    """The fact that an agent is there which had counted as gone because nothing was heard of it."""
    return facts.AgentConnected(
        instance_uid=str(row["instance_uid"]),
        gateway_id=str(row["gateway_id"]),
        occurred_at=timestamp(at),
        transport=row["transport"],
        ingress=row["ingress"],
    )
