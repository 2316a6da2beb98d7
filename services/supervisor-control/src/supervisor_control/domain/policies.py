"""Policies and what they make of an agent's connection settings: pure decisions.

An offer of own telemetry restarts the collector if it differs from the one before, and only then (opampsupervisor
v0.149.0 compares the composed configuration). So what an agent was offered is kept by its hash, and the same hash is
offered once to a process. A new process of the supervisor is offered it again: it has forgotten the heartbeat interval,
which is not stored, and all of it if its storage was lost; where own telemetry is stored, the same again does nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from flowgate.uplink.v1 import desired_pb2
from flowkit.errors import InvalidError
from flowkit.outbox import Desired
from opamp.v1.opamp_pb2 import AgentCapabilities
from supervisor_control.domain.supervisors import Supervisor

REPORTS_LOGS: int = AgentCapabilities.AgentCapabilities_ReportsOwnLogs
REPORTS_METRICS: int = AgentCapabilities.AgentCapabilities_ReportsOwnMetrics
REPORTS_TRACES: int = AgentCapabilities.AgentCapabilities_ReportsOwnTraces
REPORTS_HEARTBEAT: int = AgentCapabilities.AgentCapabilities_ReportsHeartbeat
OWN_TELEMETRY = REPORTS_LOGS | REPORTS_METRICS | REPORTS_TRACES
OFFERABLE = OWN_TELEMETRY | REPORTS_HEARTBEAT

FACET = "connection"
DEFAULT = "default"
MAX_HEARTBEAT_SECONDS = 3600
USUAL_HEARTBEAT_SECONDS = 30  # OpAMP's default, for agents whose policy no longer says anything
MAX_SELECTOR_LABELS = 16
SETTLING = timedelta(seconds=10)  # an agent that begins anew because of an offer does so within
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Policy:
    """What agents with certain labels are offered; the columns of `policies` by their names. None says nothing."""

    name: str
    selector: dict[str, str]
    updated_at: datetime
    updated_by: str
    own_logs: bool | None = None
    own_metrics: bool | None = None
    own_traces: bool | None = None
    heartbeat_interval_seconds: int | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an agent with these labels has all of the selector's."""
        return all(labels.get(key) == value for key, value in self.selector.items())


@dataclass(frozen=True)
class Connection:
    """Connection settings of one agent, as offered or to be offered.

    Attributes:
        has_own_telemetry: the triple of URLs is offered; an empty URL switches its signal off.
        own_traces_elsewhere: traces do not go to FlowGate, and have no token of it.
        heartbeat_interval_seconds: 0 offers none.
    """

    has_own_telemetry: bool = False
    own_logs_url: str = ""
    own_metrics_url: str = ""
    own_traces_url: str = ""
    own_traces_elsewhere: bool = False
    heartbeat_interval_seconds: int = 0

    @cached_property
    def _ends(self) -> tuple[bytes, bytes]:
        """The lines that are hashed, before and behind the agent's uid; the same for all agents."""
        lines = f"connection settings 2\nheartbeat {self.heartbeat_interval_seconds}".encode()
        if not self.has_own_telemetry:
            return lines, b""
        triple = "".join(f"\n{name} {url}" for name, url in zip(_SIGNALS, self.triple, strict=True))
        return lines + b"\nagent ", triple.encode()

    @property
    def triple(self) -> tuple[str, str, str]:
        """What the collector's own configuration comes from."""
        return self.own_logs_url, self.own_metrics_url, self.own_traces_url

    def digest(self, uid: UUID, credential_id: str) -> bytes:
        """SHA-256 over the settings. The agent and its enrollment token are in it, since its telemetry token is made
        from them: under new ones it needs another offer."""
        start, end = self._ends
        return hashlib.sha256(start + uid.bytes + credential_id.encode() + end if end else start).digest()

    def as_dict(self) -> dict[str, Any]:
        """For the store."""
        return asdict(self)


_SIGNALS = ("logs", "metrics", "traces")
NOTHING = Connection()


def check(policy: Policy) -> None:
    """Refuse what makes no sense.

    Raises:
        InvalidError: with what is wrong.
    """
    if not _NAME.fullmatch(policy.name):
        raise InvalidError("a policy's name has 1 to 63 lower-case letters, digits or -, no - at its ends")
    if policy.name == DEFAULT and policy.selector:
        raise InvalidError("the default policy has no selector: it is for every agent of which no other policy speaks")
    if policy.name != DEFAULT and not policy.selector:
        raise InvalidError("a policy needs a selector; what all agents get is in the default policy")
    if len(policy.selector) > MAX_SELECTOR_LABELS:
        raise InvalidError(f"{len(policy.selector)} labels in the selector; it has at most {MAX_SELECTOR_LABELS}")
    seconds = policy.heartbeat_interval_seconds
    if seconds is not None and not 1 <= seconds <= MAX_HEARTBEAT_SECONDS:
        raise InvalidError(f"heartbeat_interval_seconds is {seconds}; it can be 1 to {MAX_HEARTBEAT_SECONDS}")


def in_order(policies: Iterable[Policy]) -> list[Policy]:
    """The most particular first; among equals by name."""
    return sorted(policies, key=lambda one: (-len(one.selector), one.name))


def resolve(ordered: Sequence[Policy], labels: Mapping[str, str]) -> Policy:
    """What the policies say together on an agent with these labels.

    For each setting the first policy that matches and says something on it counts.
    """
    matching = [one for one in ordered if one.matches(labels)]

    def first(setting: str) -> Any:
        said = (getattr(one, setting) for one in matching)
        return next((value for value in said if value is not None), None)

    return Policy(
        name="",
        selector={},
        updated_at=datetime.min,
        updated_by="",
        own_logs=first("own_logs"),
        own_metrics=first("own_metrics"),
        own_traces=first("own_traces"),
        heartbeat_interval_seconds=first("heartbeat_interval_seconds"),
    )


