"""supervisor-control's handlers on a real PostgreSQL, each test in a transaction that leaves nothing behind."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import supervisor_control_pb2 as rpc
from flowgate.rpc.v1 import telemetry_pb2 as telemetry_rpc
from flowgate.supervisor.v1 import events_pb2 as facts
from flowgate.uplink.v1 import telemetry_pb2, uplink_pb2
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.exports import Export
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.testing import EXTENSION, SUPERVISOR, make_description, make_report, rolled_back
from opamp.v1 import opamp_pb2
from supervisor_control.domain import policies
from supervisor_control.handlers import supervisors as handlers
from supervisor_control.handlers import telemetry
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = UUID(int=1)
START = 1_760_000_000_000_000_000


@pytest.fixture
async def control(database_url: Callable[[str], str]) -> AsyncIterator[Control]:
    async with rolled_back(database_url("supervisor_control")) as connection:
        yield Control.on(connection, Settings(telemetry_url="http://flowgate.test"))


async def report(control: Control, message: opamp_pb2.AgentToServer, **changes: object) -> list[Effect]:
    changes = {"at": NOW, **changes}
    reports = [make_report(UID, message, **changes)]  # type: ignore[arg-type]
    return list(await handlers.agents_reported(control, [one for one in reports if handlers.concerns(one)], NOW))


async def appear(control: Control, capabilities: int = SUPERVISOR, started: int = START) -> list[Effect]:
    message = opamp_pb2.AgentToServer(
        capabilities=capabilities,
        agent_description=make_description(service__name="otelcol", host__name="plant-1"),
        health=opamp_pb2.ComponentHealth(healthy=True, status="StatusOK", start_time_unix_nano=started),
    )
    return await report(control, message)


async def restart(control: Control) -> tuple[rpc.Command, list[Effect]]:
    request = rpc.RequestRestartRequest(instance_id=str(UID), gateway_id=str(uuid4()), actor="admin")
    reply = await handlers.request_restart(control, request, NOW)
    assert isinstance(reply.response, rpc.RequestRestartResponse)
    return reply.response.command, list(reply.effects)


async def deliver(control: Control, command: rpc.Command, error: str = "") -> list[Effect]:
    sent = uplink_pb2.Delivered(facet="command", id=command.command_id, error=error)
    return await report(control, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent)


async def state_of(control: Control, command: rpc.Command) -> facts.CommandState:
    answer = await handlers.get_command(control, rpc.GetCommandRequest(command_id=command.command_id), NOW)
    return answer.command.state


async def logs(control: Control, uid: UUID = UID, **wanted: Any) -> list[telemetry_rpc.AgentLogRecord]:
    request = telemetry_rpc.ListLogsRequest(instance_id=str(uid), **wanted)
    return list((await telemetry.list_logs(control, request, NOW)).records)


def attributes(record: telemetry_rpc.AgentLogRecord) -> dict[str, str]:
    found: dict[str, str] = json.loads(record.attributes_json)
    return found


async def test_a_supervisor_is_known_from_its_first_report(control: Control) -> None:
    """State, start and description."""
    effects = await appear(control)
    assert [type(effect) for effect in effects] == [facts.SupervisorStatusChanged]
    answer = await handlers.get_supervisor(control, rpc.GetSupervisorRequest(instance_id=str(UID)), NOW)
    assert (answer.supervisor.collector_state, answer.supervisor.collector_starts) == ("running", 1)
    description = opamp_pb2.AgentDescription.FromString(answer.supervisor.agent_description)
    assert description == make_description(service__name="otelcol", host__name="plant-1")
    several = await handlers.list_supervisors(
        control, rpc.ListSupervisorsRequest(instance_ids=[str(UID), str(uuid4())]), NOW
    )
    assert list(several.supervisors) == [answer.supervisor]


async def test_an_extension_is_no_business_of_this_service(control: Control) -> None:
    """Not found, and its restart is refused with why."""
    assert await appear(control, EXTENSION) == []
    with pytest.raises(NotFoundError):
        await handlers.get_supervisor(control, rpc.GetSupervisorRequest(instance_id=str(UID)), NOW)
    with pytest.raises(ConflictError, match="accepts_restart_command: true") as caught:
        await restart(control)
    assert caught.value.extra == {"capability": "AcceptsRestartCommand"}


async def test_a_restart_is_followed_to_its_end(control: Control) -> None:
    """pending → delivered → completed when the new start time is reported."""
    await appear(control)
    command, effects = await restart(control)
    assert isinstance(effects[0], Desired) and effects[0].facet == "command"
    assert await state_of(control, command) == facts.COMMAND_STATE_PENDING
    await deliver(control, command)
    assert await state_of(control, command) == facts.COMMAND_STATE_DELIVERED
    await appear(control, started=START + 10**9)
    assert await state_of(control, command) == facts.COMMAND_STATE_COMPLETED
    records = await logs(control)
    assert {attributes(one)["state"] for one in records if attributes(one)["event"] == "command"} == {
        "pending",
        "delivered",
        "completed",
    }


async def test_one_restart_at_a_time(control: Control) -> None:
    """A second one is refused and names the first."""
    await appear(control)
    command, _ = await restart(control)
    with pytest.raises(ConflictError, match="under way") as caught:
        await restart(control)
    assert caught.value.extra == {"command_id": command.command_id}


async def test_a_restart_that_crashes_has_failed(control: Control) -> None:
    """With the supervisor's words."""
    await appear(control)
    command, _ = await restart(control)
    await deliver(control, command)
    crash = opamp_pb2.ComponentHealth(last_error="Agent process PID=1 exited unexpectedly, exit code=1.")
    await report(control, opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health=crash))
    answer = await handlers.get_command(control, rpc.GetCommandRequest(command_id=command.command_id), NOW)
    assert (answer.command.state, answer.command.error) == (facts.COMMAND_STATE_FAILED, crash.last_error)


