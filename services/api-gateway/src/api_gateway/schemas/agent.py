"""One agent in depth: health with its component tree, version with its components, and both with the configuration."""

from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError
from pydantic import ConfigDict

from api_gateway.schemas.config import AgentConfigResponse, config_json
from api_gateway.schemas.gateway import HealthState, LastKnownHealth, Mode, Status, health_json, mode_of, status_of
from api_gateway.schemas.values import ApiModel, attributes, capabilities, nano_time, stamp
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
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


class ComponentDetailsTree(ApiModel):
    """A component that an agent was built with, and its parts."""

    metadata: dict[str, Any]
    """Facts on it, such as the Go module that it comes from."""
    components: dict[str, "ComponentDetailsTree"]
    """Its parts by name."""


class AgentVersionResponse(ApiModel):
    """What an agent is and what it was built with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "agent_type": "io.opentelemetry.collector",
                    "version": "0.149.0",
                    "os_type": "linux",
                    "os_description": "Debian GNU/Linux 13 (trixie)",
                    "host_name": "edge-7",
                    "host_arch": "amd64",
                    "components_hash": "5e1f",
                    "components": {
                        "receivers": {
                            "metadata": {},
                            "components": {
                                "otlp": {
                                    "metadata": {
                                        "code.namespace": "go.opentelemetry.io/collector/receiver/otlpreceiver"
                                    },
                                    "components": {},
                                }
                            },
                        }
                    },
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
    agent_type: str | None
    """service.name of its description."""
    version: str | None
    """service.version of its description."""
    os_type: str | None
    """os.type of its description."""
    os_description: str | None
    """os.description of its description."""
    host_name: str | None
    """host.name of its description."""
    host_arch: str | None
    """host.arch of its description."""
    components_hash: str | None
    """The agent's hash over its components, hex."""
    components: dict[str, ComponentDetailsTree]
    """Components that it was built with, by kind and name; empty when it does not report them."""


class AgentStatusResponse(ApiModel):
    """Health, version and configuration together."""

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
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


class AgentDescriptionResponse(ApiModel):
    """An agent's description as it reported it, and what it can do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "identifying_attributes": {
                        "service.name": "io.opentelemetry.collector",
                        "service.version": "0.149.0",
                        "service.instance.id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    },
                    "non_identifying_attributes": {"host.name": "edge-7", "os.type": "linux", "host.arch": "amd64"},
                    "capabilities": ["ReportsStatus", "AcceptsRemoteConfig", "AcceptsRestartCommand"],
                    "capabilities_mask": "1027",
                    "supervisor_logs_path": None,
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
    identifying_attributes: dict[str, Any]
    """Attributes that identify it. Integers beyond 2^53 - 1 are decimal text, bytes `{"bytesValue": "<base64>"}`."""
    non_identifying_attributes: dict[str, Any]
    """Attributes that tell more, in the same form."""
    capabilities: list[str]
    """What it can do, in OpAMP's names."""
    capabilities_mask: str
    """The same as a bit mask, decimal text."""
    supervisor_logs_path: str | None
    """Where the supervisor's logs lie on the host, if it said so."""


def _parsed_health(detail: registry.GatewayDetail) -> opamp.ComponentHealth:
    health = opamp.ComponentHealth()
    try:
        health.ParseFromString(detail.health)
    except DecodeError:
        return opamp.ComponentHealth()
    return health


def description_of(detail: registry.GatewayDetail) -> opamp.AgentDescription:
    """The agent's description; an empty one where it cannot be read."""
    try:
        return opamp.AgentDescription.FromString(detail.agent_description)
    except DecodeError:
        return opamp.AgentDescription()


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


def details_tree(parts: Any) -> dict[str, Any]:
    """Parts by name as ComponentDetailsTree; `parts` is a map of ComponentDetails."""
    return {
        name: {"metadata": attributes(part.metadata), "components": details_tree(part.sub_component_map)}
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


def version_json(detail: registry.GatewayDetail) -> dict[str, Any]:
    """An AgentVersionResponse."""
    gateway = detail.gateway
    try:
        available = opamp.AvailableComponents.FromString(detail.available_components)
    except DecodeError:
        available = opamp.AvailableComponents()
    told = attributes(description_of(detail).non_identifying_attributes)
    system = told.get("os.description")
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "agent_type": gateway.agent_type or None,
        "version": gateway.version or None,
        "os_type": gateway.os_type or None,
        "os_description": system if isinstance(system, str) else None,
        "host_name": gateway.host_name or None,
        "host_arch": gateway.host_arch or None,
        "components_hash": available.hash.hex() or None,
        "components": details_tree(available.components),
    }


def status_json(
    detail: registry.GatewayDetail, known: configs.GetAgentConfigResponse | None, partial: list[str], now: datetime
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
        "config": None if partial else config_json(gateway, known),
        "partial": partial,
    }


def description_json(detail: registry.GatewayDetail) -> dict[str, Any]:
    """An AgentDescriptionResponse."""
    gateway, description = detail.gateway, description_of(detail)
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "identifying_attributes": attributes(description.identifying_attributes),
        "non_identifying_attributes": attributes(description.non_identifying_attributes),
        "capabilities": capabilities(gateway.capabilities),
        "capabilities_mask": str(gateway.capabilities),
        "supervisor_logs_path": detail.supervisor_logs_path or None,
    }
