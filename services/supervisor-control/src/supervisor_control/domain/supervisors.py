"""Supervisors and commands: pure decisions."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flowgate.supervisor.v1 import events_pb2 as facts
from flowgate.uplink.v1 import desired_pb2
from flowkit import opamp
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.tracing import Traced
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import AgentCapabilities, CommandType

ACCEPTS_RESTART: int = AgentCapabilities.AgentCapabilities_AcceptsRestartCommand
KEPT = (
    ACCEPTS_RESTART
    | opamp.SUPERVISOR_BITS
    | AgentCapabilities.AgentCapabilities_ReportsOwnLogs
    | AgentCapabilities.AgentCapabilities_ReportsOwnMetrics
    | AgentCapabilities.AgentCapabilities_ReportsOwnTraces
)
_REMEMBERED = 32  # starts and crashes of each collector

STATES = {
    "pending": facts.COMMAND_STATE_PENDING,
    "delivered": facts.COMMAND_STATE_DELIVERED,
    "completed": facts.COMMAND_STATE_COMPLETED,
    "failed": facts.COMMAND_STATE_FAILED,
    "expired": facts.COMMAND_STATE_EXPIRED,
}


@dataclass
class Supervisor:
    """State of a supervisor and the collector under it; the columns of `supervisors` by their names."""

    instance_uid: UUID
    connected_at: datetime
    updated_at: datetime
    gateway_id: UUID | None = None
    capabilities: int = 0
    agent_description: bytes = b""
    collector_state: str = "starting"
    collector_started_at: datetime | None = None
    collector_starts: int = 0
    last_error: str = ""
    last_error_at: datetime | None = None
    supervisor_started_at: datetime | None = None
    supervisor_starts: int = 0
    is_connected: bool = False
    disconnect_reason: str = ""
    transport: str = ""  # websocket or http
    credential_id: str = ""  # of the enrollment token that it came with; empty until that is known
    history: dict[str, list[float]] = field(default_factory=dict)  # "starts", "crashes": seconds since 1970
    labels: dict[str, str] | None = None  # of its gateway; None until the registry told
    connection_hash: bytes | None = None
    connection: dict[str, Any] | None = None  # as `policies.Connection`
    offered_at: datetime | None = None
    wanted_hash: bytes | None = None
    wanted_connection: dict[str, Any] | None = None

    @property
    def heartbeat_seconds(self) -> int:
        """The interval that it was offered last; 0 when none was."""
        return int(self.connection["heartbeat_interval_seconds"]) if self.connection else 0

    def remember(self, what: str, at: datetime) -> None:
        """Note a start or a crash of the collector."""
        self.history = {**self.history, what: [*self.history.get(what, ()), at.timestamp()][-_REMEMBERED:]}


@dataclass(frozen=True)
class CrashLoop:
    """When a collector counts as crashing again and again: `count` crashes within `seconds`."""

    count: int = 3
    seconds: float = 600.0

    def within(self, supervisor: Supervisor, what: str, now: datetime) -> int:
        """How many "starts" or "crashes" of the collector lie in the window."""
        since = now.timestamp() - self.seconds
        return sum(1 for at in supervisor.history.get(what, ()) if at >= since)

    def is_seen(self, supervisor: Supervisor, now: datetime) -> bool:
        """Whether it goes on now. A collector that has run for longer than the usual distance of such crashes is out
        of it, though the crashes are still in the window."""
        if self.within(supervisor, "crashes", now) < self.count:
            return False
        is_quiet = now.timestamp() - supervisor.history["crashes"][-1] > self.seconds / self.count
        return not (supervisor.collector_state == "running" and is_quiet)


@dataclass(frozen=True)
class Command:
    """An order to an agent; the columns of `commands` by their names."""

    command_id: UUID
    instance_uid: UUID
    gateway_id: UUID | None
    type: str
    state: str
    collector_started_at: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    expires_at: datetime
    error: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class LogRecord:
    """What is known of an agent at a point in time; the columns of `log_records` by their names."""

    instance_uid: UUID
    timestamp: datetime
    severity: str
    source: str
    body: str
    attributes: dict[str, str] = field(default_factory=dict)


def is_kept(capabilities: int) -> bool:
    """Whether an agent with these capabilities is any business of this service."""
    return bool(capabilities & KEPT)


def collector_state(health: opamp_pb2.ComponentHealth) -> str:
    """State of the collector as its supervisor's health report tells it (recorded with opampsupervisor v0.149.0)."""
    by_status = {"StatusStarting": "starting", "StatusStopping": "stopping", "StatusStopped": "stopped"}
    if health.status in by_status:
        return by_status[health.status]
    if health.healthy:
        return "running"
    if opamp.tells_of_crash(health.last_error):
        return "crashed"
    if health.last_error or health.status:
        return "stopped" if "shutdown" in health.last_error.lower() else "unhealthy"
    return "starting"  # a bare ComponentHealth: the supervisor has not heard of its collector yet


