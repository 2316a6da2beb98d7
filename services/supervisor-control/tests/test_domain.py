"""Supervisors and commands, without any I/O."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from flowgate.supervisor.v1 import events_pb2 as facts
from flowkit.outbox import Desired
from flowkit.tracing import Traced
from opamp.v1.opamp_pb2 import ComponentHealth
from supervisor_control.domain import supervisors as domain
from supervisor_control.domain.supervisors import Command, CrashLoop, Supervisor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
START = 1_760_000_000_000_000_000


def make_supervisor() -> Supervisor:
    return Supervisor(UUID(int=1), NOW, NOW)


def make_command(**changes: object) -> Command:
    command = Command(
        command_id=UUID(int=2),
        instance_uid=UUID(int=1),
        gateway_id=None,
        type="restart",
        state="pending",
        collector_started_at=NOW,
        created_at=NOW,
        created_by="admin",
        updated_at=NOW,
        expires_at=NOW,
    )
    return replace(command, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (ComponentHealth(), "starting"),
        (ComponentHealth(status="StatusStarting", start_time_unix_nano=START), "starting"),
        (ComponentHealth(healthy=True, status="StatusOK"), "running"),
        (ComponentHealth(healthy=True), "running"),
        (ComponentHealth(status="StatusStopping"), "stopping"),
        (ComponentHealth(status="StatusStopped"), "stopped"),
        (
            ComponentHealth(
                last_error="Agent process PID=7 exited unexpectedly, exit code=1. Will restart in a bit..."
            ),
            "crashed",
        ),
        (ComponentHealth(last_error="Supervisor is shutdown"), "stopped"),
        (ComponentHealth(status="StatusRecoverableError", last_error="refused"), "unhealthy"),
    ],
)
def test_the_collectors_state_follows_from_recorded_health(health: ComponentHealth, state: str) -> None:
    """As opampsupervisor v0.149.0 reports them."""
    assert domain.collector_state(health) == state


def test_a_transition_is_told_once() -> None:
    """The same health again brings neither fact nor record."""
    supervisor = make_supervisor()
    running = ComponentHealth(healthy=True, status="StatusOK", start_time_unix_nano=START)
    effects, records = domain.health_reported(supervisor, running, NOW)
    assert isinstance(effects[0], facts.SupervisorStatusChanged)
    assert (effects[0].collector_state, records[0].body) == ("running", "collector is running")
    assert domain.health_reported(supervisor, running, NOW) == ([], [])
    assert supervisor.collector_starts == 1


def test_starts_are_counted_and_errors_kept_until_it_is_healthy() -> None:
    """A crash keeps its words while the collector starts again."""
    supervisor = make_supervisor()
    domain.health_reported(supervisor, ComponentHealth(healthy=True, start_time_unix_nano=START), NOW)
    crash = ComponentHealth(last_error="Agent process PID=7 exited unexpectedly, exit code=1.")
    _, (record,) = domain.health_reported(supervisor, crash, NOW)
    assert (record.severity, record.body) == ("ERROR", crash.last_error)
    domain.health_reported(supervisor, ComponentHealth(status="StatusStarting"), NOW)
    assert supervisor.last_error == crash.last_error
    domain.health_reported(supervisor, ComponentHealth(healthy=True, start_time_unix_nano=START + 10**9), NOW)
    assert (supervisor.last_error, supervisor.collector_starts) == ("", 2)


def test_a_delivered_restart_is_done_with_a_new_start_time_and_health() -> None:
    """Not before the collector is healthy; a crash on the way is a failure with the supervisor's words."""
    supervisor = make_supervisor()
    supervisor.collector_started_at = NOW
    supervisor.collector_state = "running"
    delivered = make_command(state="delivered")
    assert domain.outcome(delivered, supervisor) is None
    supervisor.collector_started_at = datetime(2026, 1, 2, tzinfo=UTC)
    supervisor.collector_state = "starting"
    assert domain.outcome(delivered, supervisor) is None
    supervisor.collector_state = "running"
    assert domain.outcome(delivered, supervisor) == ("completed", "")
    assert domain.outcome(make_command(state="pending"), supervisor) is None
    supervisor.collector_state, supervisor.last_error = "crashed", "exited unexpectedly"
    assert domain.outcome(delivered, supervisor) == ("failed", "exited unexpectedly")


