"""Policies and offers on a real PostgreSQL, each test in a transaction that leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.rpc.v1 import policies_pb2 as rpc
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors_rpc
from flowgate.rpc.v1 import telemetry_pb2 as telemetry_rpc
from flowgate.uplink.v1 import uplink_pb2
from flowkit import db
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.outbox import Desired, Effect
from flowkit.testing import EXTENSION, SUPERVISOR, eventually, make_description, make_report, rolled_back
from opamp.v1 import opamp_pb2
from supervisor_control.handlers import policies as handlers
from supervisor_control.handlers import supervisors, telemetry
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = UUID(int=1)
HEARTBEAT_ONLY = 0x38C7 & ~0xE0


@pytest.fixture
async def control(database_url: Callable[[str], str]) -> AsyncIterator[Control]:
    async with rolled_back(database_url("supervisor_control")) as connection:
        yield Control.on(connection, Settings(telemetry_url="http://flowgate.test"))


async def report(
    control: Control, uid: UUID = UID, capabilities: int = SUPERVISOR, sequence_num: int = 7, **changes: object
) -> list[Desired]:
    message = opamp_pb2.AgentToServer(
        capabilities=capabilities,
        sequence_num=sequence_num,
        agent_description=make_description(service__name="otelcol"),
        health=opamp_pb2.ComponentHealth(healthy=True),
    )
    changes = {"at": NOW, "connected_at": NOW, **changes}
    reports = [make_report(uid, message, **changes)]  # type: ignore[arg-type]
    return wishes(await supervisors.agents_reported(control, list(filter(supervisors.concerns, reports)), NOW))


async def register(control: Control, uid: UUID = UID, **labels: str) -> list[Desired]:
    fact = agent_facts.AgentRegistered(instance_uid=str(uid), gateway_id=str(uuid4()), labels=labels)
    return wishes(await supervisors.registered(control, fact, NOW))


async def send(control: Control, wish: Desired, error: str = "") -> list[Desired]:
    """The ingress sends what is wished."""
    assert wish.state is not None
    sent = uplink_pb2.Delivered(facet="connection", id=wish.state.id, hash=wish.state.connection.hash, error=error)
    told = make_report(UUID(wish.instance_uid), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent, at=NOW)
    return wishes(await supervisors.agents_reported(control, [told], NOW))


async def put(control: Control, policy: rpc.Policy, dry_run: bool = False) -> tuple[rpc.PolicyEffect, list[Desired]]:
    reply = await handlers.put_policy(control, rpc.PutPolicyRequest(policy=policy, dry_run=dry_run, actor="me"), NOW)
    assert isinstance(reply.response, rpc.PutPolicyResponse)
    return reply.response.effect, wishes(reply.effects)


async def state(control: Control, uid: UUID = UID) -> supervisors_rpc.ConnectionState:
    request = supervisors_rpc.GetSupervisorRequest(instance_id=str(uid))
    return (await supervisors.get_supervisor(control, request, NOW)).supervisor.connection_settings


def wishes(effects: object) -> list[Desired]:
    assert isinstance(effects, list | tuple)
    return [effect for effect in effects if isinstance(effect, Desired)]


def urls(wish: Desired) -> tuple[str, str, str]:
    assert wish.state is not None
    settings = wish.state.connection
    assert settings.has_own_telemetry
    return settings.own_logs_url, settings.own_metrics_url, settings.own_traces_url


async def test_an_agent_is_offered_by_the_default_policy_once(control: Control) -> None:
    """When both its report and its registration are here, in either order; then never again."""
    assert await report(control) == []
    (wish,) = await register(control)
    assert urls(wish) == ("http://flowgate.test/v1/logs", "http://flowgate.test/v1/metrics", "")
    assert (await state(control)).state == "waiting"
    assert await send(control, wish) == [Desired(str(UID), "connection", None)]
    offered = await state(control)
    assert (offered.state, offered.own_logs, offered.own_traces) == ("offered", True, False)
    assert offered.offered_at.ToDatetime(tzinfo=UTC) == NOW
    assert await report(control, connected_at=NOW + timedelta(hours=1)) == []
    assert await register(control) == []
    assert await handlers.offer_what_is_due(control, NOW) == []
    other = UUID(int=2)
    assert await register(control, other) == []
    assert len(await report(control, other)) == 1


async def test_a_new_process_is_offered_the_same_again(control: Control) -> None:
    """It has forgotten its heartbeat interval, and all of it without its storage; but one that begins anew because of
    an offer is not driven round and round."""
    await put(control, rpc.Policy(name="default", own_logs=True, heartbeat_interval_seconds=5))
    await register(control)
    (wish,) = await report(control, sequence_num=0)
    await send(control, wish)
    assert await report(control, sequence_num=0, connected_at=NOW + timedelta(seconds=9)) == []
    assert await report(control, sequence_num=8, connected_at=NOW + timedelta(minutes=5)) == []
    (again,) = await report(control, sequence_num=0, connected_at=NOW + timedelta(minutes=6))
    assert again == wish
    effect, _ = await put(
        control, rpc.Policy(name="default", own_logs=True, heartbeat_interval_seconds=6), dry_run=True
    )
    assert (effect.offers, effect.restarts) == (1, 0)
    await send(control, again)
    assert (await state(control)).state == "offered"


async def test_labels_of_the_registration_choose_the_policy_at_once(control: Control) -> None:
    """No offer by the default policy comes before them: it would restart the collector twice."""
    await put(control, rpc.Policy(name="quiet", selector={"env": "prod"}, own_logs=False))
    await report(control)
    (wish,) = await register(control, env="prod")
    assert urls(wish)[0] == ""


async def test_other_labels_bring_another_offer(control: Control) -> None:
    """And going back before the agent came for it takes it away."""
    await put(control, rpc.Policy(name="quiet", selector={"env": "prod"}, own_logs=False))
    await register(control)
    (wish,) = await report(control)
    await send(control, wish)
    fact = agent_facts.GatewayUpdated(instance_uid=str(UID), labels={"env": "prod"})
    (other,) = wishes(await supervisors.gateway_updated(control, fact, NOW))
    assert urls(other)[0] == ""
    fact.ClearField("labels")
    assert await supervisors.gateway_updated(control, fact, NOW) == [Desired(str(UID), "connection", None)]


async def test_a_change_tells_what_it_does_before_it_does(control: Control) -> None:
    """A dry run changes nothing; a heartbeat alone restarts nothing; agents that cannot are not counted."""
    for number in range(1, 4):
        await register(control, UUID(int=number), env="prod")
        for wish in await report(control, UUID(int=number)):
            await send(control, wish)
    await register(control, UUID(int=8), env="prod")
    assert await report(control, UUID(int=8), EXTENSION) == []
    await register(control, UUID(int=9), env="dev")
    await report(control, UUID(int=9))
    beat = rpc.Policy(name="beat", selector={"env": "prod"}, heartbeat_interval_seconds=5)
    told, none = await put(control, beat, dry_run=True)
    assert (told.matching, told.offers, told.restarts, none) == (4, 3, 0, [])
    assert [one.name for one in (await listed(control))] == ["default"]
    effect, sent = await put(control, beat)
    assert (effect, len(sent)) == (told, 3)
    traces = rpc.Policy(name="default", own_logs=True, own_metrics=True, own_traces=True)
    effect, sent = await put(control, traces)
    assert (effect.matching, effect.offers, effect.restarts, len(sent)) == (5, 4, 4, 4)


async def listed(control: Control) -> list[rpc.Policy]:
    return list((await handlers.list_policies(control, rpc.ListPoliciesRequest(), NOW)).policies)


async def test_a_policy_is_put_and_deleted(control: Control) -> None:
    """What it does not say stays unsaid; the default one stays."""
    await put(control, rpc.Policy(name="beat", selector={"env": "prod"}, heartbeat_interval_seconds=5))
    default, beat = await listed(control)
    assert (default.own_logs, default.own_metrics, default.own_traces) == (True, True, False)
    assert not default.HasField("heartbeat_interval_seconds") and not beat.HasField("own_logs")
    assert (beat.heartbeat_interval_seconds, beat.updated_by) == (5, "me")
    await handlers.delete_policy(control, rpc.DeletePolicyRequest(name="beat", dry_run=True), NOW)
    assert len(await listed(control)) == 2
    await handlers.delete_policy(control, rpc.DeletePolicyRequest(name="beat"), NOW)
    assert [one.name for one in await listed(control)] == ["default"]
    with pytest.raises(NotFoundError):
        await handlers.delete_policy(control, rpc.DeletePolicyRequest(name="beat"), NOW)
    with pytest.raises(ConflictError):
        await handlers.delete_policy(control, rpc.DeletePolicyRequest(name="default"), NOW)
    with pytest.raises(InvalidError):
        await put(control, rpc.Policy(name="beat", selector={"env": "prod"}, heartbeat_interval_seconds=0))


async def test_without_a_url_only_heartbeats_are_offered(control: Control) -> None:
    """Own telemetry needs to be told where to."""
    control.settings.telemetry_url = ""
    await register(control)
    assert await report(control) == []
    assert (await state(control)).state == "off"
    _, (wish,) = await put(control, rpc.Policy(name="default", heartbeat_interval_seconds=7))
    assert wish.state is not None and not wish.state.connection.has_own_telemetry
    assert wish.state.connection.heartbeat_interval_seconds == 7
    control.settings.telemetry_url = "http://flowgate.test"
    await put(control, rpc.Policy(name="default", own_logs=True, heartbeat_interval_seconds=7))
    control.settings.telemetry_url = "http://elsewhere.test"
    (moved,) = wishes(await handlers.offer_what_is_due(control, NOW))
    assert urls(moved)[0] == "http://elsewhere.test/v1/logs"


async def test_an_agent_the_registry_never_told_of_is_offered_after_a_while(control: Control) -> None:
    """A fact is told once; a store that was wiped since does not hear it again."""
    await report(control)
    assert await handlers.offer_what_is_due(control, NOW + timedelta(seconds=59)) == []
    assert len(await handlers.offer_what_is_due(control, NOW + timedelta(seconds=61))) == 1


async def test_an_offer_that_waits_is_wished_again_at_the_next_connection(control: Control) -> None:
    """NATS may have lost it."""
    await register(control)
    (wish,) = await report(control)
    assert await report(control) == []
    assert await report(control, connected_at=NOW + timedelta(minutes=1)) == [wish]


async def test_an_offer_that_could_not_be_sent_is_told(control: Control) -> None:
    """And stays wished."""
    await register(control)
    (wish,) = await report(control)
    assert await send(control, wish, error="no key") == []
    assert (await state(control)).state == "waiting"
    request = telemetry_rpc.ListLogsRequest(instance_id=str(UID), limit=1)
    answer = await telemetry.list_logs(control, request, NOW)
    assert answer.records[0].body == "connection settings could not be offered: no key"


async def test_a_new_identity_is_offered_anew(control: Control) -> None:
    """Its telemetry token is another; the labels go with the gateway."""
    await put(control, rpc.Policy(name="quiet", selector={"env": "prod"}, own_logs=False))
    await register(control, env="prod")
    (wish,) = await report(control)
    await send(control, wish)
    other = UUID(int=2)
    await report(control, other)
    fact = agent_facts.AgentReidentified(
        instance_uid=str(other), previous_instance_uid=str(UID), gateway_id=str(uuid4())
    )
    effects: list[Effect] = list(await supervisors.reidentified(control, fact, NOW))
    gone, again = wishes(effects)
    assert gone == Desired(str(UID), "connection", None)
    assert (again.instance_uid, urls(again)[0]) == (str(other), "")


async def test_agents_take_only_what_they_report(control: Control) -> None:
    """A supervisor that reports no own telemetry gets the heartbeat; an extension nothing."""
    await put(control, rpc.Policy(name="default", own_logs=True, heartbeat_interval_seconds=9))
    await register(control)
    (wish,) = await report(control, capabilities=HEARTBEAT_ONLY)
    assert wish.state is not None and not wish.state.connection.has_own_telemetry
    other = UUID(int=2)
    await register(control, other)
    assert await report(control, other, EXTENSION) == []
    fact = agent_facts.AgentCapabilitiesChanged(instance_uid=str(UID), capabilities=SUPERVISOR)
    (more,) = wishes(await supervisors.capabilities_changed(control, fact, NOW))
    assert urls(more)[0] == "http://flowgate.test/v1/logs"


async def test_the_status_tells_when_telemetry_came_last(control: Control) -> None:
    """As it was received."""
    await register(control)
    (wish,) = await report(control)
    await send(control, wish)
    assert not (await state(control)).HasField("last_received_at")
    await control.telemetry.received({UID: NOW})
    assert (await state(control)).last_received_at.ToDatetime(tzinfo=UTC) == NOW


async def test_labels_and_policies_that_change_at_once_miss_nothing(
    fresh_database_url: Callable[[str], str],
) -> None:
    """Each is decided with the other in view, whichever comes first."""
    database = await db.connect(fresh_database_url("supervisor_control"), 4)
    settings = Settings(telemetry_url="http://flowgate.test")
    policy = rpc.Policy(name="quiet", selector={"env": "prod"}, own_logs=False)
    fact = agent_facts.GatewayUpdated(instance_uid=str(UID), labels={"env": "prod"})
    try:
        async with database.transaction() as connection:
            control = Control.on(connection, settings)
            await register(control)
            await report(control)
        async with database.transaction() as connection:
            control = Control.on(connection, settings)
            assert await supervisors.gateway_updated(control, fact, NOW) == []

            async def change() -> list[Desired]:
                async with database.transaction() as other:
                    return (await put(Control.on(other, settings), policy))[1]

            changing = asyncio.create_task(change())
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await eventually(lambda: connection.fetchval(waits))
            assert not changing.done()
        (wish,) = await changing
        assert urls(wish)[0] == ""
    finally:
        await database.close()