async def test_a_restart_nobody_came_for_expires(control: Control) -> None:
    """Item 135: and the wish is taken away."""
    await appear(control)
    command, _ = await restart(control)
    assert await handlers.expire_commands(control, NOW + timedelta(seconds=119)) == []
    effects = await handlers.expire_commands(control, NOW + timedelta(seconds=121))
    assert effects[0] == Desired(str(UID), "command", None)
    assert await state_of(control, command) == facts.COMMAND_STATE_EXPIRED


async def test_a_restart_without_an_outcome_expires(control: Control) -> None:
    """Delivered, but no new start was seen."""
    await appear(control)
    command, _ = await restart(control)
    await deliver(control, command)
    assert await handlers.expire_commands(control, NOW + timedelta(seconds=59)) == []
    (fact,) = await handlers.expire_commands(control, NOW + timedelta(seconds=61))
    assert isinstance(fact, facts.CommandStateChanged) and "no new start" in fact.error
    again, _ = await restart(control)
    assert again.command_id != command.command_id


async def test_outcomes_of_configurations_are_log_records(control: Control) -> None:
    """From config-push's facts, errors with their words."""
    await appear(control)
    fact = config_facts.DeliveryStateChanged(
        instance_uid=str(UID),
        occurred_at=timestamp(NOW + timedelta(seconds=1)),
        config_hash="ab" * 32,
        state=config_facts.DELIVERY_STATE_FAILED,
        error="exit code 1",
    )
    await handlers.delivery_state_changed(control, fact, NOW)
    (record,) = await logs(control, limit=1)
    assert (record.severity, record.body) == ("ERROR", "configuration abababababab is failed: exit code 1")
    assert await logs(control, since=timestamp(NOW + timedelta(seconds=2))) == []
    with pytest.raises(InvalidError):
        await logs(control, limit=1001)