def health_reported(
    supervisor: Supervisor, health: opamp_pb2.ComponentHealth, at: datetime, loop: CrashLoop = CrashLoop()
) -> tuple[list[Effect], list[LogRecord]]:
    """Change the supervisor by a health report; tells the facts and log records of a transition."""
    state = collector_state(health)
    started_at = opamp.time_of(health.start_time_unix_nano)
    before = (supervisor.collector_state, supervisor.last_error, supervisor.collector_started_at)
    if started_at is not None and started_at != supervisor.collector_started_at:
        supervisor.collector_starts += 1
        supervisor.collector_started_at = started_at
        supervisor.remember("starts", at)
    if state == "crashed" and (supervisor.collector_state != "crashed" or health.last_error != supervisor.last_error):
        # Each try has a process id of its own, and so words of its own.
        supervisor.remember("crashes", at)
    supervisor.collector_state = state
    if health.last_error:
        if health.last_error != supervisor.last_error:
            supervisor.last_error_at = at
        supervisor.last_error = health.last_error
    elif health.healthy:
        supervisor.last_error = ""
    supervisor.updated_at = at
    if before == (state, supervisor.last_error, supervisor.collector_started_at):
        return [], []
    record = LogRecord(
        instance_uid=supervisor.instance_uid,
        timestamp=at,
        severity="ERROR" if state in ("crashed", "unhealthy") else "INFO",
        source="supervisor",
        body=health.last_error or f"collector is {state}",
        attributes={"event": "health", "collector_state": state, "status": health.status},
    )
    return [status_of(supervisor, loop)], [record]


def status_of(supervisor: Supervisor, loop: CrashLoop) -> facts.SupervisorStatusChanged:
    """The fact that a supervisor is in its state now."""
    return facts.SupervisorStatusChanged(
        instance_uid=str(supervisor.instance_uid),
        gateway_id=str(supervisor.gateway_id or ""),
        occurred_at=timestamp(supervisor.updated_at),
        collector_state=supervisor.collector_state,
        collector_started_at=timestamp(supervisor.collector_started_at),
        collector_starts=supervisor.collector_starts,
        last_error=supervisor.last_error,
        recent_crashes=loop.within(supervisor, "crashes", supervisor.updated_at),
        is_crash_looping=loop.is_seen(supervisor, supervisor.updated_at),
    )


def patience(supervisor: Supervisor | None, usual: timedelta) -> timedelta:
    """How long to wait for an agent to come: one that polls may have been told to do so seldom."""
    if supervisor is None or supervisor.transport != "http":
        return usual
    return max(usual, timedelta(seconds=3 * supervisor.heartbeat_seconds))


