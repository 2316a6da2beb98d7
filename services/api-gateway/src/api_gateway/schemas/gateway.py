"""A gateway in lists and alone, the filters of lists, and what an operator may change of it."""

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from api_gateway.schemas.labels import LabelKey, LabelValue, label_key, label_value
from api_gateway.schemas.values import ApiModel, capabilities, enum_text, stamp
from flowgate.agent.v1.events_pb2 import ManagementMode
from flowgate.rpc.v1 import agent_registry_pb2 as registry

Mode = Literal["extension", "supervisor"]
Status = Literal["online", "stale", "offline"]
ConfigState = Literal["pending", "offered", "applying", "applied", "failed"]
HealthState = Literal["healthy", "unhealthy", "unknown"]
Sort = Literal[
    "name", "-name", "last_seen_at", "-last_seen_at", "first_seen_at", "-first_seen_at",
    "version", "-version", "status", "-status", "health", "-health",
]  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _label_filter(text: str) -> str:
    key, _, value = text.partition("=")
    return f"{label_key(key)}={label_value(value)}"


def printable(text: str) -> str:
    """The text, if all of it can be printed."""
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


class GatewayFilters(ApiModel):
    """Which gateways, in which order. A parameter that does not exist is refused: a typo must not list the fleet."""

    status: list[Status] = Field([])
    """Only of this status; may be given several times."""
    health: list[HealthState] = Field([])
    """Only of this health, which is unknown of those that are offline; may be given several times."""
    healthy: bool | None = None
    """true: the same as health=healthy; false: as health=unhealthy and health=unknown."""
    q: Annotated[str, Field(max_length=200), AfterValidator(printable)] = ""
    """Only those whose name, ids, host, type, version or label holds this text; case does not count."""
    label: Annotated[list[Annotated[str, AfterValidator(_label_filter)]], Field(max_length=32)] = Field([])
    """Only with this label: `key=value`, or `key` for any value; given several times, all of them are wanted."""
    version: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=32)] = Field([])
    """Only of this version, or `unknown` for those that did not say; may be given several times."""
    config_state: list[ConfigState] = Field([])
    """Only those whose latest configuration is in this state; may be given several times."""
    crash_looping: bool | None = None
    """true: only those whose collector crashes again and again under its supervisor."""
    instance_id: Annotated[list[UUID], Field(max_length=200)] = Field([])
    """Only these agents; may be given several times. Those that nobody has are left out."""
    sort: Sort = "name"
    """Order; a leading - turns it round."""
    limit: int = Field(100, ge=1, le=1000)
    """Gateways per page."""
    cursor: Annotated[str, StringConstraints(max_length=1024, pattern=r"^[A-Za-z0-9_\-=.~:+/]*$")] = ""
    """`next_cursor` of the page before."""

    @field_validator("label")
    @classmethod
    def _one_value_each(cls, label: list[str]) -> list[str]:
        for key in {text.partition("=")[0] for text in label}:
            if len({text for text in label if text.partition("=")[0] == key}) > 1:
                raise ValueError(f"label {key!r} is wanted with two values; a gateway has one of them at most")
        return label

    @model_validator(mode="after")
    def _one_health(self) -> "GatewayFilters":
        if self.healthy is None:
            return self
        if self.health:
            raise ValueError("give either health or healthy")
        self.health = ["healthy"] if self.healthy else ["unhealthy", "unknown"]
        return self

    def question(self, mode: Mode | None) -> registry.ListGatewaysRequest:
        """These filters as the registry's question."""
        return registry.ListGatewaysRequest(
            management_mode=f"MANAGEMENT_MODE_{(mode or 'unspecified').upper()}",
            statuses=[f"GATEWAY_STATUS_{one.upper()}" for one in sorted(set(self.status))],
            healths=[f"HEALTH_STATE_{one.upper()}" for one in sorted(set(self.health))],
            instance_ids=map(str, self.instance_id),
            config_states=[f"DELIVERY_STATE_{one.upper()}" for one in sorted(set(self.config_state))],
            q=self.q,
            versions=["" if one == "unknown" else one for one in self.version],
            labels=dict(text.split("=", 1) for text in self.label),
            sort=self.sort,
            limit=self.limit,
            cursor=self.cursor,
        )


class FleetFilters(GatewayFilters):
    """The same over both modes."""

    management_mode: Mode | None = None
    """Only of this mode."""


class GatewayPatch(ApiModel):
    """What to change (JSON merge patch, RFC 7396): what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "edge-7", "labels": {"env": "prod", "team": None}}]}
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(printable)] | None = None
    """New name; null gives it its default name again."""
    labels: Annotated[dict[LabelKey, LabelValue | None], Field(max_length=64)] = Field({})
    """Labels to set; null takes one away. Keys and values as Kubernetes has them."""

    def order(self, gateway_id: str) -> registry.UpdateGatewayRequest:
        """This patch as the registry's order."""
        return registry.UpdateGatewayRequest(
            id=gateway_id,
            name=(self.name or "") if "name" in self.model_fields_set else None,
            set_labels={key: value for key, value in self.labels.items() if value is not None},
            remove_labels=[key for key, value in self.labels.items() if value is None],
        )


class LastKnownHealth(ApiModel):
    """What an agent that is offline now reported last."""

    healthy: bool | None
    """Whether it was healthy; null when it never said."""
    health_status: str | None
    """Its state in its own words, such as StatusOK."""
    last_error: str | None
    """Why it was not healthy."""
    since: str | None
    """Since when."""


class HealthSummary(ApiModel):
    """How an agent does. An agent that is offline is never healthy: what it last said is in `last_known`."""

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
    last_known: LastKnownHealth | None
    """What it reported last; only while it is offline."""