def test_what_becomes_of_a_traced_command_goes_on_with_its_trace() -> None:
    """From the span of sending it on, when the ingress has made one."""
    command = make_command(traceparent="00-aa-bb-01")
    wish, _ = domain.begin(command)
    assert isinstance(wish, Desired) and wish.state is not None and wish.state.traceparent == "00-aa-bb-01"
    sent, (fact,), _ = domain.moved(domain.delivered(command, None, "00-aa-cc-01"), "delivered", "", NOW)
    assert isinstance(fact, Traced)
    assert (fact.traceparent, fact.span, fact.effect.state) == (
        "00-aa-cc-01",
        "restart delivered",
        facts.COMMAND_STATE_DELIVERED,
    )
    assert domain.delivered(sent, None).traceparent == "00-aa-cc-01"


def test_a_start_before_the_delivery_does_not_count() -> None:
    """An offer of own telemetry restarts the collector too."""
    supervisor = make_supervisor()
    supervisor.collector_started_at, supervisor.collector_state = datetime(2026, 1, 2, tzinfo=UTC), "running"
    sent = replace(domain.delivered(make_command(), supervisor), state="delivered")
    assert domain.outcome(sent, supervisor) is None


@pytest.mark.parametrize(
    ("state", "started", "settled"),
    [
        ("pending", NOW, ("expired", "the agent did not come for it in time")),
        ("delivered", NOW, ("expired", "no new start of the collector was seen within 60 s")),
        (
            "delivered",
            NOW + timedelta(days=1),
            ("failed", "the collector started again, but was not healthy within 60 s: refused"),
        ),
    ],
)
def test_a_command_whose_time_is_over_says_why(state: str, started: datetime, settled: tuple[str, str]) -> None:
    """Nobody came, nothing was seen, or it came up and is ill."""
    supervisor = make_supervisor()
    supervisor.collector_started_at, supervisor.last_error = started, "refused"
    assert domain.overdue(make_command(state=state), supervisor, timedelta(seconds=60)) == settled


def test_crashes_within_a_window_are_a_loop() -> None:
    """Each try has a process id of its own; a report that comes twice counts once."""
    supervisor = make_supervisor()
    loop = CrashLoop(count=3, seconds=600)
    for number in (1, 2, 2, 3):
        assert not loop.is_seen(supervisor, NOW)
        crash = ComponentHealth(last_error=f"Agent process PID={number} exited unexpectedly, exit code=1.")
        effects, _ = domain.health_reported(supervisor, crash, NOW + timedelta(seconds=5 * number), loop)
    assert isinstance(effects[0], facts.SupervisorStatusChanged)
    assert (effects[0].recent_crashes, effects[0].is_crash_looping) == (3, True)
    running = ComponentHealth(healthy=True, start_time_unix_nano=START)
    domain.health_reported(supervisor, running, NOW + timedelta(seconds=20), loop)
    assert loop.is_seen(supervisor, NOW + timedelta(seconds=30))  # it may well crash again
    assert not loop.is_seen(supervisor, NOW + timedelta(seconds=300))  # it runs for longer than it did
    assert loop.within(supervisor, "crashes", NOW + timedelta(seconds=611)) == 1


def test_a_command_nobody_came_for_is_taken_away() -> None:
    """The ingress takes the wish away before it sends, so only a pending one has to be."""
    _, effects, record = domain.moved(make_command(), "expired", "late", NOW)
    assert effects[0] == Desired(str(UUID(int=1)), "command", None)
    assert (record.severity, record.body) == ("WARN", "restart expired: late")
    _, effects, _ = domain.moved(make_command(), "delivered", "", NOW)
    assert not any(isinstance(effect, Desired) for effect in effects)


def test_a_wish_expires() -> None:
    """Item 135: an offline agent does not get it days later."""
    wish = domain.begin(make_command())[0]
    assert isinstance(wish, Desired) and wish.state is not None
    assert wish.state.expires_at_unix_nano == int(NOW.timestamp() * 1e9)
    assert wish.state.HasField("command")


@pytest.mark.parametrize(("capabilities", "kept"), [(0x4805, False), (0x4C05, True), (0x38C7, True), (0x7DE7, True)])
def test_only_what_can_be_managed_is_kept(capabilities: int, kept: bool) -> None:
    """Supervisors, and extensions that take the restart command."""
    assert domain.is_kept(capabilities) is kept