def begin(command: Command) -> list[Effect]:
    """A new command: the wish for the agent and the fact for the others."""
    wish = desired_pb2.DesiredState(
        id=str(command.command_id),
        traceparent=command.traceparent,
        expires_at_unix_nano=int(command.expires_at.timestamp() * 1e9),
        command=desired_pb2.DesiredCommand(type=CommandType.CommandType_Restart),
    )
    return [Desired(str(command.instance_uid), "command", wish), _fact(command, "")]


def moved(command: Command, state: str, error: str, at: datetime) -> tuple[Command, list[Effect], LogRecord]:
    """The command in another state, with what follows. The ingress takes the wish away before it sends; here it is
    taken away when nobody came for it."""
    changed = replace(command, state=state, error=error, updated_at=at)
    fact = _fact(changed, command.state)
    effects: list[Effect] = [fact]
    if command.traceparent:
        effects = [Traced(fact, command.traceparent, f"{command.type} {state}", command.updated_at, at)]
    if command.state == "pending" and state != "delivered":
        effects.insert(0, Desired(str(command.instance_uid), "command", None))
    return changed, effects, record_of(changed)


def record_of(command: Command) -> LogRecord:
    """The log record of a command in its state."""
    words = {
        "pending": "was requested",
        "delivered": "was delivered",
        "completed": "is done: the collector reports a new start time and is healthy",
        "failed": "failed",
        "expired": "expired",
    }
    return LogRecord(
        instance_uid=command.instance_uid,
        timestamp=command.updated_at,
        severity="ERROR" if command.state == "failed" else "WARN" if command.state == "expired" else "INFO",
        source="flowgate",
        body=f"{command.type} {words[command.state]}" + (f": {command.error}" if command.error else ""),
        attributes={"event": "command", "command_id": str(command.command_id), "state": command.state},
    )


def delivered(command: Command, supervisor: Supervisor | None, traceparent: str = "") -> Command:
    """The command as it goes out: only a start of the collector after this one tells that it was done. One before it,
    such as by an offer of own telemetry, does not."""
    if traceparent:
        command = replace(command, traceparent=traceparent)
    if supervisor is None:
        return command
    return replace(command, collector_started_at=supervisor.collector_started_at)


def outcome(command: Command, supervisor: Supervisor) -> tuple[str, str] | None:
    """State and error of a delivered command that the supervisor's state settles; None while it is open."""
    if command.state != "delivered":
        return None
    if supervisor.collector_state == "crashed":
        return "failed", supervisor.last_error
    if _has_restarted(command, supervisor) and supervisor.collector_state == "running":
        return "completed", ""
    return None


def overdue(command: Command, supervisor: Supervisor | None, patience: timedelta) -> tuple[str, str]:
    """State and error of a command whose time is over: nobody came for it, nothing was seen of it, or the collector
    started and is not healthy."""
    if command.state == "pending":
        if supervisor is not None and _has_restarted(command, supervisor):
            return "expired", "the collector has started again since, but it is not known whether because of this"
        return "expired", "the agent did not come for it in time"
    within = f"within {patience.total_seconds():g} s"
    if supervisor is not None and _has_restarted(command, supervisor):
        why = supervisor.last_error or f"its state is {supervisor.collector_state}"
        return "failed", f"the collector started again, but was not healthy {within}: {why}"
    return "expired", f"no new start of the collector was seen {within}"


def _has_restarted(command: Command, supervisor: Supervisor) -> bool:
    started_at = supervisor.collector_started_at
    return started_at is not None and started_at != command.collector_started_at


def _fact(command: Command, previous_state: str) -> facts.CommandStateChanged:
    return facts.CommandStateChanged(
        instance_uid=str(command.instance_uid),
        gateway_id=str(command.gateway_id or ""),
        occurred_at=timestamp(command.updated_at),
        command_id=str(command.command_id),
        type=command.type,
        state=STATES[command.state],
        previous_state=STATES.get(previous_state, facts.COMMAND_STATE_UNSPECIFIED),
        error=command.error,
    )