def wanted(supervisor: Supervisor, said: Policy, base_url: str, traces_url: str = "") -> Connection | None:
    """The settings that an agent should have; None when there is nothing to offer.

    Args:
        supervisor: the agent.
        said: what the policies say on it.
        base_url: of the agent plane as agents reach it; empty when no own telemetry is offered.
        traces_url: where traces go; empty when to the agent plane too.
    """
    bits = supervisor.capabilities
    heartbeat = said.heartbeat_interval_seconds or 0
    if not heartbeat and has_heartbeat(supervisor):
        heartbeat = USUAL_HEARTBEAT_SECONDS  # an interval cannot be taken back, only set to another
    settings = Connection(heartbeat_interval_seconds=heartbeat if bits & REPORTS_HEARTBEAT else 0)
    if base_url and bits & OWN_TELEMETRY:
        base = base_url.rstrip("/")
        has_traces = said.own_traces and bits & REPORTS_TRACES
        settings = replace(
            settings,
            has_own_telemetry=True,
            own_logs_url=f"{base}/v1/logs" if said.own_logs and bits & REPORTS_LOGS else "",
            own_metrics_url=f"{base}/v1/metrics" if said.own_metrics and bits & REPORTS_METRICS else "",
            own_traces_url=(traces_url or f"{base}/v1/traces") if has_traces else "",
            own_traces_elsewhere=bool(traces_url and has_traces),
        )
    return None if settings == NOTHING else settings


def has_heartbeat(supervisor: Supervisor) -> bool:
    """Whether the agent was offered an interval."""
    return supervisor.connection is not None and bool(supervisor.connection["heartbeat_interval_seconds"])


def is_settled(supervisor: Supervisor, settings: Connection | None) -> bool:
    """Whether nothing has to be done for the agent to have these settings."""
    if settings is None:
        return supervisor.wanted_hash is None
    digest = settings.digest(supervisor.instance_uid, supervisor.credential_id)
    if digest == supervisor.connection_hash:
        return supervisor.wanted_hash is None
    return digest == supervisor.wanted_hash


def restarts(supervisor: Supervisor, settings: Connection) -> bool:
    """Whether the agent's collector restarts with these settings: its own telemetry changes."""
    if not settings.has_own_telemetry:
        return False
    if supervisor.connection is None and supervisor.connection_hash is not None:
        return True  # it has an offer that is not known any more
    return settings.triple != connection_of(supervisor).triple


def connection_of(supervisor: Supervisor) -> Connection:
    """What the agent was offered last."""
    return Connection(**supervisor.connection) if supervisor.connection else NOTHING


def converge(supervisor: Supervisor, settings: Connection | None) -> list[Desired]:
    """Change what the agent waits for so that it comes to these settings; the wish that follows, if any."""
    if is_settled(supervisor, settings):
        return []
    uid = str(supervisor.instance_uid)
    digest = settings.digest(supervisor.instance_uid, supervisor.credential_id) if settings is not None else None
    if settings is None or digest is None or digest == supervisor.connection_hash:
        supervisor.wanted_hash = supervisor.wanted_connection = None
        return [Desired(uid, FACET, None)]
    supervisor.wanted_hash, supervisor.wanted_connection = digest, settings.as_dict()
    return [wish(supervisor)]


def wish(supervisor: Supervisor) -> Desired:
    """The wish for the offer that waits."""
    assert supervisor.wanted_hash is not None and supervisor.wanted_connection is not None
    state = desired_pb2.DesiredState(
        id=f"{FACET}-{supervisor.wanted_hash.hex()[:16]}",
        connection=desired_pb2.DesiredConnection(hash=supervisor.wanted_hash, **supervisor.wanted_connection),
    )
    return Desired(str(supervisor.instance_uid), FACET, state)


def process_started(supervisor: Supervisor, at: datetime) -> None:
    """A new process of the agent speaks: it is to be offered what it has again. Not so right after an offer, since an
    agent may begin anew because of that, and again and again."""
    if supervisor.offered_at is None or at - supervisor.offered_at > SETTLING:
        supervisor.connection_hash = None


def delivered(supervisor: Supervisor, digest: bytes, at: datetime) -> list[Desired]:
    """The ingress has sent an offer: the agent has it. When it is the one that was waited for, the wish ends; when it
    is another one, the agent is compared again."""
    if digest == supervisor.connection_hash:
        return []  # told again
    supervisor.connection_hash = digest
    supervisor.offered_at = at
    if digest != supervisor.wanted_hash:
        supervisor.connection = None
        return []
    supervisor.connection = supervisor.wanted_connection
    supervisor.wanted_hash = supervisor.wanted_connection = None
    return [Desired(str(supervisor.instance_uid), FACET, None)]


def words(before: Connection, now: Connection) -> str:
    """What an offer that has gone out means, for people."""
    if now == NOTHING:
        return "connection settings were offered"
    names = [name for name, url in zip(_SIGNALS, now.triple, strict=True) if url]
    parts = [f"own telemetry: {', '.join(names) or 'off'}"] if now.has_own_telemetry else []
    if now.heartbeat_interval_seconds:
        parts.append(f"heartbeat every {now.heartbeat_interval_seconds} s")
    has_changed = now.has_own_telemetry and now.triple != before.triple
    end = "; the collector restarts for it" if has_changed else ""
    return f"connection settings were offered ({'; '.join(parts)}){end}"
