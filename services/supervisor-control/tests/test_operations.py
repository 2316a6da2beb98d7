"""Bulk operations on a real PostgreSQL, each test in a transaction that leaves nothing behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import operations_pb2 as rpc
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors_rpc
from flowgate.supervisor.v1 import events_pb2 as facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import db, tasks
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.outbox import Desired, Effect
from flowkit.testing import EXTENSION, SUPERVISOR, make_report, rolled_back
from opamp.v1 import opamp_pb2
from supervisor_control.handlers import operations as handlers
from supervisor_control.handlers import supervisors
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
START = 1_760_000_000_000_000_000
HASH = "ab" * 32


@pytest.fixture
async def control(database_url: Callable[[str], str]) -> AsyncIterator[Control]:
    async with rolled_back(database_url("supervisor_control")) as connection:
        yield Control.on(connection, Settings())


def target(number: int, **changes: Any) -> rpc.OperationTarget:
    fields: dict[str, Any] = {
        "instance_id": str(UUID(int=number)),
        "gateway_id": str(UUID(int=1000 + number)),
        "name": f"edge-{number}",
        "capabilities": SUPERVISOR,
        "is_online": True,
    }
    return rpc.OperationTarget(**fields | changes)


async def begin(control: Control, count: int, **changes: Any) -> tuple[rpc.Operation, list[Effect]]:
    fields: dict[str, Any] = {
        "action": "restart",
        "targets": [target(number) for number in range(1, count + 1)],
        "max_unavailable": 2,
        "actor": "admin",
    }
    reply = await handlers.create_operation(control, rpc.CreateOperationRequest(**fields | changes), NOW)
    assert isinstance(reply.response, rpc.CreateOperationResponse)
    return reply.response.operation, list(reply.effects)


async def push(control: Control, count: int, **changes: Any) -> tuple[rpc.Operation, list[Effect]]:
    return await begin(control, count, action="push_config", config_hash=HASH, **changes)


async def get(control: Control, operation: rpc.Operation) -> rpc.Operation:
    request = rpc.GetOperationRequest(operation_id=operation.operation_id)
    return (await handlers.get_operation(control, request, NOW)).operation


async def appear(control: Control, *numbers: int, started: int = START, error: str = "") -> list[Effect]:
    """Reports of healthy collectors, or of crashed ones."""
    health = opamp_pb2.ComponentHealth(healthy=True, status="StatusOK", start_time_unix_nano=started)
    if error:
        health = opamp_pb2.ComponentHealth(last_error=f"Agent process PID=1 exited unexpectedly, {error}")
    reports = [
        make_report(UUID(int=number), opamp_pb2.AgentToServer(capabilities=SUPERVISOR, health=health), at=NOW)
        for number in numbers
    ]
    return list(await supervisors.agents_reported(control, reports, NOW))


async def deliver(control: Control, effects: Sequence[Effect]) -> list[Effect]:
    """The ingress sends the commands that were begun."""
    reports = [
        make_report(
            UUID(one.instance_uid),
            kind=uplink_pb2.ENTRY_KIND_DELIVERED,
            delivered=uplink_pb2.Delivered(facet="command", id=one.state.id),
            at=NOW,
        )
        for one in effects
        if isinstance(one, Desired) and one.facet == "command" and one.state is not None
    ]
    return list(await supervisors.agents_reported(control, reports, NOW))


async def delivered(control: Control, order: Effect, state: str, error: str = "") -> list[Effect]:
    """config-push tells of the delivery that was ordered."""
    assert isinstance(order, facts.ConfigPushOrdered)
    fact = config_facts.DeliveryStateChanged(
        instance_uid=order.instance_uid,
        delivery_id=str(handlers.domain.delivery_id(UUID(order.operation_id), UUID(order.instance_uid))),
        config_hash=order.config_hash,
        state=f"DELIVERY_STATE_{state}",
        error=error,
    )
    fact.occurred_at.FromDatetime(NOW)
    return list(await supervisors.delivery_state_changed(control, fact, NOW))


def orders(effects: Sequence[Effect]) -> list[facts.ConfigPushOrdered]:
    return [one for one in effects if isinstance(one, facts.ConfigPushOrdered)]


def restarted(effects: Sequence[Effect]) -> list[int]:
    """Numbers of the agents that a restart was begun for."""
    return [UUID(one.instance_uid).int for one in effects if isinstance(one, Desired) and one.facet == "command"
            and one.state is not None]  # fmt: skip


def states(operation: rpc.Operation) -> Counter[str]:
    names = (facts.TargetState.Name(one.state) for one in operation.targets)
    found = Counter(name.removeprefix("TARGET_STATE_").lower() for name in names)
    counts = {name: getattr(operation, name) for name in ("waiting", "running", "succeeded", "failed", "skipped")}
    assert found == Counter({name: count for name, count in counts.items() if count})
    return found


async def test_targets_come_by_pages(control: Control) -> None:
    """In the order in which they are begun, by state and text; the operation alone costs as much whatever its size."""
    await appear(control, 1, 2, 3, 4, 5)
    operation, effects = await begin(control, 5)
    await deliver(control, effects)
    await appear(control, 1, error="100% broken")

    async def listed(**question: Any) -> tuple[list[int], str, int]:
        request = rpc.ListOperationTargetsRequest(operation_id=operation.operation_id, **question)
        page = await handlers.list_operation_targets(control, request, NOW)
        return [UUID(one.instance_id).int for one in page.targets], page.next_cursor, page.total

    first, cursor, total = await listed(limit=2)
    assert (first, total) == ([1, 2], 5)
    second, cursor, _ = await listed(limit=2, cursor=cursor)
    assert (second, await listed(limit=2, cursor=cursor)) == ([3, 4], ([5], "", 5))
    assert await listed(states=[facts.TARGET_STATE_FAILED]) == ([1], "", 1)
    assert (await listed(q="100% B"))[0] == [1]
    assert (await listed(q="_"))[0] == []
    assert (await listed(q=str(UUID(int=4)).upper()))[0] == [4]
    request = rpc.GetOperationRequest(operation_id=operation.operation_id, without_targets=True)
    bare = (await handlers.get_operation(control, request, NOW)).operation
    assert (list(bare.targets), bare.failed) == ([], 1)
    for wrong in ({"limit": 1001}, {"cursor": "x"}, {"cursor": "9" * 9}):
        with pytest.raises(InvalidError):
            await listed(**wrong)
    for unknown in (str(UUID(int=9)), "nonsense"):
        with pytest.raises(NotFoundError):
            await handlers.list_operation_targets(control, rpc.ListOperationTargetsRequest(operation_id=unknown), NOW)


async def test_restarts_go_on_as_outcomes_come(control: Control) -> None:
    """Two at a time, in order, each by the same command as a single restart; the end is told once."""
    await appear(control, 1, 2, 3)
    operation, effects = await begin(control, 3)
    assert restarted(effects) == [1, 2]
    assert states(operation) == {"running": 2, "waiting": 1}
    assert await deliver(control, effects) != []
    told = await appear(control, 1, started=START + 10**9)
    assert restarted(told) == [3]
    progress = [one for one in told if isinstance(one, facts.OperationProgressed)]
    assert [(one.running, one.succeeded) for one in progress] == [(2, 1)]
    await deliver(control, told)
    told = await appear(control, 2, 3, started=START + 10**9)
    (last,) = [one for one in told if isinstance(one, facts.OperationProgressed)]
    assert (last.state, last.succeeded) == (facts.OPERATION_STATE_SUCCEEDED, 3)
    assert states(await get(control, operation)) == {"succeeded": 3}


async def test_a_push_is_ordered_and_followed(control: Control) -> None:
    """The agent's own report of the configuration is the outcome, its words are the reason."""
    operation, effects = await push(control, 3)
    first, second = orders(effects)
    assert (first.config_hash, first.operation_id, first.actor) == (HASH, operation.operation_id, "admin")
    assert await delivered(control, first, "OFFERED") == []
    (third,) = orders(await delivered(control, first, "APPLIED"))
    await delivered(control, second, "FAILED", "exit code 1")
    assert await delivered(control, second, "APPLIED") == []  # too late
    await delivered(control, third, "APPLIED")
    done = await get(control, operation)
    assert states(done) == {"succeeded": 2, "failed": 1}
    assert (done.state, done.targets[1].reason) == (facts.OPERATION_STATE_FAILED, "exit code 1")


