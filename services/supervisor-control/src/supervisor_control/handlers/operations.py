"""Bulk operations: begun by an order, advanced by outcomes and by a sweep.

Everything that is known of an operation is in PostgreSQL, and what it begins leaves by the outbox: a replica that is
killed is not missed, the next outcome or sweep goes on wherever it happens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import operations_pb2 as rpc
from flowkit import tracing
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Effect
from flowkit.rpc import Reply
from supervisor_control.domain import operations as domain
from supervisor_control.domain import supervisors
from supervisor_control.domain.operations import Operation, Target
from supervisor_control.domain.supervisors import Command
from supervisor_control.handlers.control import Control

MAX_TARGETS = 10_000
MAX_LIMIT, DEFAULT_LIMIT = 100, 20
MAX_PAGE, DEFAULT_PAGE = 1000, 100  # targets

Outcome = Callable[[Target], tuple[str, str] | None]
"""State and reason of a running target that is settled; None while it is open."""


async def create_operation(control: Control, request: rpc.CreateOperationRequest, now: datetime) -> Reply:
    """Begin an operation; with dry_run only tell what it would do.

    Raises:
        InvalidError: the order makes no sense.
    """
    if request.action not in domain.ACTIONS:
        raise InvalidError(f"there is no action {request.action!r}; use {' or '.join(domain.ACTIONS)}")
    if not 0 < len(request.targets) <= MAX_TARGETS:
        raise InvalidError(f"an operation has 1 to {MAX_TARGETS} agents, not {len(request.targets)}")
    if (request.action == "push_config") != bool(request.config_hash):
        raise InvalidError("push_config needs a configuration, and nothing else has one")
    if len({one.instance_id for one in request.targets}) < len(request.targets):
        raise InvalidError("an agent is named twice")
    targets = [_new_target(request.action, position, one, now) for position, one in enumerate(request.targets)]
    operation = domain.begun(
        Operation(
            operation_id=uuid4(),
            action=request.action,
            state="running",
            config_hash=bytes.fromhex(request.config_hash),
            max_unavailable=request.max_unavailable or 1,
            stop_on_failure=request.stop_on_failure,
            created_at=now,
            created_by=request.actor,
            updated_at=now,
            traceparent=tracing.traceparent(),
        ),
        targets,
    )
    if request.dry_run:
        return Reply(rpc.CreateOperationResponse(operation=_answer(operation, targets, is_stored=False)))
    await control.operations.add(operation, targets)
    operation, effects = await _advance(control, operation, now)
    answer = _answer(operation, await control.operations.targets(operation.operation_id))
    return Reply(rpc.CreateOperationResponse(operation=answer), effects)


def _new_target(action: str, position: int, target: rpc.OperationTarget, now: datetime) -> Target:
    reason = domain.obstacle(action, target.capabilities, target.is_online)
    try:
        instance_uid = UUID(target.instance_id)
        gateway_id = UUID(target.gateway_id) if target.gateway_id else None
    except ValueError as error:
        raise InvalidError(f"target {position + 1} has no UUID") from error
    return Target(
        position=position,
        instance_uid=instance_uid,
        gateway_id=gateway_id,
        name=target.name,
        capabilities=target.capabilities,
        state="skipped" if reason else "waiting",
        reason=reason,
        updated_at=now,
    )


async def get_operation(control: Control, request: rpc.GetOperationRequest, now: datetime) -> rpc.GetOperationResponse:
    """One operation with its targets, or without."""
    operation_id = _uuid(request.operation_id)
    if request.without_targets:
        bare = await control.operations.bare(operation_id)
        found = None if bare is None else (bare, list[Target]())
    else:
        found = await control.operations.get(operation_id)
    if found is None:
        raise _unknown(request.operation_id)
    return rpc.GetOperationResponse(operation=_answer(*found))


async def list_operation_targets(
    control: Control, request: rpc.ListOperationTargetsRequest, now: datetime
) -> rpc.ListOperationTargetsResponse:
    """A page of an operation's targets, in the order in which they are begun.

    Raises:
        InvalidError: limit or cursor make no sense.
        NotFoundError: there is no such operation.
    """
    operation_id = _uuid(request.operation_id)
    if request.limit > MAX_PAGE:
        raise InvalidError(f"limit is {request.limit}; the most is {MAX_PAGE}")
    if request.cursor and not (request.cursor.isascii() and request.cursor.isdigit() and len(request.cursor) < 9):
        raise InvalidError("the cursor is none of this list")
    if await control.operations.bare(operation_id) is None:
        raise _unknown(request.operation_id)
    limit = request.limit or DEFAULT_PAGE
    names = {number: name for name, number in domain.TARGET_STATES.items()}
    states = [names[one] for one in request.states if one in names]
    found, total = await control.operations.page(
        operation_id, states, request.q.replace("\0", ""), int(request.cursor or -1), limit + 1
    )
    page = found[:limit]
    return rpc.ListOperationTargetsResponse(
        targets=map(_target_answer, page),
        next_cursor=str(page[-1].position) if len(found) > limit else "",
        total=total,
    )


async def list_operations(
    control: Control, request: rpc.ListOperationsRequest, now: datetime
) -> rpc.ListOperationsResponse:
    """The latest operations, newest first, without their targets."""
    if request.limit > MAX_LIMIT:
        raise InvalidError(f"limit is {request.limit}; the most is {MAX_LIMIT}")
    latest = await control.operations.latest(request.limit or DEFAULT_LIMIT)
    return rpc.ListOperationsResponse(operations=[_answer(one, []) for one in latest])


async def cancel_operation(control: Control, request: rpc.CancelOperationRequest, now: datetime) -> Reply:
    """Begin nothing more; what is under way ends by itself.

    Raises:
        NotFoundError: there is no such operation.
        ConflictError: it has ended.
    """
    found = await control.operations.locked([_uuid(request.operation_id)])
    if not found:
        raise _unknown(request.operation_id)
    if found[0].state != "running":
        raise ConflictError(f"the operation has ended: {found[0].state}", state=found[0].state)
    operation, effects = await _advance(control, replace(found[0], state="cancelled"), now)
    answer = _answer(operation, await control.operations.targets(operation.operation_id))
    return Reply(rpc.CancelOperationResponse(operation=answer), effects)


async def commands_moved(control: Control, commands: Sequence[Command], now: datetime) -> Sequence[Effect]:
    """Commands reached another state, in this transaction: the operations that they belong to go on."""
    outcomes = {one.command_id: found for one in commands if (found := domain.outcome_of_command(one)) is not None}
    return await _settle(control, outcomes, now)


async def delivery_moved(control: Control, fact: config_facts.DeliveryStateChanged, now: datetime) -> Sequence[Effect]:
    """A configuration's delivery reached another state: the operation that it belongs to goes on."""
    try:
        order_id = UUID(fact.delivery_id)
    except ValueError:
        return []
    effects: list[Effect] = []
    for operation in await control.operations.locked(await control.operations.of_orders([order_id])):
        effects += await _settle_in(
            control, operation, [order_id], lambda target: domain.outcome_of_delivery(fact, target), now
        )
    return effects


