"""Supervisors, commands and what is known of them: reads, decides through `domain`, stores, returns effects."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import supervisor_control_pb2 as rpc
from flowgate.uplink.v1 import uplink_pb2
from flowkit import opamp, tracing
from flowkit.errors import ConflictError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.rpc import Reply
from flowkit.uplink import Report
from supervisor_control.domain import policies
from supervisor_control.domain import supervisors as domain
from supervisor_control.domain.supervisors import Command, LogRecord, Supervisor
from supervisor_control.handlers import operations
from supervisor_control.handlers.control import Control
from supervisor_control.handlers.policies import converge

HEALTH = opamp.field_bit("health")
TRANSPORTS = {uplink_pb2.TRANSPORT_WEBSOCKET: "websocket", uplink_pb2.TRANSPORT_HTTP: "http"}
DESCRIPTION = opamp.field_bit("agent_description")
OWN_ERRORS = timedelta(days=1)  # that far back a supervisor's own last error is looked for


def concerns(report: Report) -> bool:
    """Whether a report is any business of this service: those of agents that are only looked at are not."""
    if report.entry.kind != uplink_pb2.ENTRY_KIND_REPORT:
        return True
    capabilities = report.message.capabilities
    return not capabilities or domain.is_kept(capabilities)


async def agents_reported(control: Control, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
    """A batch of the uplink: health of supervisors, connections that ended, offers and commands that were sent."""
    uids = list({report.uid for report in reports})
    await control.policies.hold()
    supervisors = await _known(control, uids, reports)
    commands = await control.store.open_commands(uids)
    stored = dict(commands)
    changed: dict[UUID, Supervisor] = {}
    unsettled: dict[UUID, Supervisor] = {}
    effects: list[Effect] = []
    records: list[LogRecord] = []
    for report in reports:
        uid = report.uid
        supervisor = supervisors.get(uid)
        kind = report.entry.kind
        if kind == uplink_pb2.ENTRY_KIND_DELIVERED:
            if report.entry.delivered.facet == policies.FACET:
                if supervisor is not None:
                    told, new_records = _offered(supervisor, report)
                    unsettled[uid] = supervisor
                    effects += told
                    records += new_records
                continue
            command = commands.get(uid)
            if command is not None and report.entry.delivered.id == str(command.command_id):
                state = "failed" if report.entry.delivered.error else "delivered"
                command = domain.delivered(command, supervisor, report.entry.delivered.traceparent)
                commands[uid], more, record = domain.moved(
                    command, state, report.entry.delivered.error, report.received_at
                )
                effects += more
                records.append(record)
            continue
        if supervisor is None or report.connected_at < supervisor.connected_at:
            continue  # no business of this service; or of a connection that a newer one has superseded
        changed[uid] = supervisor
        if kind == uplink_pb2.ENTRY_KIND_DISCONNECTED:
            record = _disconnected(uid, report)
            supervisor.is_connected, supervisor.disconnect_reason = False, record.body
            records.append(record)
            continue
        if _is_new_here(supervisor, report):
            unsettled[uid] = supervisor
            if not report.message.sequence_num:
                policies.process_started(supervisor, report.connected_at)
            if supervisor.wanted_hash is not None:  # NATS may have lost it meanwhile
                effects.append(policies.wish(supervisor))
        _connected(supervisor, report)
        if report.has(HEALTH):
            effects_of_health, new_records = domain.health_reported(
                supervisor, report.message.health, report.received_at, control.crash_loop
            )
            effects += effects_of_health
            records += new_records
            settled = domain.outcome(commands[uid], supervisor) if uid in commands else None
            if settled is not None:
                commands[uid], more, record = domain.moved(commands[uid], *settled, report.received_at)
                effects += more
                records.append(record)
    if changed:
        await control.store.save(list(changed.values()))
    if unsettled:
        effects += await converge(control, list(unsettled.values()))
        await control.store.save_connections(list(unsettled.values()))
    moved_commands = [one for uid, one in commands.items() if one is not stored[uid]]
    if moved_commands:
        await control.store.save_commands(moved_commands)
        effects += await operations.commands_moved(control, moved_commands, now)
    if records:
        await control.store.add_records(records)
    return effects


async def _known(control: Control, uids: Sequence[UUID], reports: Sequence[Report]) -> dict[UUID, Supervisor]:
    """The supervisors that a batch is about, those included that report for the first time in it."""
    supervisors = await control.store.load(uids)
    known = {uid: one for uid, one in supervisors.items() if domain.is_kept(one.capabilities)}
    new = {
        report.uid
        for report in reports
        if report.uid not in known
        and report.entry.kind == uplink_pb2.ENTRY_KIND_REPORT
        and domain.is_kept(report.message.capabilities)
    }
    missing = [uid for uid in new if uid not in supervisors]
    if missing:
        await control.store.ensure(missing)
        supervisors |= await control.store.load(missing)
    return known | {uid: supervisors[uid] for uid in new}


def _is_new_here(supervisor: Supervisor, report: Report) -> bool:
    """Whether a report begins a connection or tells of other capabilities, so that offers are looked at again."""
    if report.connected_at != supervisor.connected_at or report.entry.credential_id != supervisor.credential_id:
        return True
    return report.message.capabilities not in (0, supervisor.capabilities)


def _connected(supervisor: Supervisor, report: Report) -> None:
    if not report.message.sequence_num and report.connected_at != supervisor.connected_at:
        supervisor.supervisor_started_at = report.received_at
        supervisor.supervisor_starts += 1
    supervisor.connected_at = report.connected_at
    supervisor.is_connected, supervisor.disconnect_reason = True, ""
    supervisor.transport = TRANSPORTS.get(report.entry.transport, "")
    supervisor.credential_id = report.entry.credential_id
    supervisor.capabilities = report.message.capabilities or supervisor.capabilities
    if report.has(DESCRIPTION):
        supervisor.agent_description = report.message.agent_description.SerializeToString(deterministic=True)


def _offered(supervisor: Supervisor, report: Report) -> tuple[Sequence[Effect], Sequence[LogRecord]]:
    """An offer of connection settings has gone out, or could not."""
    said = report.entry.delivered
    if said.error:
        body, severity = f"connection settings could not be offered: {said.error}", "WARN"
        return [], [_flowgate_record(supervisor.instance_uid, report.received_at, severity, body, "connection")]
    if said.hash == supervisor.connection_hash:
        return policies.delivered(supervisor, said.hash, report.received_at), []
    before = policies.connection_of(supervisor)
    effects = policies.delivered(supervisor, said.hash, report.received_at)
    body = policies.words(before, policies.connection_of(supervisor))
    return effects, [_flowgate_record(supervisor.instance_uid, report.received_at, "INFO", body, "connection")]


def _flowgate_record(uid: UUID, at: datetime, severity: str, body: str, event: str) -> LogRecord:
    return LogRecord(
        instance_uid=uid,
        timestamp=at,
        severity=severity,
        source="flowgate",
        body=body,
        attributes={"event": event},
    )


def _disconnected(uid: UUID, report: Report) -> LogRecord:
    words = {
        uplink_pb2.DISCONNECT_REASON_AGENT: "the supervisor said goodbye",
        uplink_pb2.DISCONNECT_REASON_CLOSED: "the connection was lost",
        uplink_pb2.DISCONNECT_REASON_TIMEOUT: "nothing was heard of the supervisor for too long",
        uplink_pb2.DISCONNECT_REASON_DRAIN: "the ingress shut down; the supervisor connects to another one",
    }
    is_planned = report.entry.reason in (uplink_pb2.DISCONNECT_REASON_AGENT, uplink_pb2.DISCONNECT_REASON_DRAIN)
    severity = "INFO" if is_planned else "WARN"
    body = words.get(report.entry.reason, "the connection ended")
    return _flowgate_record(uid, report.received_at, severity, body, "disconnected")


async def request_restart(control: Control, request: rpc.RequestRestartRequest, now: datetime) -> Reply:
    """Restart a collector, at most once.

    Raises:
        ConflictError: the agent does not accept the command, or another restart is under way.
    """
    uid = _uuid(request.instance_id, "agent")
    supervisor = (await control.store.load([uid])).get(uid)
    if supervisor is None or not supervisor.capabilities & domain.ACCEPTS_RESTART:
        raise ConflictError(
            "the agent does not accept the restart command (capability AcceptsRestartCommand). Under opampsupervisor,"
            " set `capabilities: accepts_restart_command: true` in its supervisor.yaml and restart the supervisor; a"
            " collector that speaks OpAMP itself is moved to supervisor mode, or started with"
            " `--feature-gates extension.opampextension.RemoteRestarts` and the same capability in its extension",
            capability="AcceptsRestartCommand",
        )
    under_way = (await control.store.open_commands([uid])).get(uid)
    if under_way is not None:
        raise ConflictError(
            f"a restart of this agent is under way already ({under_way.state})",
            command_id=str(under_way.command_id),
        )
    command = Command(
        command_id=uuid4(),
        instance_uid=uid,
        gateway_id=UUID(request.gateway_id) if request.gateway_id else supervisor.gateway_id,
        type="restart",
        state="pending",
        collector_started_at=supervisor.collector_started_at,
        created_at=now,
        created_by=request.actor,
        updated_at=now,
        expires_at=now + domain.patience(supervisor, timedelta(seconds=control.settings.command_expiry_seconds)),
        traceparent=tracing.traceparent(),
    )
    await control.store.add_command(command)
    await control.store.add_records([domain.record_of(command)])
    return Reply(rpc.RequestRestartResponse(command=_command(command)), domain.begin(command))


async def get_supervisor(
    control: Control, request: rpc.GetSupervisorRequest, now: datetime
) -> rpc.GetSupervisorResponse:
    """State of one supervisor."""
    uid = _uuid(request.instance_id, "supervisor")
    supervisor = (await control.store.load([uid])).get(uid)
    if supervisor is None or not domain.is_kept(supervisor.capabilities):
        raise NotFoundError(f"no supervisor is known under the instance_id {uid}")
    (answer,) = await _answers(control, [supervisor], now)
    error = await control.telemetry.last_error_of_supervisor(uid, now - OWN_ERRORS)
    if error is not None:
        answer.supervisor_last_error = error.body
        answer.supervisor_last_error_at.FromDatetime(error.place.timestamp)
    return rpc.GetSupervisorResponse(supervisor=answer)


async def list_supervisors(
    control: Control, request: rpc.ListSupervisorsRequest, now: datetime
) -> rpc.ListSupervisorsResponse:
    """States of several supervisors."""
    uids = [_uuid(text, "supervisor") for text in request.instance_ids]
    supervisors = await control.store.load(uids)
    known = [one for one in supervisors.values() if domain.is_kept(one.capabilities)]
    return rpc.ListSupervisorsResponse(supervisors=await _answers(control, known, now))


async def get_supervisor_summary(
    control: Control, request: rpc.GetSupervisorSummaryRequest, now: datetime
) -> rpc.GetSupervisorSummaryResponse:
    """Counts over all supervisors, and which collectors crash again and again."""
    crashed = await control.store.crashed_since(now - timedelta(seconds=control.crash_loop.seconds))
    return rpc.GetSupervisorSummaryResponse(
        by_collector_state=await control.store.count_by_collector_state(domain.KEPT),
        crash_looping=[str(one.instance_uid) for one in crashed if control.crash_loop.is_seen(one, now)],
    )


async def get_command(control: Control, request: rpc.GetCommandRequest, now: datetime) -> rpc.GetCommandResponse:
    """One command."""
    command = await control.store.command(_uuid(request.command_id, "command"))
    if command is None:
        raise NotFoundError(f"there is no command {request.command_id}")
    return rpc.GetCommandResponse(command=_command(command))


async def delivery_state_changed(
    control: Control, fact: config_facts.DeliveryStateChanged, now: datetime
) -> Sequence[Effect]:
    """Keep what became of a configuration as a log record; it may be the outcome for an agent of a bulk operation."""
    state = config_facts.DeliveryState.Name(fact.state).removeprefix("DELIVERY_STATE_").lower()
    record = LogRecord(
        instance_uid=UUID(fact.instance_uid),
        timestamp=opamp.moment(fact.occurred_at),
        severity="ERROR" if fact.state == config_facts.DELIVERY_STATE_FAILED else "INFO",
        source="flowgate",
        body=f"configuration {fact.config_hash[:12]} is {state}" + (f": {fact.error}" if fact.error else ""),
        attributes={"event": "config", "delivery_id": fact.delivery_id, "state": state},
    )
    await control.store.add_records([record])
    return await operations.delivery_moved(control, fact, now)


async def capabilities_changed(
    control: Control, fact: agent_facts.AgentCapabilitiesChanged, now: datetime
) -> Sequence[Effect]:
    """The agent can do other things than before."""
    uid = UUID(fact.instance_uid)
    await control.policies.hold()
    await control.store.set_capabilities(uid, fact.capabilities)
    return await _settled(control, uid)


async def registered(control: Control, fact: agent_facts.AgentRegistered, now: datetime) -> Sequence[Effect]:
    """Remember the gateway, so that facts can name it, and its labels, by which policies choose."""
    uid = UUID(fact.instance_uid)
    await control.policies.hold()
    await control.store.ensure([uid])
    await control.store.set_gateway(uid, UUID(fact.gateway_id))
    return await _settled(control, uid, dict(fact.labels))


async def gateway_updated(control: Control, fact: agent_facts.GatewayUpdated, now: datetime) -> Sequence[Effect]:
    """Other labels may mean other policies."""
    uid = UUID(fact.instance_uid)
    await control.policies.hold()
    await control.store.ensure([uid])
    return await _settled(control, uid, dict(fact.labels))


async def reidentified(control: Control, fact: agent_facts.AgentReidentified, now: datetime) -> Sequence[Effect]:
    """What is known of the agent goes with the gateway to its new instance_uid. Its telemetry token does not."""
    uid = UUID(fact.instance_uid)
    previous = UUID(fact.previous_instance_uid)
    await control.policies.hold()
    await control.store.rename(previous, uid)
    await control.telemetry.rename(previous, uid, now)
    await control.metrics.rename(previous, uid)
    await operations.agent_renamed(control, fact, now)
    await control.store.set_gateway(uid, UUID(fact.gateway_id))
    return [Desired(fact.previous_instance_uid, policies.FACET, None), *await _settled(control, uid)]


async def _settled(control: Control, uid: UUID, labels: dict[str, str] | None = None) -> Sequence[Effect]:
    """Look at an agent's offers again, with other labels if these are given."""
    supervisor = (await control.store.load([uid])).get(uid)
    if supervisor is None:
        return []
    if labels is not None:
        supervisor.labels = labels
    effects = await converge(control, [supervisor]) if supervisor.capabilities else []
    await control.store.save_connections([supervisor])
    return effects