async def test_nothing_more_is_begun_after_a_failure(control: Control) -> None:
    """With stop_on_failure: those under way end by themselves, the others are skipped with why."""
    operation, effects = await push(control, 4, stop_on_failure=True)
    first, second = orders(effects)
    assert orders(await delivered(control, first, "FAILED", "no")) == []
    assert states(await get(control, operation)) == {"failed": 1, "running": 1, "skipped": 2}
    await delivered(control, second, "APPLIED")
    done = await get(control, operation)
    assert (done.state, states(done)) == (facts.OPERATION_STATE_FAILED, {"failed": 1, "succeeded": 1, "skipped": 2})
    assert "stops at a failure" in done.targets[3].reason


async def test_a_cancelled_operation_begins_nothing_more(control: Control) -> None:
    """What is under way still gets its outcome; a second cancel is a conflict."""
    operation, effects = await push(control, 3)
    cancel = rpc.CancelOperationRequest(operation_id=operation.operation_id, actor="admin")
    reply = await handlers.cancel_operation(control, cancel, NOW)
    assert isinstance(reply.response, rpc.CancelOperationResponse)
    assert states(reply.response.operation) == {"running": 2, "skipped": 1}
    with pytest.raises(ConflictError, match="cancelled"):
        await handlers.cancel_operation(control, cancel, NOW)
    for order in orders(effects):
        assert orders(await delivered(control, order, "APPLIED")) == []
    done = await get(control, operation)
    assert (done.state, states(done)) == (facts.OPERATION_STATE_CANCELLED, {"succeeded": 2, "skipped": 1})