async def test_a_connection_that_ends_is_a_log_record(control: Control) -> None:
    """A goodbye is information, a loss a warning."""
    await appear(control)
    for reason in (uplink_pb2.DISCONNECT_REASON_AGENT, uplink_pb2.DISCONNECT_REASON_CLOSED):
        await report(control, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, reason=reason)
    records = await logs(control)
    assert [one.severity for one in records] == ["WARN", "INFO", "INFO"]


async def test_a_new_identity_takes_the_past_with_it(control: Control) -> None:
    """And a deleted gateway leaves none."""
    await appear(control)
    fact = agent_facts.AgentReidentified(
        instance_uid=str(UUID(int=2)), previous_instance_uid=str(UID), gateway_id=str(uuid4())
    )
    await handlers.reidentified(control, fact, NOW + timedelta(minutes=1))
    assert len(await logs(control, UUID(int=2))) == 1
    assert await logs(control) == []
    removed = agent_facts.GatewayRemoved(instance_uid=str(UUID(int=2)), reason="deleted")
    await handlers.gateway_removed(control, removed, NOW)
    with pytest.raises(NotFoundError):
        await handlers.get_supervisor(control, rpc.GetSupervisorRequest(instance_id=str(UUID(int=2))), NOW)


async def ill(control: Control, error: str, started: int) -> list[Effect]:
    health = opamp_pb2.ComponentHealth(status="StatusPermanentError", last_error=error, start_time_unix_nano=started)
    return await report(control, opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health=health))


async def test_a_restart_that_comes_up_ill_has_failed(control: Control) -> None:
    """A new start alone is not enough: it is given its time to be healthy, then the reason is told."""
    await appear(control)
    command, _ = await restart(control)
    await deliver(control, command)
    await ill(control, "no luck", START + 10**9)
    assert await state_of(control, command) == facts.COMMAND_STATE_DELIVERED
    await handlers.expire_commands(control, NOW + timedelta(seconds=61))
    answer = await handlers.get_command(control, rpc.GetCommandRequest(command_id=command.command_id), NOW)
    assert answer.command.state == facts.COMMAND_STATE_FAILED
    assert answer.command.error == "the collector started again, but was not healthy within 60 s: no luck"


async def test_a_start_between_order_and_delivery_settles_nothing(control: Control) -> None:
    """An offer of own telemetry may have restarted the collector meanwhile."""
    await appear(control)
    command, _ = await restart(control)
    await appear(control, started=START + 10**9)
    await deliver(control, command)
    await appear(control, started=START + 10**9)
    assert await state_of(control, command) == facts.COMMAND_STATE_DELIVERED
    await appear(control, started=START + 2 * 10**9)
    assert await state_of(control, command) == facts.COMMAND_STATE_COMPLETED


async def test_the_state_of_a_supervisor_tells_connection_and_crashes(control: Control) -> None:
    """Its own start by its first message, crashes within the window, why it is gone."""
    health = opamp_pb2.ComponentHealth(healthy=True, start_time_unix_nano=START)
    await report(control, opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health=health))
    for number in range(3):
        crash = opamp_pb2.ComponentHealth(last_error=f"Agent process PID={number} exited unexpectedly, exit code=1.")
        message = opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health=crash, sequence_num=number + 1)
        await report(control, message, at=NOW + timedelta(seconds=number))
    answer = await handlers.get_supervisor(
        control, rpc.GetSupervisorRequest(instance_id=str(UID)), NOW + timedelta(seconds=5)
    )
    known = answer.supervisor
    assert known.supervisor_started_at.ToDatetime(tzinfo=UTC) == NOW
    assert (known.recent_starts, known.recent_crashes, known.is_crash_looping) == (1, 3, True)
    assert (known.is_connected, known.crash_window_seconds) == (True, 600)
    summary = await handlers.get_supervisor_summary(
        control, rpc.GetSupervisorSummaryRequest(), NOW + timedelta(seconds=5)
    )
    assert (dict(summary.by_collector_state), list(summary.crash_looping)) == ({"crashed": 1}, [str(UID)])
    later = NOW + timedelta(seconds=610)
    assert not (await handlers.get_supervisor_summary(control, rpc.GetSupervisorSummaryRequest(), later)).crash_looping
    lost = uplink_pb2.DISCONNECT_REASON_CLOSED
    await report(control, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, reason=lost)
    answer = await handlers.get_supervisor(control, rpc.GetSupervisorRequest(instance_id=str(UID)), NOW)
    assert (answer.supervisor.is_connected, answer.supervisor.disconnect_reason) == (False, "the connection was lost")