async def gateway_removed(control: Control, fact: agent_facts.GatewayRemoved, now: datetime) -> Sequence[Effect]:
    """A deleted gateway's past goes with it; an archived one comes back to it."""
    if fact.reason != "deleted":
        return []
    uid = UUID(fact.instance_uid)
    await control.store.forget(uid)
    await control.telemetry.forget(uid, now)
    await control.metrics.forget(uid)
    return [Desired(fact.instance_uid, facet, None) for facet in ("command", policies.FACET)]


async def expire_commands(control: Control, now: datetime) -> Sequence[Effect]:
    """Give up commands that nobody came for, and those whose outcome was not seen."""
    patience = timedelta(seconds=control.settings.command_outcome_seconds)
    commands: list[Command] = []
    effects: list[Effect] = []
    records: list[LogRecord] = []
    overdue = await control.store.overdue_commands(now, now - patience)
    supervisors = await control.store.load([one.instance_uid for one in overdue], lock=False) if overdue else {}
    for command in overdue:
        state, error = domain.overdue(command, supervisors.get(command.instance_uid), patience)
        moved, told, record = domain.moved(command, state, error, now)
        commands.append(moved)
        effects += told
        records.append(record)
    if commands:
        await control.store.save_commands(commands)
        await control.store.add_records(records)
        effects += await operations.commands_moved(control, commands, now)
    return effects