GATEWAY_EXAMPLE: dict[str, Any] = {
    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
    "name": "io.opentelemetry.collector@edge-7",
    "management_mode": "supervisor",
    "status": "online",
    "health": {
        "state": "healthy",
        "healthy": True,
        "health_status": "StatusOK",
        "last_error": None,
        "since": "2026-11-02T08:15:30.125Z",
        "last_known": None,
    },
    "agent_type": "io.opentelemetry.collector",
    "version": "0.149.0",
    "labels": {"env": "prod"},
    "capabilities": ["ReportsStatus", "AcceptsRemoteConfig", "ReportsEffectiveConfig", "AcceptsRestartCommand"],
    "capabilities_mask": "1031",
    "host_name": "edge-7",
    "os_type": "linux",
    "host_arch": "amd64",
    "transport": "websocket",
    "ingress": "opamp-gateway-0",
    "remote_address": "10.0.4.17:51822",
    "last_seen_at": "2026-11-02T08:20:01.004Z",
    "first_seen_at": "2026-10-28T12:00:00.000Z",
    "connected_at": "2026-11-02T08:15:29.870Z",
    "disconnected_at": None,
    "started_at": "2026-11-02T08:15:29.000Z",
    "enrollment_token_id": "0198e4b0-1f00-7c55-8a11-0000000000e7",
}


class GatewayResponse(ApiModel):
    """A gateway: an agent of the fleet under an id that stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [GATEWAY_EXAMPLE]})

    gateway_id: str
    """FlowGate's own id; it stays when the agent comes back under a new instance_uid."""
    instance_id: str
    """The agent's current instance_uid, canonical UUID text."""
    name: str
    """Name: the operator's, else service.name@host.name."""
    management_mode: Mode
    """extension: it can be seen, not managed; supervisor: it can be managed, as far as its capabilities say."""
    status: Status
    """online; stale: connected, but not heard of for longer than it should be; offline: not connected."""
    health: HealthSummary
    """How it does."""
    agent_type: str | None
    """service.name of its description."""
    version: str | None
    """service.version of its description."""
    labels: dict[str, str]
    """The operator's labels."""
    capabilities: list[str]
    """What the agent can do, in OpAMP's names; bits that OpAMP v0.20 does not name as hex numbers."""
    capabilities_mask: str
    """The same as a bit mask, decimal text: it has 64 bits."""
    host_name: str | None
    """host.name of its description."""
    os_type: str | None
    """os.type of its description."""
    host_arch: str | None
    """host.arch of its description."""
    transport: str | None
    """websocket or http."""
    ingress: str | None
    """Ingress replica."""
    remote_address: str | None
    """Address of the agent's end."""
    last_seen_at: str | None
    """When it was last heard of."""
    first_seen_at: str | None
    """When it was first heard of."""
    connected_at: str | None
    """When its connection, or its last one, began."""
    disconnected_at: str | None
    """When it went away; null while it is connected."""
    started_at: str | None
    """When the collector started, as the agent reports it; null while it does not run."""
    enrollment_token_id: str | None
    """The enrollment token that it came with at first; null for one that is in the ingress' own settings."""


class GatewayListResponse(ApiModel):
    """A page of gateways."""

    items: list[GatewayResponse]
    """The gateways."""
    next_cursor: str | None
    """`cursor` of the next page; null on the last one."""
    total: int
    """How many match, over all pages."""


def status_of(gateway: registry.Gateway) -> str:
    """online, stale or offline; an agent of which nothing is said counts as offline."""
    return enum_text(registry.GatewayStatus, gateway.status, "GATEWAY_STATUS_") or "offline"


def mode_of(gateway: registry.Gateway) -> str:
    """extension or supervisor; extension where nothing is said."""
    return enum_text(ManagementMode, gateway.management_mode, "MANAGEMENT_MODE_") or "extension"


def health_json(gateway: registry.Gateway) -> dict[str, Any]:
    """A HealthSummary."""
    healthy = gateway.healthy if gateway.HasField("healthy") else None
    reported = {
        "healthy": healthy,
        "health_status": gateway.health_status or None,
        "last_error": gateway.last_error or None,
        "since": stamp(gateway, "health_since"),
    }
    if status_of(gateway) == "offline":
        nothing = dict.fromkeys(reported)
        return {"state": "unknown", **nothing, "last_known": reported}
    state = "unknown" if healthy is None else "healthy" if healthy else "unhealthy"
    return {"state": state, **reported, "last_known": None}


def gateway_json(gateway: registry.Gateway) -> dict[str, Any]:
    """A GatewayResponse."""
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "management_mode": mode_of(gateway),
        "status": status_of(gateway),
        "health": health_json(gateway),
        "agent_type": gateway.agent_type or None,
        "version": gateway.version or None,
        "labels": dict(gateway.labels),
        "capabilities": capabilities(gateway.capabilities),
        "capabilities_mask": str(gateway.capabilities),
        "host_name": gateway.host_name or None,
        "os_type": gateway.os_type or None,
        "host_arch": gateway.host_arch or None,
        "transport": gateway.transport or None,
        "ingress": gateway.ingress or None,
        "remote_address": gateway.remote_address or None,
        "last_seen_at": stamp(gateway, "last_seen_at"),
        "first_seen_at": stamp(gateway, "first_seen_at"),
        "connected_at": stamp(gateway, "connected_at"),
        "disconnected_at": stamp(gateway, "disconnected_at"),
        "started_at": stamp(gateway, "started_at"),
        "enrollment_token_id": gateway.enrollment_token_id or None,
    }


def page_json(page: registry.ListGatewaysResponse) -> dict[str, Any]:
    """A GatewayListResponse."""
    return {
        "items": [gateway_json(gateway) for gateway in page.gateways],
        "next_cursor": page.next_cursor or None,
        "total": page.total,
    }
