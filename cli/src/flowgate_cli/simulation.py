"""An agent as the wire sees it, opampsupervisor or opampextension, as a pure state machine.

No I/O and no clock: `receive` takes a ServerToAgent and the time, `next_message` gives the AgentToServer that is due,
`next_due` says when there may be one without anything happening. What changes while nobody can be told is coalesced
into the next message, as in the real ones (B1, B2, … cite the sections of
the observations that it follows, made of v0.149.0). Times are seconds since 1970.
"""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal
from uuid import UUID

from flowgate_cli import simulated_config
from flowgate_cli.simulated_config import UID_PLACE, Composed, Telemetry
from opamp.v1 import anyvalue_pb2, opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses, ServerToAgentFlags

Mode = Literal["supervisor", "extension"]

SUPERVISOR_CAPABILITIES = 0x7DE7  # B1: all keys on
EXTENSION_CAPABILITIES = 0x4805
ACCEPTS_REMOTE_CONFIG = 0x2
ACCEPTS_OPAMP_CONNECTION_SETTINGS = 0x100
ACCEPTS_RESTART_COMMAND = 0x400

START_SECONDS = 0.25  # from the start of a collector to its being healthy
STOP_SECONDS = 0.05
CRASH_SECONDS = 0.4  # from the start of a collector with a bad configuration to its end
RETRY_SECONDS = 5.0  # until a crashed collector is tried again
VALIDATE_SECONDS = 0.14
EMPTY_CONFIG_SECONDS = 0.015
CONNECT_SECONDS = 0.1  # from the start of a supervisor to the start of its collector

DESCRIPTION, HEALTH, CONFIG, CONFIG_STATUS = "agent_description", "health", "effective_config", "remote_config_status"
PACKAGES, COMPONENTS = "package_statuses", "available_components"
ALL_FIELDS = frozenset({DESCRIPTION, HEALTH, CONFIG, CONFIG_STATUS, PACKAGES, COMPONENTS})


@dataclass(frozen=True)
class Profile:
    """Who the agent is and how it is set up.

    Attributes:
        uid: instance_uid, 16 bytes.
        mode: what speaks OpAMP.
        apply_seconds: config_apply_timeout of the supervisor: APPLIED comes that long after APPLYING.
        validates: whether the supervisor asks the collector before it stops the running one (validate_config).
        heartbeat_seconds: 0 means no heartbeats.
    """

    uid: bytes
    mode: Mode = "supervisor"
    service_name: str = "otelcol-contrib"
    version: str = "0.149.0"
    host_name: str = "host"
    attributes: dict[str, str] = field(default_factory=dict)
    apply_seconds: float = 1.0
    validates: bool = True
    heartbeat_seconds: float = 30.0

    @property
    def capabilities(self) -> int:
        """Bits that the agent reports."""
        return SUPERVISOR_CAPABILITIES if self.mode == "supervisor" else EXTENSION_CAPABILITIES


@dataclass(frozen=True)
class Redirect:
    """The server sent the agent elsewhere: a new connection with these headers only."""

    endpoint: str
    headers: tuple[tuple[str, str], ...]