async def agent_renamed(control: Control, fact: agent_facts.AgentReidentified, now: datetime) -> None:
    """An agent whose turn is to come is begun under its new instance_uid."""
    await control.operations.rename(UUID(fact.previous_instance_uid), UUID(fact.instance_uid))


async def advance_operations(control: Control, now: datetime) -> Sequence[Effect]:
    """Go on with every operation: give up targets without an outcome, and begin what is due."""
    effects: list[Effect] = []
    for operation in await control.operations.locked(await control.operations.unfinished()):
        commands = await control.operations.settled_commands(operation.operation_id)
        outcomes: dict[UUID, tuple[str, str]] = {}
        for one, reason in await _overdue(control, operation, now):
            if one.order_id is not None:
                outcomes[one.order_id] = ("failed", reason)
                if operation.action == "push_config":
                    effects.append(domain.withdrawal_of(operation, one, reason, now))
        for command in commands:
            found = domain.outcome_of_command(command)
            if found is not None:
                outcomes[command.command_id] = found
        if outcomes:
            effects += await _settle_in(control, operation, list(outcomes), _among(outcomes), now)
        elif domain.next_count(operation) or (operation.waiting and domain.is_stopped(operation)):
            effects += (await _advance(control, operation, now))[1]
    return effects


async def _overdue(control: Control, operation: Operation, now: datetime) -> list[tuple[Target, str]]:
    """Running targets without an outcome in the time that is due to each, and the words for it."""
    usual = timedelta(seconds=control.settings.operation_target_seconds)
    late = await control.operations.overdue(operation.operation_id, now - usual)
    known = await control.store.load([one.instance_uid for one in late], lock=False) if late else {}
    found = []
    for one in late:
        patience = supervisors.patience(known.get(one.instance_uid), usual)
        if one.updated_at < now - patience:
            found.append((one, f"no outcome within {patience.total_seconds():g} s"))
    return found


async def delete_old_operations(control: Control, now: datetime) -> Sequence[Effect]:
    """Forget operations and commands that were over long ago."""
    await control.operations.delete_old(now - timedelta(seconds=control.settings.operation_retention_seconds))
    return []


async def _settle(control: Control, outcomes: Mapping[UUID, tuple[str, str]], now: datetime) -> Sequence[Effect]:
    if not outcomes:
        return []
    effects: list[Effect] = []
    order_ids = list(outcomes)
    for operation in await control.operations.locked(await control.operations.of_orders(order_ids)):
        effects += await _settle_in(control, operation, order_ids, _among(outcomes), now)
    return effects


def _among(outcomes: Mapping[UUID, tuple[str, str]]) -> Outcome:
    return lambda target: outcomes.get(target.order_id) if target.order_id is not None else None


