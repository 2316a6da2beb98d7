"""What reports make of a gateway: pure decisions on one mutable state per gateway, in the order of the reports."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from flowgate.agent.v1 import events_pb2 as facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit import opamp
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.uplink import Report
from opamp.v1 import opamp_pb2

DESCRIPTION = opamp.field_bit("agent_description")
HEALTH = opamp.field_bit("health")
COMPONENTS = opamp.field_bit("available_components")

# What makes two starts of a plain opampextension the same gateway: it invents a new uid at each start.
IDENTITY_ATTRIBUTES = (
    "service.name",
    "service.namespace",
    "host.name",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "k8s.container.name",
)
USUAL_HEARTBEAT_SECONDS = 30  # that the settings on stale and offline agents are made for
SILENCE = "silence"  # why an agent counts as gone of which no ingress said so
MAX_IDENTITY = 512  # characters
LOGS_PATH_ATTRIBUTE = "flowgate.supervisor.logs_path"

TRANSPORTS = {uplink_pb2.TRANSPORT_WEBSOCKET: "websocket", uplink_pb2.TRANSPORT_HTTP: "http"}
REASONS = {
    uplink_pb2.DISCONNECT_REASON_AGENT: "agent",
    uplink_pb2.DISCONNECT_REASON_CLOSED: "closed",
    uplink_pb2.DISCONNECT_REASON_TIMEOUT: "timeout",
    uplink_pb2.DISCONNECT_REASON_DRAIN: "drain",
}
MODES = {
    facts.MANAGEMENT_MODE_EXTENSION: "extension",
    facts.MANAGEMENT_MODE_SUPERVISOR: "supervisor",
}

CONFIG_STATES = {
    config_facts.DELIVERY_STATE_PENDING: "pending",
    config_facts.DELIVERY_STATE_OFFERED: "offered",
    config_facts.DELIVERY_STATE_APPLYING: "applying",
    config_facts.DELIVERY_STATE_APPLIED: "applied",
    config_facts.DELIVERY_STATE_FAILED: "failed",
}


class Dirty:
    """Which parts of a gateway differ from the store: bits of plain numbers, since enum.Flag costs a microsecond."""

    NOTHING = 0
    SEEN = 1  # last_seen_at, sequence_num
    HEALTH = 2
    REST = 4  # connection, description, capabilities
    NEW = 8


@dataclass
class Gateway:
    """State of a gateway as far as reports change it; the columns of `gateways` by their names."""

    gateway_id: UUID
    instance_uid: UUID
    connection_id: UUID
    connected_at: datetime
    first_seen_at: datetime
    last_seen_at: datetime
    default_name: str = ""
    management_mode: str = "extension"
    supervisor_logs_path: str | None = None
    capabilities: int = 0
    sequence_num: int = 0
    description_hash: bytes | None = None
    identity_key: str | None = None
    attributes: dict[str, str] | None = field(default_factory=dict)  # None: not loaded, unchanged
    agent_type: str = ""
    version: str = ""
    host_name: str = ""
    os_type: str = ""
    host_arch: str = ""
    components_hash: bytes | None = None
    healthy: bool | None = None
    health_status: str = ""
    last_error: str = ""
    health_since: datetime | None = None
    started_at: datetime | None = None
    is_connected: bool = False
    disconnected_at: datetime | None = None
    disconnect_reason: str = ""
    transport: str = ""
    ingress: str = ""
    remote_address: str = ""
    heartbeat_seconds: int = 0
    archived_at: datetime | None = None
    # Bodies are written when they come and are not read again here.
    agent_description: bytes | None = None
    health: bytes | None = None
    labels: dict[str, str] = field(default_factory=dict)  # those that a new gateway begins with
    enrollment_token_id: UUID | None = None  # likewise
    is_announced: bool = True
    dirty: int = Dirty.NOTHING

    @property
    def is_away(self) -> bool:
        """No connection is known, even if the agent still counts as connected since a drain sent it elsewhere."""
        return not self.is_connected or self.disconnected_at is not None


def new_gateway(
    report: Report, gateway_id: UUID, labels: dict[str, str], enrollment_token_id: UUID | None = None
) -> Gateway:
    """A gateway of which nothing is known but that this report came, with its enrollment token and the labels of it."""
    return Gateway(
        gateway_id=gateway_id,
        instance_uid=report.uid,
        connection_id=report.connection_id,
        connected_at=report.connected_at,
        first_seen_at=report.received_at,
        last_seen_at=report.received_at,
        default_name=report.instance_uid,
        labels=labels,
        enrollment_token_id=enrollment_token_id,
        is_announced=False,
        dirty=Dirty.NEW,
    )


def config_state(fact: config_facts.DeliveryStateChanged) -> str:
    """State of the agent's latest configuration by this fact; empty when it says nothing of that.

    A superseded delivery is not the latest one. One that fails before it was in any state was refused, and the agent's
    latest is the one before.
    """
    if fact.state == config_facts.DELIVERY_STATE_FAILED and not fact.previous_state:
        return ""
    return CONFIG_STATES.get(fact.state, "")


def identity_key(attributes: dict[str, str]) -> str | None:
    """What an extension agent is recognised by at its next start; None when it tells no host and no service."""
    if not attributes.get("host.name") or not attributes.get("service.name"):
        return None
    names = "\x1f".join(attributes.get(name, "") for name in IDENTITY_ATTRIBUTES)
    # PostgreSQL's indexes have no room for long ones.
    return names if len(names) <= MAX_IDENTITY else hashlib.sha256(names.encode()).hexdigest()


def described(report: Report) -> dict[str, str]:
    """Attributes of the description in a report, as text."""
    description = report.message.agent_description
    return opamp.attributes(description.non_identifying_attributes) | opamp.attributes(
        description.identifying_attributes
    )


def apply(gateway: Gateway, report: Report) -> list[Effect]:
    """Change the gateway by one entry of the uplink and tell the facts that follow.

    A late entry of a connection that a newer one has superseded changes nothing.
    """
    entry = report.entry
    connection_id = report.connection_id
    if connection_id != gateway.connection_id and report.connected_at < gateway.connected_at:
        return []
    if entry.kind == uplink_pb2.ENTRY_KIND_DISCONNECTED:
        return _disconnected(gateway, report) if connection_id == gateway.connection_id else []
    if entry.kind == uplink_pb2.ENTRY_KIND_DELIVERED:
        _offered(gateway, report)
        return []
    effects: list[Effect] = []
    if not gateway.is_announced:
        effects += _registered(gateway, report)
    effects += _capabilities(gateway, report)
    if entry.fields & DESCRIPTION:
        effects += _description(gateway, report)
    if connection_id != gateway.connection_id or gateway.is_away:
        effects += _connected(gateway, report, connection_id)
    if entry.fields & HEALTH:
        effects += _health(gateway, report)
    if entry.fields & COMPONENTS:
        _components(gateway, report)
    if report.is_lost:
        gateway.description_hash = None  # whatever comes next is news
        gateway.dirty |= Dirty.REST
        effects.append(full_state_of(gateway.instance_uid))
        return effects
    _seen(gateway, report)
    return effects


def is_plain(report: Report) -> bool:
    """Whether a report tells of health at most, as nearly all do."""
    if report.entry.kind != uplink_pb2.ENTRY_KIND_REPORT or report.is_lost:
        return False
    return not report.entry.fields & (DESCRIPTION | COMPONENTS)


def only_health(gateway: Gateway | None, report: Report) -> bool:
    """Whether a plain report changes nothing else of its gateway: same connection, same capabilities."""
    return (
        gateway is not None
        and gateway.is_connected
        and report.connection_id == gateway.connection_id
        and report.message.capabilities in (0, gateway.capabilities)
    )


def apply_health(gateway: Gateway, report: Report) -> Sequence[Effect]:
    """`apply` for a report of which `only_health` holds."""
    effects = _health(gateway, report) if report.entry.fields & HEALTH else ()
    _seen(gateway, report)
    return effects


def _seen(gateway: Gateway, report: Report) -> None:
    gateway.last_seen_at = max(gateway.last_seen_at, report.received_at)
    gateway.sequence_num = report.message.sequence_num
    gateway.dirty |= Dirty.SEEN


def reidentify(gateway: Gateway, report: Report) -> list[Effect]:
    """The gateway's agent comes under the instance_uid of this report from now on."""
    previous = str(gateway.instance_uid)
    gateway.instance_uid = report.uid
    gateway.dirty |= Dirty.REST
    return [
        facts.AgentReidentified(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            previous_instance_uid=previous,
        )
    ]