async def test_who_cannot_is_skipped_with_why(control: Control) -> None:
    """Without the capability, offline, or with another restart under way; the others go on at once."""
    await appear(control, 1, 2)
    single = supervisors_rpc.RequestRestartRequest(instance_id=str(UUID(int=1)), actor="admin")
    await supervisors.request_restart(control, single, NOW)
    targets = [target(3, capabilities=EXTENSION), target(4, is_online=False), target(1), target(2)]
    operation, effects = await begin(control, 0, targets=targets, max_unavailable=1)
    assert restarted(effects) == [2]
    reasons = [one.reason for one in operation.targets]
    assert "accepts_restart_command: true" in reasons[0] and "not connected" in reasons[1]
    assert "another restart of it is under way" in reasons[2] and not reasons[3]
    assert states(operation) == {"skipped": 3, "running": 1}


async def test_a_dry_run_changes_nothing(control: Control) -> None:
    """It tells who would be begun and who not."""
    operation, effects = await begin(control, 0, targets=[target(1), target(2, is_online=False)], dry_run=True)
    assert (operation.operation_id, states(operation), effects) == ("", {"waiting": 1, "skipped": 1}, [])
    listed = await handlers.list_operations(control, rpc.ListOperationsRequest(), NOW)
    assert list(listed.operations) == []


async def test_an_operation_that_nobody_can_take_part_in_is_over(control: Control) -> None:
    """With everybody skipped."""
    operation, _ = await begin(control, 0, targets=[target(1, capabilities=EXTENSION)])
    assert (operation.state, states(operation)) == (facts.OPERATION_STATE_SUCCEEDED, {"skipped": 1})


async def test_a_target_without_an_outcome_fails_in_time(control: Control) -> None:
    """The sweep gives it up and goes on with the next."""
    operation, _ = await push(control, 2, max_unavailable=1)
    assert await handlers.advance_operations(control, NOW + timedelta(seconds=179)) == []
    effects = await handlers.advance_operations(control, NOW + timedelta(seconds=181))
    assert len(orders(effects)) == 1
    now = await get(control, operation)
    assert states(now) == {"failed": 1, "running": 1}
    assert now.targets[0].reason == "no outcome within 180 s"


async def test_a_restart_nobody_came_for_has_failed(control: Control) -> None:
    """By the command's own expiry, with its words."""
    await appear(control, 1)
    operation, _ = await begin(control, 1)
    await supervisors.expire_commands(control, NOW + timedelta(seconds=121))
    done = await get(control, operation)
    assert (done.state, states(done)) == (facts.OPERATION_STATE_FAILED, {"failed": 1})
    assert "did not come for it" in done.targets[0].reason


async def test_an_outcome_that_nobody_looked_at_is_found_by_the_sweep(control: Control) -> None:
    """The command says it, whoever wrote it."""
    await appear(control, 1, 2)
    operation, _ = await begin(control, 2, max_unavailable=1)
    (command,) = (await control.store.open_commands([UUID(int=1)])).values()
    await control.store.save_commands([handlers.replace(command, state="completed")])
    assert restarted(await handlers.advance_operations(control, NOW)) == [2]
    assert states(await get(control, operation)) == {"succeeded": 1, "running": 1}


