"""Why an agent does not do well: what the owners know of it, joined into a short explanation, probable cause first.

Pure: everything comes in by `Known`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from google.protobuf.message import DecodeError

from api_gateway.collector_words import Cause, explain, is_harmless, quote
from api_gateway.schemas.gateway import status_of
from api_gateway.schemas.status import DISCONNECT_REASONS
from flowgate.config.v1.events_pb2 import DELIVERY_STATE_FAILED
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.supervisor.v1.events_pb2 import COMMAND_STATE_EXPIRED, COMMAND_STATE_FAILED
from flowkit.opamp import moment
from flowkit.tokens import redact
from opamp.v1 import opamp_pb2

State = Literal["ok", "attention", "failing", "gone"]
Severity = Literal["critical", "warning", "info"]
RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}

RECENT = timedelta(minutes=15)  # an error in the logs that is older is no matter of now
SILENT = timedelta(minutes=5)  # metrics come every minute
ON_THE_WAY = timedelta(seconds=30)  # by then the logs of a failure have come
BEFORE = timedelta(hours=6)  # changes that are older have not done it
MAX_CHANGES = 5
MAX_EVIDENCE = 4
_CHANGES = ("config", "connection", "command", "operation", "disconnected")


@dataclass(frozen=True)
class Record:
    """A log record, of either source or of FlowGate."""

    timestamp: datetime
    is_error: bool
    source: str
    body: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Evidence:
    """What a statement rests on: who said it, when, its words, and where the API has it."""

    source: str
    timestamp: datetime | None
    text: str
    link: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    statement: str
    severity: Severity
    what_to_do: str
    evidence: Sequence[Evidence]
    component: str | None = None
    config_key: str | None = None
    is_probable: bool = False


@dataclass(frozen=True)
class Change:
    """What changed before."""

    timestamp: datetime
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """An explanation."""

    state: State
    summary: str
    findings: Sequence[Finding]
    changes_before: Sequence[Change]


@dataclass
class Known:
    """What the owners know of an agent; None where one did not answer or knows nothing."""

    detail: registry.GatewayDetail
    config: configs.GetAgentConfigResponse | None
    supervisor: supervisors.Supervisor | None
    records: Sequence[Record]
    now: datetime
    errors: list[Record] = field(init=False)

    def __post_init__(self) -> None:
        self.records = sorted(self.records, key=lambda one: one.timestamp, reverse=True)
        since = self.now - RECENT
        self.errors = [one for one in self.records if one.is_error and one.timestamp >= since]

    @property
    def gateway(self) -> registry.Gateway:
        """What the registry says of it."""
        return self.detail.gateway

    @property
    def is_gone(self) -> bool:
        """Whether it is offline."""
        return status_of(self.gateway) == "offline"

    @property
    def failed_order_at(self) -> datetime | None:
        """When the configuration was ordered that has failed; None when none has."""
        if self.config is None or self.config.delivery.state != DELIVERY_STATE_FAILED:
            return None
        return moment(self.config.delivery.created_at)

    def link(self, part: str) -> str:
        """Where the API has a part of it."""
        if part in ("status", "logs"):
            return f"/api/v1/supervisor/agents/{self.gateway.instance_id}/{part}"
        return f"/api/v1/gateways/{self.gateway.gateway_id}/{part}"


def diagnose(known: Known) -> Diagnosis:
    """The explanation of how an agent does."""
    findings = [*_config(known), *_crashing(known), *_unhealthy(known)]
    findings += [*_command(known), *_silent(known), *_telemetry(known)]
    if not findings:
        findings += _errors(known)
    findings.sort(key=lambda one: RANK[one.severity])  # stable: the order above counts within a rank
    findings = [*_gone(known), *findings]
    if findings:
        findings[0] = replace(findings[0], is_probable=True)
    state: State
    if known.is_gone:
        state = "gone"
    elif any(one.severity == "critical" for one in findings):
        state = "failing"
    else:
        state = "attention" if any(one.severity == "warning" for one in findings) else "ok"
    changes = _changes(known, _onset(findings, known.now)) if state != "ok" else []
    return Diagnosis(state, _summary(known, state, findings), findings, changes)


# --- cases, the one that explains most first


def _gone(known: Known) -> Iterator[Finding]:
    """The agent went away: with a goodbye or without."""
    if not known.is_gone:
        return
    gateway, reason = known.gateway, known.detail.disconnect_reason
    at = moment(gateway.disconnected_at) if gateway.HasField("disconnected_at") else None
    text = DISCONNECT_REASONS.get(reason, "the connection ended")
    evidence = [Evidence("agent-registry", at, text, known.link("status"))]
    if gateway.last_error and "shutdown" not in gateway.last_error.lower():
        evidence.append(_health_evidence(known))
    if reason == "agent":
        yield Finding(
            "The agent said goodbye: it was stopped, or moved to another server.",
            "warning",
            "If nobody meant to, look at who stopped its service on the host; start it again there.",
            evidence,
        )
        return
    yield Finding(
        f"The agent is gone without a goodbye: {text}.",
        "critical",
        "Look whether the host is up, whether the process runs there, and whether it reaches the agent plane. A"
        " supervisor that was killed leaves its collector behind, which keeps its ports.",
        evidence,
    )


def _config(known: Known) -> Iterator[Finding]:
    """The configuration that it should run with has failed."""
    if known.config is None or known.config.delivery.state != DELIVERY_STATE_FAILED:
        return
    delivery = known.config.delivery
    at = moment(delivery.updated_at)
    evidence = [
        Evidence("config-push", at, redact(quote(delivery.error)), f"/api/v1/deliveries/{delivery.delivery_id}")
    ]
    cause = explain(delivery.error)
    if cause is None or not (cause.component or cause.config_key):
        cause, more = _from_logs(known, at) or (cause, [])
        evidence += more
    is_refused = _is_refused(delivery.error)
    what = "was refused" if is_refused else "failed"
    after = (
        " Its collector runs on with the one before; at a restart of the supervisor it would be used all the same, so"
        " push a good one."
        if is_refused
        else " The supervisor does not go back to the one before by itself: push a good one."
    )
    because = cause.statement if cause is not None else f"the agent says: {redact(quote(delivery.error))}"
    yield _finding(
        f"The configuration {delivery.config_hash[:12]} {what}: {because}",
        "warning" if is_refused or known.gateway.healthy else "critical",
        (cause.what_to_do if cause is not None else "See the logs of supervisor and collector.") + after,
        evidence,
        cause,
    )


def _is_refused(error: str) -> bool:
    """Whether the collector was never stopped for it: the supervisor validated first, or could not read it."""
    return "validation failed" in error or error.startswith("yaml:")


def _crashing(known: Known) -> Iterator[Finding]:
    """The collector crashes."""
    one = known.supervisor
    if one is None or known.is_gone or not (one.is_crash_looping or one.collector_state == "crashed"):
        return
    at = moment(one.last_error_at) if one.HasField("last_error_at") else None
    evidence = [Evidence("supervisor-control", at, redact(quote(one.last_error)), known.link("status"))]
    cause = None
    failed = known.config is not None and known.config.delivery.state == DELIVERY_STATE_FAILED
    if (found := _from_logs(known, at)) is not None:
        cause, more = found
        evidence += more
    elif failed and known.config is not None:
        cause = explain(known.config.delivery.error)
    cause = cause or explain(one.last_error)
    minutes = one.crash_window_seconds // 60
    again = f" {one.recent_crashes} times within {minutes} minutes" if one.is_crash_looping else ""
    because = f": {cause.statement}" if cause is not None else "."
    todo = cause.what_to_do if cause is not None else "See the logs of supervisor and collector."
    yield _finding(f"The collector crashed{again}{because}", "critical", todo, evidence, cause)


def _unhealthy(known: Known) -> Iterator[Finding]:
    """It is connected and not healthy: parts of it, or all of it, perhaps since ever."""
    gateway = known.gateway
    if known.is_gone or not gateway.HasField("healthy") or gateway.healthy:
        return
    parts = list(_ill_parts(_health(known.detail)))
    at = moment(gateway.health_since) if gateway.HasField("health_since") else None
    for path, part in parts[:MAX_EVIDENCE]:
        cause = explain(part.last_error)
        words = part.last_error or part.status or "not healthy"
        name = path[-1]
        where = f" in {path[-2]}" if len(path) > 1 else ""
        because = cause.statement if cause is not None else redact(quote(words))
        kind, _, plain = name.partition(":")
        yield Finding(
            f"{name}{where} is not healthy: {because}",
            "critical",
            cause.what_to_do if cause is not None else "See the collector's logs on it.",
            [Evidence("agent-registry", at, f"{' / '.join(path)}: {redact(quote(words))}", known.link("health"))],
            (cause.component if cause is not None else None) or (name if plain else None),
            (cause.config_key if cause is not None else None) or (f"{kind}s.{plain}" if plain else None),
        )
    one = known.supervisor
    if parts or (one is not None and (one.is_crash_looping or one.collector_state == "crashed")):
        return
    is_moving = one is not None and one.collector_state in ("starting", "stopping") and not one.last_error
    if is_moving and at is not None and known.now - at < timedelta(minutes=1):
        return  # it is about to be
    never = one is not None and not one.collector_starts
    cause = explain(gateway.last_error)
    evidence = [_health_evidence(known)]
    if cause is None and (found := _from_logs(known, at)) is not None:
        cause, more = found
        evidence += more
    statement = "The collector has not been healthy since it is known" if never else "The agent is not healthy"
    words = gateway.last_error or gateway.health_status
    because = cause.statement if cause is not None else redact(quote(words)) or "it does not say why."
    todo = cause.what_to_do if cause is not None else "See the logs of supervisor and collector."
    yield _finding(f"{statement}: {because}", "critical", todo, evidence, cause)


def _command(known: Known) -> Iterator[Finding]:
    """The latest restart came to nothing."""
    one = known.supervisor
    if one is None or not one.HasField("command"):
        return
    command, at = one.command, moment(one.command.updated_at)
    if command.state not in (COMMAND_STATE_FAILED, COMMAND_STATE_EXPIRED) or known.now - at > timedelta(hours=1):
        return
    yield Finding(
        f"The last {command.type} came to nothing: {redact(quote(command.error))}.",
        "info",
        "Order it again when the agent is there and well.",
        [Evidence("supervisor-control", at, redact(quote(command.error)), f"/api/v1/commands/{command.command_id}")],
    )


def _silent(known: Known) -> Iterator[Finding]:
    """It is connected and says nothing."""
    if status_of(known.gateway) != "stale":
        return
    at = moment(known.gateway.last_seen_at)
    yield Finding(
        "The agent is connected, but was not heard of for longer than it should be.",
        "warning",
        "Look whether its process hangs or its network loses packets; a heartbeat interval is set by a policy.",
        [Evidence("agent-registry", at, "last heard of", known.link("status"))],
    )


def _telemetry(known: Known) -> Iterator[Finding]:
    """Own telemetry was offered and does not come."""
    one = known.supervisor
    if one is None or known.is_gone or one.collector_state != "running" or not one.HasField("connection_settings"):
        return
    settings = one.connection_settings
    if settings.state != "offered" or not settings.own_metrics or not settings.HasField("offered_at"):
        return
    began = max(moment(settings.offered_at), moment(one.collector_started_at))
    last = moment(settings.last_received_at) if settings.HasField("last_received_at") else None
    if known.now - max(began, last or began) < SILENT:
        return
    words = "the last came then" if last else "none has come"
    yield Finding(
        "The collector should send its own telemetry, and none comes.",
        "warning",
        "Look whether the collector's host reaches the agent plane by HTTP, and whether its own configuration switches"
        " telemetry off (service.telemetry.metrics.level: none).",
        [Evidence("supervisor-control", last or began, f"own telemetry was offered; {words}", known.link("status"))],
        config_key="service.telemetry",
    )


def _errors(known: Known) -> Iterator[Finding]:
    """Nothing else is wrong, but it tells of errors."""
    seen: set[str] = set()
    for one in known.errors:
        if one.source == "flowgate" or is_harmless(one.body, one.attributes):
            continue
        cause = explain(one.body, one.attributes)
        statement = cause.statement if cause is not None else f"The {one.source} tells of an error: {quote(one.body)}"
        statement = redact(statement)
        if statement in seen or len(seen) >= 3:
            continue
        seen.add(statement)
        todo = cause.what_to_do if cause is not None else "See its logs."
        yield _finding(statement, "warning", todo, [_record_evidence(known, one)], cause)


# --- parts


def _finding(
    statement: str, severity: Severity, what_to_do: str, evidence: Sequence[Evidence], cause: Cause | None
) -> Finding:
    component = cause.component if cause is not None else None
    key = cause.config_key if cause is not None else None
    return Finding(redact(statement), severity, what_to_do, evidence[:MAX_EVIDENCE], component, key)


def _from_logs(known: Known, at: datetime | None) -> tuple[Cause, list[Evidence]] | None:
    """What the logs of supervisor and collector say around that time; what names a component or key counts first.

    What they said before the configuration was ordered is about another one, and counts only where nothing newer comes:
    the clock of the agent's host may be behind.
    """
    around = [
        one
        for one in known.records
        if one.source != "flowgate"
        and one.is_error
        and (at is None or at - RECENT <= one.timestamp <= at + timedelta(minutes=2))
    ]
    if (ordered_at := known.failed_order_at) is not None:
        own = [one for one in around if one.timestamp >= ordered_at]
        is_early = at is not None and known.now - at < ON_THE_WAY
        around = own if own or is_early else around
    told = [(cause, one) for one in around if (cause := explain(one.body, one.attributes)) is not None]
    if not told:
        return None
    cause, one = min(told, key=lambda item: item[0].component is None and item[0].config_key is None)
    return cause, [_record_evidence(known, one)]


def _record_evidence(known: Known, one: Record) -> Evidence:
    error = one.attributes.get("error", "")
    text = f"{one.body}: {error}" if error and error not in one.body else one.body
    return Evidence(one.source, one.timestamp, redact(quote(text)), known.link("logs"))


def _health_evidence(known: Known) -> Evidence:
    gateway = known.gateway
    at = moment(gateway.health_since) if gateway.HasField("health_since") else None
    words = gateway.last_error or gateway.health_status or "not healthy"
    return Evidence("agent-registry", at, redact(quote(words)), known.link("health"))


def _health(detail: registry.GatewayDetail) -> opamp_pb2.ComponentHealth:
    try:
        return opamp_pb2.ComponentHealth.FromString(detail.health)
    except DecodeError:
        return opamp_pb2.ComponentHealth()


def _ill_parts(
    health: opamp_pb2.ComponentHealth, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], opamp_pb2.ComponentHealth]]:
    """The innermost parts that are not healthy, by path; a part that only starts is not ill."""
    below = [
        found for name, part in sorted(health.component_health_map.items()) for found in _ill_parts(part, (*path, name))
    ]
    if below:
        yield from below
    elif path and not health.healthy and health.status not in ("StatusStarting", "StatusStopping", "StatusStopped"):
        yield path, health


def _onset(findings: Sequence[Finding], now: datetime) -> datetime:
    times = [one.timestamp for finding in findings[:1] for one in finding.evidence if one.timestamp is not None]
    return max(times, default=now)


def _changes(known: Known, onset: datetime) -> list[Change]:
    """What changed before, the latest first."""
    return [
        Change(one.timestamp, redact(quote(one.body)))
        for one in known.records
        if one.source == "flowgate"
        and one.attributes.get("event") in _CHANGES
        and onset - BEFORE <= one.timestamp <= onset + timedelta(seconds=1)
    ][:MAX_CHANGES]


def _summary(known: Known, state: State, findings: Sequence[Finding]) -> str:
    name = known.gateway.name or known.gateway.instance_id
    if not findings:
        health = "healthy" if known.gateway.HasField("healthy") else "connected; it does not report its health"
        return f"{name} is {health}: nothing is wrong as far as FlowGate knows."
    words = {"gone": "is offline", "failing": "fails", "attention": "needs attention", "ok": "is well"}[state]
    more = f" ({len(findings) - 1} more below.)" if len(findings) > 1 else ""
    return f"{name} {words}. {findings[0].statement}{more}"