async def _answers(control: Control, supervisors: Sequence[Supervisor], now: datetime) -> list[rpc.Supervisor]:
    uids = [one.instance_uid for one in supervisors]
    commands = await control.store.latest_commands(uids)
    received = await control.telemetry.last_received(uids)
    answers = []
    for one in supervisors:
        answer = _supervisor(one, commands.get(one.instance_uid), control.crash_loop, now)
        if answer.HasField("connection_settings") and one.instance_uid in received:
            answer.connection_settings.last_received_at.FromDatetime(received[one.instance_uid])
        answers.append(answer)
    return answers


def _supervisor(
    supervisor: Supervisor, command: Command | None, loop: domain.CrashLoop, now: datetime
) -> rpc.Supervisor:
    return rpc.Supervisor(
        instance_id=str(supervisor.instance_uid),
        collector_state=supervisor.collector_state,
        collector_started_at=timestamp(supervisor.collector_started_at),
        collector_starts=supervisor.collector_starts,
        last_error=supervisor.last_error,
        last_error_at=timestamp(supervisor.last_error_at),
        capabilities=supervisor.capabilities,
        agent_description=supervisor.agent_description,
        command=_command(command) if command else None,
        updated_at=timestamp(supervisor.updated_at),
        supervisor_started_at=timestamp(supervisor.supervisor_started_at),
        supervisor_starts=supervisor.supervisor_starts,
        is_connected=supervisor.is_connected,
        disconnect_reason=supervisor.disconnect_reason,
        recent_starts=loop.within(supervisor, "starts", now),
        recent_crashes=loop.within(supervisor, "crashes", now),
        is_crash_looping=loop.is_seen(supervisor, now),
        crash_window_seconds=int(loop.seconds),
        connection_settings=_connection(supervisor),
    )


def _connection(supervisor: Supervisor) -> rpc.ConnectionState | None:
    """What the agent should have: what waits for it, else what it was offered."""
    if not supervisor.capabilities & policies.OFFERABLE:
        return None
    is_waiting = supervisor.wanted_connection is not None
    settings = policies.Connection(**(supervisor.wanted_connection or supervisor.connection or {}))
    return rpc.ConnectionState(
        state="waiting" if is_waiting else "offered" if settings != policies.NOTHING else "off",
        own_logs=bool(settings.own_logs_url),
        own_metrics=bool(settings.own_metrics_url),
        own_traces=bool(settings.own_traces_url),
        heartbeat_interval_seconds=settings.heartbeat_interval_seconds,
        offered_at=timestamp(supervisor.offered_at),
    )


def _command(command: Command) -> rpc.Command:
    return rpc.Command(
        command_id=str(command.command_id),
        instance_id=str(command.instance_uid),
        type=command.type,
        state=domain.STATES[command.state],
        error=command.error,
        created_at=timestamp(command.created_at),
        updated_at=timestamp(command.updated_at),
        expires_at=timestamp(command.expires_at),
    )


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"there is no {what} {text!r}") from None