async def test_an_agent_is_begun_under_its_new_identity(control: Control) -> None:
    """When it gets another instance_uid before its turn."""
    operation, effects = await push(control, 2, max_unavailable=1)
    fact = agent_facts.AgentReidentified(
        instance_uid=str(UUID(int=9)), previous_instance_uid=str(UUID(int=2)), gateway_id=str(uuid4())
    )
    await supervisors.reidentified(control, fact, NOW)
    (order,) = orders(await delivered(control, orders(effects)[0], "APPLIED"))
    assert order.instance_uid == str(UUID(int=9))
    await delivered(control, order, "APPLIED")
    assert states(await get(control, operation)) == {"succeeded": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "dance"},
        {"targets": []},
        {"targets": [target(1), target(1)]},
        {"targets": [target(1, instance_id="x")]},
        {"action": "push_config"},
        {"config_hash": HASH},
    ],
    ids=["action", "nobody", "twice", "no uuid", "no configuration", "configuration"],
)
async def test_an_order_that_makes_no_sense_is_refused(control: Control, changes: dict[str, Any]) -> None:
    """Before anything is stored."""
    with pytest.raises(InvalidError):
        await begin(control, 1, **changes)


async def test_operations_are_listed_and_forgotten(control: Control) -> None:
    """Newest first, without targets; an unknown one is not found; an old one that has ended goes."""
    operation, _ = await begin(control, 0, targets=[target(1, capabilities=EXTENSION)])
    going_on, _ = await push(control, 1)
    listed = await handlers.list_operations(control, rpc.ListOperationsRequest(limit=5), NOW)
    assert {one.operation_id for one in listed.operations} == {operation.operation_id, going_on.operation_id}
    assert all(not one.targets for one in listed.operations)
    await handlers.delete_old_operations(control, NOW + timedelta(days=31))
    listed = await handlers.list_operations(control, rpc.ListOperationsRequest(), NOW)
    assert [one.operation_id for one in listed.operations] == [going_on.operation_id]
    for id_ in (operation.operation_id, "nonsense"):
        with pytest.raises(NotFoundError):
            await handlers.get_operation(control, rpc.GetOperationRequest(operation_id=id_), NOW)
        with pytest.raises(NotFoundError):
            await handlers.cancel_operation(control, rpc.CancelOperationRequest(operation_id=id_), NOW)


async def test_replicas_never_begin_more_than_there_is_room_for(fresh_database_url: Callable[[str], str]) -> None:
    """Outcomes of several shards at the same time, and the sweep among them: never more than five under way."""
    database = await db.connect(fresh_database_url("supervisor_control"), 8)
    try:
        async with database.transaction() as connection:
            operation, effects = await push(Control.on(connection, Settings()), 60, max_unavailable=5)
        waiting = asyncio.Queue[facts.ConfigPushOrdered]()
        most = 0

        def take(told: Sequence[Effect]) -> None:
            nonlocal most
            for order in orders(told):
                waiting.put_nowait(order)
            for one in told:
                if isinstance(one, facts.OperationProgressed):
                    most = max(most, one.running)

        take(effects)

        async def replica() -> None:
            while True:
                order = await waiting.get()
                async with database.transaction() as connection:
                    told = await delivered(Control.on(connection, Settings()), order, "APPLIED")
                take(told)

        async def sweep() -> None:
            while True:
                async with database.transaction() as connection:
                    take(await handlers.advance_operations(Control.on(connection, Settings()), NOW))
                await asyncio.sleep(0)

        work = [asyncio.ensure_future(one) for one in (replica(), replica(), replica(), replica(), sweep())]
        try:
            async with asyncio.timeout(30):
                while True:
                    async with database.transaction() as connection:
                        now = await get(Control.on(connection, Settings()), operation)
                    assert states(now)["running"] <= 5
                    if now.state != facts.OPERATION_STATE_RUNNING:
                        break
        finally:
            await tasks.cancel(*work)
        assert (states(now), most) == ({"succeeded": 60}, 5)
    finally:
        await database.close()


async def test_a_push_without_an_outcome_is_taken_back(control: Control) -> None:
    """The agent does not get it after the operation has said that it failed."""
    operation, _ = await push(control, 1)
    late = NOW + timedelta(seconds=181)
    effects = await handlers.advance_operations(control, late)
    (withdrawal,) = [one for one in effects if isinstance(one, facts.ConfigPushWithdrawn)]
    assert (withdrawal.instance_uid, withdrawal.operation_id) == (str(UUID(int=1)), operation.operation_id)
    assert "180 s" in withdrawal.reason
    assert (await get(control, operation)).failed == 1
    assert await handlers.advance_operations(control, late) == []


async def test_a_restart_has_the_time_of_its_command(control: Control) -> None:
    """That is longer for agents that poll seldom; the target ends with it."""
    operation, _ = await begin(control, 1)
    late = NOW + timedelta(seconds=1000)
    assert await handlers.advance_operations(control, late) == []
    await supervisors.expire_commands(control, late)
    assert (await get(control, operation)).failed == 1
