"""How one agent does: its health with the component tree, and health, version and configuration together."""

from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError
from pydantic import ConfigDict

from api_gateway.schemas.config import AgentConfigResponse, config_json
from api_gateway.schemas.description import AgentVersionResponse, version_json
from api_gateway.schemas.gateway import HealthState, LastKnownHealth, Mode, Status, health_json, mode_of, status_of
from api_gateway.schemas.telemetry import LatestMetrics, latest_json
from api_gateway.schemas.values import ApiModel, nano_time, stamp
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from opamp.v1 import opamp_pb2 as opamp


class ComponentHealthTree(ApiModel):
    """How a part of an agent does, and its parts."""

    healthy: bool
    """Whether it works."""
    status: str | None
    """Its state in its own words, such as StatusOK."""
    last_error: str | None
    """Why it does not work."""
    started_at: str | None
    """When it started; null while it does not run."""
    components: dict[str, "ComponentHealthTree"]
    """Its parts by name."""


class LastKnownTree(LastKnownHealth):
    """What an agent that is offline now reported last."""

    components: dict[str, ComponentHealthTree]
    """Its parts by name."""


class AgentHealthResponse(ApiModel):
    """How an agent does. One that is offline is never healthy: what it last said is in `last_known`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "status": "online",
                    "state": "unhealthy",
                    "healthy": False,
                    "health_status": "StatusRecoverableError",
                    "last_error": "connection refused",
                    "since": "2026-11-02T08:15:30.125Z",
                    "started_at": "2026-11-02T08:15:29.000Z",
                    "uptime_seconds": 272,
                    "last_seen_at": "2026-11-02T08:20:01.004Z",
                    "components": {
                        "pipeline:traces": {
                            "healthy": False,
                            "status": "StatusRecoverableError",
                            "last_error": None,
                            "started_at": None,
                            "components": {
                                "exporter:otlp": {
                                    "healthy": False,
                                    "status": "StatusRecoverableError",
                                    "last_error": "connection refused",
                                    "started_at": None,
                                    "components": {},
                                }
                            },
                        }
                    },
                    "last_known": None,
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    status: Status
    """Whether it is there: online, stale or offline."""
    state: HealthState
    """healthy, unhealthy, or unknown while it is offline or has not reported its health."""
    healthy: bool | None
    """The same as a truth value; null for unknown."""
    health_status: str | None
    """Its state in its own words, such as StatusOK."""
    last_error: str | None
    """Why it is not healthy."""
    since: str | None
    """Since when."""
    started_at: str | None
    """When the collector started; null while it does not run."""
    uptime_seconds: int | None
    """How long it has been running; null while it does not run or is offline."""
    last_seen_at: str | None
    """When it was last heard of."""
    components: dict[str, ComponentHealthTree]
    """Its parts by name: pipelines, extensions, and their components."""
    last_known: LastKnownTree | None
    """What it reported last; only while it is offline."""


class AgentStatusResponse(ApiModel):
    """Health, version, configuration and metrics together."""

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    management_mode: Mode
    """How it is managed."""
    status: Status
    """Whether it is there: online, stale or offline."""
    last_seen_at: str | None
    """When it was last heard of."""
    health: AgentHealthResponse
    """How it does."""
    version: AgentVersionResponse
    """What it is."""
    config: AgentConfigResponse | None
    """What it runs with; null when `partial` names config-push."""
    metrics: LatestMetrics | None
    """Its own metrics of the last minutes; null when it sends none, or when `partial` names supervisor-control."""
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


def _parsed_health(detail: registry.GatewayDetail) -> opamp.ComponentHealth:
    health = opamp.ComponentHealth()
    try:
        health.ParseFromString(detail.health)
    except DecodeError:
        return opamp.ComponentHealth()
    return health


def health_tree(parts: Any) -> dict[str, Any]:
    """Parts by name as ComponentHealthTree; `parts` is a component_health_map."""
    return {
        name: {
            "healthy": part.healthy,
            "status": part.status or None,
            "last_error": part.last_error or None,
            "started_at": nano_time(part.start_time_unix_nano),
            "components": health_tree(part.component_health_map),
        }
        for name, part in sorted(parts.items())
    }


def agent_health_json(detail: registry.GatewayDetail, now: datetime) -> dict[str, Any]:
    """An AgentHealthResponse."""
    gateway = detail.gateway
    summary = health_json(gateway)
    tree = health_tree(_parsed_health(detail).component_health_map)
    last_known = summary["last_known"]
    uptime = None
    if last_known is None and gateway.HasField("started_at"):
        uptime = max(0, int(now.timestamp()) - gateway.started_at.seconds)
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "status": status_of(gateway),
        **{key: summary[key] for key in ("state", "healthy", "health_status", "last_error", "since")},
        "started_at": stamp(gateway, "started_at"),
        "uptime_seconds": uptime,
        "last_seen_at": stamp(gateway, "last_seen_at"),
        "components": {} if last_known else tree,
        "last_known": last_known and {**last_known, "components": tree},
    }


def status_json(
    detail: registry.GatewayDetail,
    known: configs.GetAgentConfigResponse | None,
    metrics: telemetry.GetMetricsResponse | None,
    partial: list[str],
    now: datetime,
) -> dict[str, Any]:
    """An AgentStatusResponse; `partial` names the owners that did not answer."""
    gateway = detail.gateway
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "management_mode": mode_of(gateway),
        "status": status_of(gateway),
        "last_seen_at": stamp(gateway, "last_seen_at"),
        "health": agent_health_json(detail, now),
        "version": version_json(detail),
        "config": None if "config-push" in partial else config_json(gateway, known),
        "metrics": metrics and latest_json(metrics, now),
        "partial": partial,
    }