class SimulatedAgent:
    """One agent, from the start of its process to its end."""

    def __init__(self, profile: Profile, now: float) -> None:
        self.profile = profile
        self.uid = profile.uid
        self.redirect: Redirect | None = None
        self.collector_starts = 0
        self._described_id = str(UUID(bytes=profile.uid))  # B4: the description keeps the first id
        self._sequence = 0
        self._dirty: set[str] = set(ALL_FIELDS)
        self._full_components = False
        self._must_speak = True
        self._says_goodbye = False
        self._heartbeat_seconds = profile.heartbeat_seconds
        self._last_sent_at = now
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        self._generation = 0  # of the collector; timers of an older one are void
        self._health = opamp_pb2.ComponentHealth()
        self._bodies: tuple[bytes, ...] = ()
        self._telemetry = Telemetry()
        self._effective = ""
        self._applying: bytes | None = None
        self._status = opamp_pb2.RemoteConfigStatus()
        self._server_hash = b""
        # The supervisor speaks before its collector runs (seq 0 has an empty health); the extension is inside it.
        if profile.mode == "supervisor":
            self._after_unless_stopped(CONNECT_SECONDS, now, self._start_collector)
        else:
            self._start_collector(now)

    @property
    def own_telemetry(self) -> Telemetry:
        """Where its collector sends its own telemetry."""
        return self._telemetry

    @property
    def is_running(self) -> bool:
        """Whether its collector runs and is healthy."""
        return bool(self._health.healthy and self._health.start_time_unix_nano)

    # --- what the transport calls

    def connected(self) -> None:
        """A connection is up: its first message goes out even when nothing has changed."""
        self._must_speak = True

    def next_message(self, now: float) -> opamp_pb2.AgentToServer | None:
        """The message to send now; None when there is nothing to say yet. Ask again until then."""
        self._run_timers(now)
        due = self._heartbeat_seconds and now - self._last_sent_at >= self._heartbeat_seconds
        if not (self._dirty or self._must_speak or self._says_goodbye or due):
            return None
        message = opamp_pb2.AgentToServer(
            instance_uid=self.uid, sequence_num=self._sequence, capabilities=self.profile.capabilities
        )
        self._fill(message)
        self._sequence += 1
        self._dirty.clear()
        self._full_components = self._must_speak = self._says_goodbye = False
        self._last_sent_at = now
        return message

    def next_due(self) -> float:
        """When `next_message` may have something without anything happening before; seconds since 1970."""
        moments = [self._timers[0][0]] if self._timers else []
        if self._heartbeat_seconds:
            moments.append(self._last_sent_at + self._heartbeat_seconds)
        return min(moments, default=float("inf"))

    def receive(self, message: opamp_pb2.ServerToAgent, now: float) -> None:
        """Take what the server sent."""
        self._run_timers(now)
        if message.HasField("error_response"):
            return  # B4: logged only
        if message.HasField("command"):
            if self.profile.capabilities & ACCEPTS_RESTART_COMMAND:
                self._restart_collector(now)
            return  # B4: other fields of the same message are ignored
        if message.flags & ServerToAgentFlags.ServerToAgentFlags_ReportFullState:
            self._dirty |= ALL_FIELDS
            self._full_components = True
        if message.flags & ServerToAgentFlags.ServerToAgentFlags_ReportAvailableComponents:
            self._dirty.add(COMPONENTS)
            self._full_components = True
        if message.HasField("agent_identification"):
            self._rename(message.agent_identification.new_instance_uid, now)
        if message.HasField("connection_settings"):
            self._take_connection_settings(message.connection_settings, now)
        if message.HasField("remote_config") and self.profile.capabilities & ACCEPTS_REMOTE_CONFIG:
            self._take_config(message.remote_config, now)

    def report_health(self, now: float) -> None:
        """Report the health once more, with a new status time: a stream of reports, for load."""
        self._health.status_time_unix_nano = _nano(now)
        self._dirty.add(HEALTH)

    def goodbye(self, now: float, *, says_so: bool) -> None:
        """The process ends: the next message is the last one; on WebSocket it says so (B4: on HTTP it does not)."""
        self._generation += 1
        self._timers.clear()
        stopped = "Supervisor is shutdown" if self.profile.mode == "supervisor" and says_so else ""
        self._set_health(status="StatusStopping", error=stopped, now=now)
        self._says_goodbye = says_so

    def leave(self) -> None:
        """The connection ends, not the agent: the next message is the last one on it."""
        self._says_goodbye = True

    def redirected(self) -> None:
        """The new connection begins: the client was restarted, its numbers start at 0 (B5)."""
        self.redirect = None
        self._sequence = 0
        self._dirty |= ALL_FIELDS

    # --- messages

    def _fill(self, message: opamp_pb2.AgentToServer) -> None:
        if DESCRIPTION in self._dirty:
            message.agent_description.CopyFrom(self._description())
        if HEALTH in self._dirty:
            message.health.CopyFrom(self._health)
        if CONFIG in self._dirty:
            file = message.effective_config.config_map.config_map[""]
            file.body = self._effective.encode()
            if self.profile.mode == "extension":  # B2
                file.content_type = "text/yaml"
        if CONFIG_STATUS in self._dirty:
            message.remote_config_status.CopyFrom(self._status)
        if PACKAGES in self._dirty:
            message.package_statuses.SetInParent()
        if COMPONENTS in self._dirty:
            if self._full_components:
                message.available_components.CopyFrom(simulated_config.available_components())
            else:
                message.available_components.hash = simulated_config.components_hash()
        if self._says_goodbye:
            message.agent_disconnect.SetInParent()

    def _description(self) -> opamp_pb2.AgentDescription:
        identity = {
            "service.instance.id": self._described_id,
            "service.name": self.profile.service_name,
            "service.version": self.profile.version,
        }
        more = {
            **self.profile.attributes,
            "host.arch": "amd64",
            "host.name": self.profile.host_name,
            "os.description": "Debian GNU/Linux 13 (trixie)",
            "os.type": "linux",
        }
        return opamp_pb2.AgentDescription(
            identifying_attributes=_attributes(identity), non_identifying_attributes=_attributes(more)
        )

    # --- configuration

    def _take_config(self, config: opamp_pb2.AgentRemoteConfig, now: float) -> None:
        if config.config_hash and config.config_hash == self._server_hash:
            return  # B4: the same again changes nothing
        self._server_hash = config_hash = config.config_hash
        self._applying = None
        named = sorted(config.config.config_map.items(), key=lambda item: (item[0] == "", item[0]))
        bodies = tuple(file.body for _, file in named)
        error = next(filter(None, map(simulated_config.parse_error, bodies)), "")
        if error:
            self._report(config_hash, RemoteConfigStatuses.RemoteConfigStatuses_FAILED, error)
            return
        composed = simulated_config.compose(bodies, self._telemetry, True)
        if bodies and composed.error and self.profile.validates:
            self._after(VALIDATE_SECONDS, now, lambda _: self._refuse(config_hash, composed.error))
            return
        self._report(config_hash, RemoteConfigStatuses.RemoteConfigStatuses_APPLYING)
        self._dirty.add(CONFIG)  # B4: APPLYING comes with the old effective config
        self._applying = config_hash
        if bodies:
            self._bodies = bodies
            self._after(self.profile.apply_seconds, now, lambda _: self._applied(config_hash))
            self._restart_collector(now)
        else:  # B4: the collector is stopped and counts as healthy, the effective config stays
            self._generation += 1
            self._set_health(healthy=True, now=now)
            self._after(EMPTY_CONFIG_SECONDS, now, lambda _: self._applied(config_hash))

    def _applied(self, config_hash: bytes) -> None:
        if self._applying == config_hash:
            self._applying = None
            self._report(config_hash, RemoteConfigStatuses.RemoteConfigStatuses_APPLIED)

    def _refuse(self, config_hash: bytes, error: str) -> None:
        if self._server_hash == config_hash:
            text = f"Error: failed to validate config: {error}\nexit status 1"
            self._report(config_hash, RemoteConfigStatuses.RemoteConfigStatuses_FAILED, text)

    def _report(self, config_hash: bytes, status: RemoteConfigStatuses, error: str = "") -> None:
        if config_hash:  # B4: without a hash no status is ever sent
            self._status = opamp_pb2.RemoteConfigStatus(
                last_remote_config_hash=config_hash, status=status, error_message=error
            )
            self._dirty.add(CONFIG_STATUS)

    # --- the collector

    def _compose(self) -> Composed:
        return simulated_config.compose(self._bodies, self._telemetry, self.profile.mode == "supervisor")

    def _restart_collector(self, now: float) -> None:
        self._generation += 1
        self._set_health(status="StatusStopping", now=now)
        self._after_unless_stopped(STOP_SECONDS, now, self._start_collector)

    def _start_collector(self, now: float) -> None:
        self.collector_starts += 1
        composed = self._compose()
        if composed.error:
            self._after_unless_stopped(CRASH_SECONDS, now, self._crash)
            return
        self._set_health(status="StatusStarting", now=now)
        self._effective = composed.text.replace(UID_PLACE, str(UUID(bytes=self.uid)))
        self._dirty.add(CONFIG)
        self._after_unless_stopped(START_SECONDS, now, lambda at: self._running(composed, now, at))

    def _running(self, composed: Composed, started_at: float, now: float) -> None:
        nano = _nano(started_at)
        self._set_health(healthy=True, status="StatusOK", now=now)
        self._health.start_time_unix_nano = nano
        for name, part in simulated_config.health_parts(composed, nano, _nano(now)).items():
            self._health.component_health_map[name].CopyFrom(part)

    def _crash(self, now: float) -> None:
        pid = 1000 + int.from_bytes(hashlib.sha256(self.uid).digest()[:2], "big") + self.collector_starts
        text = f"Agent process PID={pid} exited unexpectedly, exit code=1. Will restart in a bit..."
        self._set_health(error=text, now=now)
        if self._applying is not None:
            failed, self._applying = self._applying, None
            text = "Agent exited unexpectedly with exit code 1 while applying configuration"
            self._report(failed, RemoteConfigStatuses.RemoteConfigStatuses_FAILED, text)
        self._after_unless_stopped(RETRY_SECONDS, now, self._start_collector)

    def _set_health(self, *, healthy: bool = False, status: str = "", error: str = "", now: float) -> None:
        self._health = opamp_pb2.ComponentHealth(
            healthy=healthy, status=status, last_error=error, status_time_unix_nano=_nano(now)
        )
        self._dirty.add(HEALTH)

    # --- offers

    def _take_connection_settings(self, offers: opamp_pb2.ConnectionSettingsOffers, now: float) -> None:
        if offers.HasField("opamp"):
            # B5: an offer without the field means 0 = off, whatever else it holds.
            self._heartbeat_seconds = float(offers.opamp.heartbeat_interval_seconds)
            accepts = self.profile.capabilities & ACCEPTS_OPAMP_CONNECTION_SETTINGS
            if offers.opamp.destination_endpoint and accepts:
                self.redirect = Redirect(offers.opamp.destination_endpoint, _headers(offers.opamp.headers))
        own = (offers.own_metrics, offers.own_logs, offers.own_traces)
        if self.profile.mode == "supervisor" and any(offers.HasField(f"own_{name}") for name in _OWN_SIGNALS):
            targets = [(one.destination_endpoint, _headers(one.headers)) for one in own]
            telemetry = Telemetry(*targets)  # B5: each offer replaces all three signals
            if telemetry != self._telemetry:
                self._telemetry = telemetry
                self._restart_collector(now)

    def _rename(self, uid: bytes, now: float) -> None:
        if len(uid) != 16 or uid == self.uid:
            return
        self.uid = uid
        self.profile = replace(self.profile, uid=uid)
        self._must_speak = True
        if self.profile.mode == "supervisor":
            self._dirty.add(DESCRIPTION)
            self._restart_collector(now)

    # --- timers

    def _after(self, seconds: float, now: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._timers, (now + seconds, next(self._numbers), action))

    def _after_unless_stopped(self, seconds: float, now: float, action: Callable[[float], None]) -> None:
        """Like `_after`, but void when the collector was stopped or started anew by then."""
        generation = self._generation

        def run(at: float) -> None:
            if generation == self._generation:
                action(at)

        self._after(seconds, now, run)

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            due, _, action = heapq.heappop(self._timers)
            action(due)


_OWN_SIGNALS = ("metrics", "logs", "traces")


def _headers(headers: opamp_pb2.Headers) -> tuple[tuple[str, str], ...]:
    return tuple((header.key, header.value) for header in headers.headers)


def _attributes(pairs: dict[str, str]) -> list[anyvalue_pb2.KeyValue]:
    return [
        anyvalue_pb2.KeyValue(key=key, value=anyvalue_pb2.AnyValue(string_value=value))
        for key, value in sorted(pairs.items())
    ]


def _nano(at: float) -> int:
    return int(at * 1e9)