def _registered(gateway: Gateway, report: Report) -> Sequence[Effect]:
    """The first report names and sorts the gateway before anybody is told of it."""
    _capabilities(gateway, report)
    if report.entry.fields & DESCRIPTION:
        _description(gateway, report)
    gateway.is_announced = True
    effects: list[Effect] = [
        facts.AgentRegistered(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            name=gateway.default_name,
            management_mode=opamp.management_mode(gateway.capabilities),
            labels=gateway.labels,
            enrollment_token_id=str(gateway.enrollment_token_id or ""),
        )
    ]
    if gateway.description_hash is None:
        effects.append(full_state_of(gateway.instance_uid))
    return effects


def full_state_of(instance_uid: UUID) -> Desired:
    """The wish that an agent reports everything: it is known here by a compressed report only, or something that it
    said was lost (item 44)."""
    wish = desired_pb2.DesiredState(id="full-state", full_state=desired_pb2.DesiredFullState())
    return Desired(str(instance_uid), "state", wish)


def _connected(gateway: Gateway, report: Report, connection_id: UUID) -> Sequence[Effect]:
    gateway.connection_id = connection_id
    gateway.connected_at = report.connected_at
    gateway.is_connected = True
    gateway.disconnected_at = None
    gateway.disconnect_reason = ""
    gateway.archived_at = None
    gateway.transport = TRANSPORTS.get(report.entry.transport, "")
    gateway.ingress = report.gateway
    gateway.remote_address = report.entry.remote_address
    gateway.dirty |= Dirty.REST
    return [
        facts.AgentConnected(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            transport=gateway.transport,
            ingress=gateway.ingress,
        )
    ]