async def test_a_poller_that_comes_seldom_is_waited_for(control: Control) -> None:
    """Item 135: a command outlives three of its intervals; on a WebSocket the interval does not matter."""
    for transport, seconds in ((uplink_pb2.TRANSPORT_HTTP, 900), (uplink_pb2.TRANSPORT_WEBSOCKET, 120)):
        await appear(control)
        (supervisor,) = (await control.store.load([UID])).values()
        supervisor.transport = handlers.TRANSPORTS[transport]
        supervisor.connection = policies.Connection(heartbeat_interval_seconds=300).as_dict()
        await control.store.save([supervisor])
        await control.store.save_connections([supervisor])
        command, effects = await restart(control)
        wish = effects[0]
        assert isinstance(wish, Desired) and wish.state is not None
        assert wish.state.expires_at_unix_nano == (NOW + timedelta(seconds=seconds)).timestamp() * 1e9
        assert await handlers.expire_commands(control, NOW + timedelta(seconds=seconds - 1)) == []
        await handlers.expire_commands(control, NOW + timedelta(seconds=seconds + 1))
        assert await state_of(control, command) == facts.COMMAND_STATE_EXPIRED


async def test_a_restart_that_may_have_been_delivered_is_not_said_not_to_be(control: Control) -> None:
    """Its ingress was killed before it could tell: the collector's new start is seen all the same."""
    await appear(control)
    command, _ = await restart(control)
    await appear(control, started=START + 10**9)
    await handlers.expire_commands(control, NOW + timedelta(seconds=121))
    answer = await handlers.get_command(control, rpc.GetCommandRequest(command_id=command.command_id), NOW)
    assert answer.command.state == facts.COMMAND_STATE_EXPIRED
    assert "has started again" in answer.command.error


async def test_of_a_supervisor_its_starts_and_own_errors_are_told(control: Control) -> None:
    """Each process counts once, however often it reconnects; what FlowGate noted is no error of its own."""
    began = NOW - timedelta(hours=1)
    message = opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health={"last_error": "exited unexpectedly"})
    for number, (sequence_num, minutes) in enumerate([(0, 0), (5, 1), (0, 2)]):
        message.sequence_num = sequence_num
        await report(control, message, connection=UUID(int=number + 1), connected_at=began + timedelta(minutes=minutes))
    export = telemetry_pb2.TelemetryEntry(
        instance_uid=UID.bytes,
        signal=telemetry_pb2.SIGNAL_LOGS,
        received_at_unix_nano=int(NOW.timestamp() * 1e9),
        export_request=ExportLogsServiceRequest(
            resource_logs=[
                {
                    "resource": {"attributes": [{"key": "service.name", "value": {"string_value": "opampsupervisor"}}]},
                    "scope_logs": [
                        {"log_records": [{"severity_number": 17, "body": {"string_value": "cannot write"}}]}
                    ],
                }
            ]
        ).SerializeToString(),
    )
    await telemetry.exported(control, [Export(export)], NOW)
    request = rpc.GetSupervisorRequest(instance_id=str(UID))
    told = (await handlers.get_supervisor(control, request, NOW + timedelta(seconds=1))).supervisor
    assert (told.supervisor_starts, told.supervisor_last_error) == (2, "cannot write")
    assert told.last_error == "exited unexpectedly"
