"""Configurations: what an agent runs with, what it should run with, and how far that got."""

from base64 import b64encode
from typing import Any, Literal

from pydantic import ConfigDict, Field

from api_gateway.problems import places
from api_gateway.schemas.problem import ProblemPlace
from api_gateway.schemas.values import ApiModel, enum_text, stamp
from flowgate.config.v1.events_pb2 import DeliveryState
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowkit.errors import InvalidError

State = Literal["pending", "offered", "applying", "applied", "failed", "superseded"]


class ConfigPush(ApiModel):
    """A configuration for an agent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"config": "receivers:\n  otlp:\n    protocols:\n      grpc:\nexporters:\n  debug:\n"}]
        }
    )

    config: str = Field(min_length=1)
    """The collector's configuration, YAML text. It is delivered as written, comments included."""


class ConfigCheckResponse(ApiModel):
    """What is wrong with a configuration."""

    valid: bool
    """Whether nothing is."""
    errors: list[ProblemPlace]
    """Each thing that is wrong, with line and column where they are known."""


class ConfigPushResponse(ApiModel):
    """The delivery that was begun."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "delivery_id": "0198e4b0-93aa-7c55-8a11-0000000000d1",
                    "config_hash": "9b1c0f6c0a6a4f0b5d3b8a3f6c9a54f7f1d2f2a8a9d64f0a7c0a5f8a1f3f2d11",
                    "state": "pending",
                }
            ]
        }
    )

    delivery_id: str
    """Names the delivery; follow it under /api/v1/deliveries/{delivery_id}."""
    config_hash: str
    """Hash of the configuration, hex."""
    state: State
    """How far it got."""


class DeliveryResponse(ApiModel):
    """A configuration on its way to an agent."""

    delivery_id: str
    """Names the delivery."""
    instance_id: str
    """The agent."""
    config_hash: str
    """Hash of the configuration, hex."""
    state: State
    """pending: waits for the agent; offered: sent; applying; applied: the agent runs with it; failed; superseded:
    a newer configuration took its place before it was done."""
    error: str | None
    """With failed: the agent's own words."""
    created_at: str | None
    """When it was ordered."""
    updated_at: str | None
    """When it reached the state."""


class DeliveryListResponse(ApiModel):
    """What was sent to an agent."""

    items: list[DeliveryResponse]
    """Newest first."""


class DeliveredConfigResponse(DeliveryResponse):
    """A delivery with what it delivers."""

    config: str
    """The configuration, YAML text as it was sent."""


class ConfigFileBody(ApiModel):
    """One file or object of a configuration."""

    body: str
    """Its content: text, or base64 where it is no UTF-8."""
    encoding: Literal["utf-8", "base64"]
    """How `body` is written."""
    content_type: str | None
    """MIME type as the agent said."""


class EffectiveConfig(ApiModel):
    """The configuration that an agent runs with, as it reported it."""

    files: dict[str, ConfigFileBody]
    """Its files or objects by name; the name is empty where there is only one."""
    hash: str | None
    """SHA-256 over it, hex."""
    reported_at: str | None
    """When it was reported."""


class AssignedConfig(ApiModel):
    """The configuration that an agent should run with."""

    config_hash: str
    """Its hash, hex."""
    config: str
    """Its YAML text, as it was pushed."""


class ReportedConfigStatus(ApiModel):
    """The agent's RemoteConfigStatus, in its own words."""

    config_hash: str | None
    """last_remote_config_hash, hex."""
    status: str
    """unset, applied, applying or failed."""
    error: str | None
    """error_message."""


class AgentConfigResponse(ApiModel):
    """What an agent runs with, what it should run with, and how far that got."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "effective": {
                        "files": {
                            "": {"body": "receivers:\n  otlp:\n", "encoding": "utf-8", "content_type": "text/yaml"}
                        },
                        "hash": "41c7",
                        "reported_at": "2026-11-02T08:16:02.120Z",
                    },
                    "assigned": {"config_hash": "9b1c", "config": "receivers:\n  otlp:\n"},
                    "state": "failed",
                    "error": "collector exited with code 1: unknown exporter 'otpl'",
                    "delivery": {
                        "delivery_id": "0198e4b0-93aa-7c55-8a11-0000000000d1",
                        "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                        "config_hash": "9b1c",
                        "state": "failed",
                        "error": "collector exited with code 1: unknown exporter 'otpl'",
                        "created_at": "2026-11-02T08:16:00.000Z",
                        "updated_at": "2026-11-02T08:16:03.411Z",
                    },
                    "reported": {"config_hash": "9b1c", "status": "failed", "error": "unknown exporter 'otpl'"},
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    effective: EffectiveConfig | None
    """What it runs with; null when it reported none."""
    assigned: AssignedConfig | None
    """What it should run with; null when nothing was pushed to it."""
    state: State | None
    """How far the assigned one got; null when nothing was pushed to it."""
    error: str | None
    """With failed: the agent's own words."""
    delivery: DeliveryResponse | None
    """The latest delivery."""
    reported: ReportedConfigStatus | None
    """What the agent says of remote configurations; null when it says nothing."""


def check_json(error: InvalidError | None) -> dict[str, Any]:
    """A ConfigCheckResponse; None when nothing is wrong."""
    return {"valid": error is None, "errors": places(error) if error is not None else []}


def state_text(delivery: configs.Delivery) -> str:
    """State of a delivery; one of which nothing is said waits."""
    return enum_text(DeliveryState, delivery.state, "DELIVERY_STATE_") or "pending"


def delivery_json(delivery: configs.Delivery) -> dict[str, Any]:
    """A DeliveryResponse."""
    return {
        "delivery_id": delivery.delivery_id,
        "instance_id": delivery.instance_id,
        "config_hash": delivery.config_hash,
        "state": state_text(delivery),
        "error": delivery.error or None,
        "created_at": stamp(delivery, "created_at"),
        "updated_at": stamp(delivery, "updated_at"),
    }


def push_json(delivery: configs.Delivery) -> dict[str, Any]:
    """A ConfigPushResponse."""
    return {
        "delivery_id": delivery.delivery_id,
        "config_hash": delivery.config_hash,
        "state": state_text(delivery),
    }


def file_json(file: configs.ConfigFile) -> dict[str, Any]:
    """A ConfigFileBody."""
    try:
        body, encoding = file.body.decode(), "utf-8"
    except UnicodeDecodeError:
        body, encoding = b64encode(file.body).decode(), "base64"
    return {"body": body, "encoding": encoding, "content_type": file.content_type or None}


def config_json(gateway: registry.Gateway, known: configs.GetAgentConfigResponse | None) -> dict[str, Any]:
    """An AgentConfigResponse; `known` is None for an agent of which config-push knows nothing yet."""
    known = known or configs.GetAgentConfigResponse()
    delivery = delivery_json(known.delivery) if known.HasField("delivery") else None
    effective = assigned = reported = None
    if known.effective_hash or known.effective:
        effective = {
            "files": {file.name: file_json(file) for file in known.effective},
            "hash": known.effective_hash or None,
            "reported_at": stamp(known, "effective_at"),
        }
    if known.assigned_hash:
        assigned = {"config_hash": known.assigned_hash, "config": known.assigned_config}
    if known.reported_status or known.reported_hash:
        reported = {
            "config_hash": known.reported_hash or None,
            "status": known.reported_status or "unset",
            "error": known.reported_error or None,
        }
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "effective": effective,
        "assigned": assigned,
        "state": delivery and delivery["state"],
        "error": delivery and delivery["error"],
        "delivery": delivery,
        "reported": reported,
    }