async def _settle_in(
    control: Control, operation: Operation, order_ids: Sequence[UUID], outcome: Outcome, now: datetime
) -> Sequence[Effect]:
    """Write the outcomes of running targets of a locked operation and go on with it."""
    settled: list[Target] = []
    for target in await control.operations.running(operation.operation_id, order_ids):
        found = outcome(target)
        if found is not None:
            settled.append(replace(target, state=found[0], reason=found[1], updated_at=now))
    if not settled:
        return []
    await control.operations.save_targets(operation.operation_id, settled)
    _, effects = await _advance(control, operation.counted("running", [one.state for one in settled]), now)
    return effects


async def _advance(control: Control, operation: Operation, now: datetime) -> tuple[Operation, list[Effect]]:
    """Begin what is due of a locked operation whose counts are right, and write it."""
    effects: list[Effect] = []
    while count := domain.next_count(operation):
        waiting = await control.operations.next_waiting(operation.operation_id, count)
        begin = _restart if operation.action == "restart" else _push
        begun, told = await begin(control, operation, waiting, now)
        await control.operations.save_targets(operation.operation_id, begun)
        operation = operation.counted("waiting", [one.state for one in begun])
        effects += told
    if operation.waiting and domain.is_stopped(operation):
        skipped = await control.operations.skip_waiting(operation.operation_id, domain.why_not_begun(operation), now)
        operation = operation.counted("waiting", ["skipped"] * skipped)
    operation = replace(domain.ended(operation), updated_at=now)
    await control.operations.save(operation)
    return operation, [*effects, domain.progress_of(operation)]


async def _restart(
    control: Control, operation: Operation, targets: Sequence[Target], now: datetime
) -> tuple[list[Target], list[Effect]]:
    """Begin a restart of each target, by the same command as a single one."""
    uids = [one.instance_uid for one in targets]
    known = await control.store.load(uids, lock=False)
    usual = timedelta(seconds=control.settings.command_expiry_seconds)
    busy = await control.operations.with_open_command(uids)
    commands = {
        one.position: Command(
            command_id=uuid4(),
            instance_uid=one.instance_uid,
            gateway_id=one.gateway_id,
            type="restart",
            state="pending",
            collector_started_at=known[one.instance_uid].collector_started_at if one.instance_uid in known else None,
            created_at=now,
            created_by=operation.created_by,
            updated_at=now,
            expires_at=now + supervisors.patience(known.get(one.instance_uid), usual),
            traceparent=operation.traceparent,
        )
        for one in targets
        if one.instance_uid not in busy
    }
    kept = await control.operations.add_commands(list(commands.values())) if commands else set()
    begun: list[Target] = []
    effects: list[Effect] = []
    for target in targets:
        command = commands.get(target.position)
        if command is not None and command.command_id in kept:
            effects += supervisors.begin(command)
            begun.append(replace(target, state="running", updated_at=now, order_id=command.command_id))
        else:
            begun.append(replace(target, state="skipped", reason=domain.UNDER_WAY, updated_at=now))
    records = [supervisors.record_of(one) for one in commands.values() if one.command_id in kept]
    if records:
        await control.store.add_records(records)
    return begun, effects


async def _push(
    control: Control, operation: Operation, targets: Sequence[Target], now: datetime
) -> tuple[list[Target], list[Effect]]:
    """Order the delivery for each target from config-push."""
    begun = [
        replace(
            one,
            state="running",
            updated_at=now,
            order_id=domain.delivery_id(operation.operation_id, one.instance_uid),
        )
        for one in targets
    ]
    return begun, [domain.order_of(operation, one, now) for one in begun]


def _answer(operation: Operation, targets: Sequence[Target], is_stored: bool = True) -> rpc.Operation:
    return rpc.Operation(
        operation_id=str(operation.operation_id) if is_stored else "",
        action=operation.action,
        state=domain.STATES[operation.state],
        config_hash=operation.config_hash.hex(),
        max_unavailable=operation.max_unavailable,
        stop_on_failure=operation.stop_on_failure,
        created_at=timestamp(operation.created_at),
        created_by=operation.created_by,
        updated_at=timestamp(operation.updated_at),
        waiting=operation.waiting,
        running=operation.running,
        succeeded=operation.succeeded,
        failed=operation.failed,
        skipped=operation.skipped,
        targets=map(_target_answer, targets),
    )


def _target_answer(target: Target) -> rpc.OperationTarget:
    return rpc.OperationTarget(
        instance_id=str(target.instance_uid),
        gateway_id=str(target.gateway_id or ""),
        name=target.name,
        state=domain.TARGET_STATES[target.state],
        reason=target.reason,
        updated_at=timestamp(target.updated_at),
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _unknown(text) from None


def _unknown(text: str) -> NotFoundError:
    return NotFoundError(f"there is no operation {text!r}")