def _disconnected(gateway: Gateway, report: Report) -> list[Effect]:
    """The end of a connection. One that the ingress closed to drain is none yet: the agent was sent elsewhere, and only
    `sweep` tells that it never arrived."""
    if not gateway.is_connected:
        return []
    gateway.disconnected_at = report.received_at
    gateway.disconnect_reason = REASONS.get(report.entry.reason, "")
    gateway.dirty |= Dirty.REST
    if report.entry.reason == uplink_pb2.DISCONNECT_REASON_DRAIN:
        return []
    gateway.is_connected = False
    return [
        facts.AgentDisconnected(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            reason=gateway.disconnect_reason,
        )
    ]


def _offered(gateway: Gateway, report: Report) -> None:
    """Of what was sent to the agent, its heartbeat interval counts here: so long it may be silent."""
    said = report.entry.delivered
    if said.facet == "connection" and not said.error and gateway.heartbeat_seconds != said.heartbeat_interval_seconds:
        gateway.heartbeat_seconds = said.heartbeat_interval_seconds
        gateway.dirty |= Dirty.REST


def patience(transport: str, heartbeat_seconds: int) -> timedelta:
    """How much longer than others an agent may be silent: one on plain HTTP that was told to come less often, three
    times as long; one on a WebSocket answers its ingress' pings."""
    longer = max(0, heartbeat_seconds - USUAL_HEARTBEAT_SECONDS) if transport == "http" else 0
    return timedelta(seconds=3 * longer)


def _capabilities(gateway: Gateway, report: Report) -> Sequence[Effect]:
    """0 means unspecified, hence unchanged (conformance item 28)."""
    bits = report.message.capabilities
    if not bits or bits == gateway.capabilities:
        return []
    before, gateway.capabilities = gateway.capabilities, bits
    mode = opamp.management_mode(bits)
    gateway.management_mode = MODES[mode]
    gateway.dirty |= Dirty.REST
    if not before:
        return []
    return [
        facts.AgentCapabilitiesChanged(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            capabilities=bits,
            previous_capabilities=before,
            management_mode=mode,
            previous_management_mode=opamp.management_mode(before),
        )
    ]


def _description(gateway: Gateway, report: Report) -> Sequence[Effect]:
    body = report.message.agent_description.SerializeToString(deterministic=True)
    digest = hashlib.blake2b(body, digest_size=16).digest()
    if digest == gateway.description_hash:
        return []
    before, after = gateway.attributes or {}, described(report)
    is_new = gateway.description_hash is None
    gateway.agent_description = body
    gateway.description_hash = digest
    gateway.attributes = after
    gateway.identity_key = identity_key(after)
    gateway.agent_type = after.get("service.name", "")
    gateway.version = after.get("service.version", "")
    gateway.host_name = after.get("host.name", "")
    gateway.os_type = after.get("os.type", "")
    gateway.host_arch = after.get("host.arch", "")
    gateway.supervisor_logs_path = after.get(LOGS_PATH_ATTRIBUTE)
    names = [text for text in (gateway.agent_type, gateway.host_name) if text]
    gateway.default_name = "@".join(names) or str(gateway.instance_uid)
    gateway.dirty |= Dirty.REST
    if is_new:
        return [Desired(str(gateway.instance_uid), "state", None)] if gateway.is_announced else []
    return [
        facts.AgentDescriptionChanged(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            changed={name: value for name, value in after.items() if before.get(name) != value},
            removed=sorted(before.keys() - after.keys()),
        )
    ]


def _components(gateway: Gateway, report: Report) -> None:
    """A message with the hash alone keeps the list that is known under it (conformance item 141)."""
    digest = report.message.available_components.hash
    if digest and digest != gateway.components_hash:
        gateway.components_hash = digest
        gateway.dirty |= Dirty.REST


def _health(gateway: Gateway, report: Report) -> Sequence[Effect]:
    health: opamp_pb2.ComponentHealth = report.message.health
    before = (gateway.healthy, gateway.last_error)
    if gateway.healthy != health.healthy:
        gateway.health_since = report.received_at
    gateway.health = health.SerializeToString()
    gateway.healthy = health.healthy
    gateway.health_status = health.status
    gateway.last_error = health.last_error
    gateway.started_at = opamp.time_of(health.start_time_unix_nano)
    gateway.dirty |= Dirty.HEALTH
    if before == (health.healthy, health.last_error):
        return []
    return [
        facts.AgentHealthChanged(
            instance_uid=str(gateway.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(report.received_at),
            healthy=health.healthy,
            status=health.status,
            last_error=health.last_error,
        )
    ]
