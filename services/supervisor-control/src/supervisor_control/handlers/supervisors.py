"""Supervisors, commands and what is known of them: reads, decides through `domain`, stores, returns effects."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import supervisor_control_pb2 as rpc
from flowgate.uplink.v1 import uplink_pb2
from flowkit import opamp
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.rpc import Reply
from flowkit.uplink import Report
from supervisor_control.domain import supervisors as domain
from supervisor_control.domain.supervisors import Command, LogRecord, Supervisor
from supervisor_control.handlers.control import Control

HEALTH = opamp.field_bit("health")
DESCRIPTION = opamp.field_bit("agent_description")
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100


def concerns(report: Report) -> bool:
    """Whether a report is any business of this service: those of agents that are only looked at are not."""
    if report.entry.kind != uplink_pb2.ENTRY_KIND_REPORT:
        return True
    capabilities = report.message.capabilities
    return not capabilities or domain.is_kept(capabilities)


async def agents_reported(control: Control, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
    """A batch of the uplink: health of supervisors, connections that ended, commands that were sent."""
    uids = list({report.uid for report in reports})
    supervisors = await control.store.load(uids)
    commands = await control.store.open_commands(uids)
    stored = dict(commands)
    changed: dict[UUID, Supervisor] = {}
    effects: list[Effect] = []
    records: list[LogRecord] = []
    for report in reports:
        uid = report.uid
        supervisor = supervisors.get(uid)
        kind = report.entry.kind
        if kind == uplink_pb2.ENTRY_KIND_DELIVERED:
            command = commands.get(uid)
            if command is not None and report.entry.delivered.id == str(command.command_id):
                state = "failed" if report.entry.delivered.error else "delivered"
                moved = domain.moved(command, state, report.entry.delivered.error, report.received_at)
                commands[uid], told, record = moved
                effects += told
                records.append(record)
            continue
        if supervisor is None:
            if kind != uplink_pb2.ENTRY_KIND_REPORT or not domain.is_kept(report.message.capabilities):
                continue
            supervisor = Supervisor(uid, report.connected_at, report.received_at)
            supervisors[uid] = supervisor
        if report.connected_at < supervisor.connected_at:
            continue  # of a connection that a newer one has superseded
        if kind == uplink_pb2.ENTRY_KIND_DISCONNECTED:
            records.append(_disconnected(uid, report))
            continue
        changed[uid] = supervisor
        supervisor.connected_at = report.connected_at
        supervisor.capabilities = report.message.capabilities or supervisor.capabilities
        if report.has(DESCRIPTION):
            supervisor.agent_description = report.message.agent_description.SerializeToString(deterministic=True)
        if report.has(HEALTH):
            told, new_records = domain.health_reported(supervisor, report.message.health, report.received_at)
            effects += told
            records += new_records
            settled = domain.outcome(commands[uid], supervisor) if uid in commands else None
            if settled is not None:
                commands[uid], told, record = domain.moved(commands[uid], *settled, report.received_at)
                effects += told
                records.append(record)
    if changed:
        await control.store.save(list(changed.values()))
    moved_commands = [one for uid, one in commands.items() if one is not stored[uid]]
    if moved_commands:
        await control.store.save_commands(moved_commands)
    if records:
        await control.store.add_records(records)
    return effects


def _disconnected(uid: UUID, report: Report) -> LogRecord:
    words = {
        uplink_pb2.DISCONNECT_REASON_AGENT: "the supervisor said goodbye",
        uplink_pb2.DISCONNECT_REASON_CLOSED: "the connection was lost",
        uplink_pb2.DISCONNECT_REASON_TIMEOUT: "nothing was heard of the supervisor for too long",
        uplink_pb2.DISCONNECT_REASON_DRAIN: "the ingress shut down; the supervisor connects to another one",
    }
    is_planned = report.entry.reason in (uplink_pb2.DISCONNECT_REASON_AGENT, uplink_pb2.DISCONNECT_REASON_DRAIN)
    return LogRecord(
        instance_uid=uid,
        timestamp=report.received_at,
        severity="INFO" if is_planned else "WARN",
        source="flowgate",
        body=words.get(report.entry.reason, "the connection ended"),
        attributes={"event": "disconnected"},
    )


async def request_restart(control: Control, request: rpc.RequestRestartRequest, now: datetime) -> Reply:
    """Restart a collector, at most once.

    Raises:
        ConflictError: the agent does not accept the command, or another restart is under way.
    """
    uid = _uuid(request.instance_id, "agent")
    supervisor = (await control.store.load([uid])).get(uid)
    if supervisor is None or not supervisor.capabilities & domain.ACCEPTS_RESTART:
        raise ConflictError(
            "the agent does not accept the restart command (capability AcceptsRestartCommand). Run its collector under"
            " opampsupervisor with `capabilities.accepts_restart_command: true`",
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
        expires_at=now + timedelta(seconds=control.settings.command_expiry_seconds),
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
    if supervisor is None:
        raise NotFoundError(f"no supervisor is known under the instance_id {uid}")
    commands = await control.store.latest_commands([uid])
    return rpc.GetSupervisorResponse(supervisor=_supervisor(supervisor, commands.get(uid)))


async def list_supervisors(
    control: Control, request: rpc.ListSupervisorsRequest, now: datetime
) -> rpc.ListSupervisorsResponse:
    """States of several supervisors."""
    uids = [_uuid(text, "supervisor") for text in request.instance_ids]
    supervisors = await control.store.load(uids)
    commands = await control.store.latest_commands(uids)
    return rpc.ListSupervisorsResponse(
        supervisors=[_supervisor(one, commands.get(uid)) for uid, one in supervisors.items()]
    )


async def get_command(control: Control, request: rpc.GetCommandRequest, now: datetime) -> rpc.GetCommandResponse:
    """One command."""
    command = await control.store.command(_uuid(request.command_id, "command"))
    if command is None:
        raise NotFoundError(f"there is no command {request.command_id}")
    return rpc.GetCommandResponse(command=_command(command))


async def list_log_records(
    control: Control, request: rpc.ListLogRecordsRequest, now: datetime
) -> rpc.ListLogRecordsResponse:
    """What is known of an agent as log records, newest first."""
    if request.limit > MAX_LIMIT:
        raise InvalidError(f"limit is {request.limit}; the most is {MAX_LIMIT}")
    since = opamp.moment(request.since) if request.HasField("since") else None
    records = await control.store.records(_uuid(request.instance_id, "agent"), since, request.limit or DEFAULT_LIMIT)
    return rpc.ListLogRecordsResponse(
        records=[
            rpc.LogRecord(
                timestamp=timestamp(one.timestamp),
                severity=one.severity,
                source=one.source,
                body=one.body,
                attributes=one.attributes,
            )
            for one in records
        ]
    )


async def delivery_state_changed(
    control: Control, fact: config_facts.DeliveryStateChanged, now: datetime
) -> Sequence[Effect]:
    """Keep what became of a configuration as a log record."""
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
    return []


async def capabilities_changed(
    control: Control, fact: agent_facts.AgentCapabilitiesChanged, now: datetime
) -> Sequence[Effect]:
    """The agent can do other things than before."""
    await control.store.set_capabilities(UUID(fact.instance_uid), fact.capabilities)
    return []


async def registered(control: Control, fact: agent_facts.AgentRegistered, now: datetime) -> Sequence[Effect]:
    """Remember the gateway, so that facts can name it."""
    await control.store.set_gateway(UUID(fact.instance_uid), UUID(fact.gateway_id))
    return []


async def reidentified(control: Control, fact: agent_facts.AgentReidentified, now: datetime) -> Sequence[Effect]:
    """What is known of the agent goes with the gateway to its new instance_uid."""
    await control.store.rename(UUID(fact.previous_instance_uid), UUID(fact.instance_uid))
    await control.store.set_gateway(UUID(fact.instance_uid), UUID(fact.gateway_id))
    return []


async def gateway_removed(control: Control, fact: agent_facts.GatewayRemoved, now: datetime) -> Sequence[Effect]:
    """A deleted gateway's past goes with it; an archived one comes back to it."""
    if fact.reason != "deleted":
        return []
    await control.store.forget(UUID(fact.instance_uid))
    return [Desired(fact.instance_uid, "command", None)]


async def expire_commands(control: Control, now: datetime) -> Sequence[Effect]:
    """Give up commands that nobody came for, and those whose outcome was not seen."""
    patience = timedelta(seconds=control.settings.command_outcome_seconds)
    commands: list[Command] = []
    effects: list[Effect] = []
    records: list[LogRecord] = []
    for command in await control.store.overdue_commands(now, now - patience):
        error = (
            "the agent did not come for it in time"
            if command.state == "pending"
            else f"no new start of the collector was seen within {patience.total_seconds():g} s"
        )
        moved, told, record = domain.moved(command, "expired", error, now)
        commands.append(moved)
        effects += told
        records.append(record)
    if commands:
        await control.store.save_commands(commands)
        await control.store.add_records(records)
    return effects


async def delete_old_records(control: Control, now: datetime) -> Sequence[Effect]:
    """Drop log records that are too old."""
    await control.store.delete_records(now - timedelta(seconds=control.settings.log_retention_seconds))
    return []


def _supervisor(supervisor: Supervisor, command: Command | None) -> rpc.Supervisor:
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
