"""config-push's handlers on a real PostgreSQL, each test in a transaction that leaves nothing behind."""

import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import pytest

from config_push import collector_handlers, domain, handlers
from config_push.handlers import ConfigPush
from config_push.settings import Settings
from config_push.store import ConfigStore
from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as facts
from flowgate.rpc.v1 import config_push_pb2 as rpc
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import tokens
from flowkit.errors import ChangedError, ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.testing import EXTENSION, SUPERVISOR, make_description, make_report, rolled_back
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses as Statuses

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = UUID(int=1)
GOOD, BETTER = "a: 1\n", "a: 2\n"
MOMENTS = itertools.count()  # no two deliveries are of the same moment


class MemoryBodies:
    """Offers in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    async def put(self, name: str, body: bytes) -> None:
        self.bodies[name] = body


@pytest.fixture
async def push(database_url: Callable[[str], str]) -> AsyncIterator[ConfigPush]:
    async with rolled_back(database_url("config_push")) as connection:
        yield ConfigPush(ConfigStore(connection), MemoryBodies(), Settings())


async def report(push: ConfigPush, message: opamp_pb2.AgentToServer, **changes: object) -> list[Effect]:
    reports = [make_report(UID, message, at=NOW, **changes)]  # type: ignore[arg-type]
    return list(await handlers.agents_reported(push, reports, NOW))


async def appear(push: ConfigPush, capabilities: int = SUPERVISOR) -> None:
    await report(
        push,
        opamp_pb2.AgentToServer(
            capabilities=capabilities,
            agent_description=make_description(service__name="otelcol"),
            remote_config_status=opamp_pb2.RemoteConfigStatus(),
        ),
    )


async def assign(push: ConfigPush, config: str = GOOD) -> tuple[rpc.Delivery, list[Effect]]:
    request = rpc.AssignConfigRequest(instance_id=str(UID), gateway_id=str(uuid4()), config=config, actor="admin")
    reply = await handlers.assign_config(push, request, NOW + timedelta(microseconds=next(MOMENTS)))
    assert isinstance(reply.response, rpc.AssignConfigResponse)
    return reply.response.delivery, list(reply.effects)


async def tell(push: ConfigPush, state: Statuses, config_hash: str, error: str = "") -> list[Effect]:
    told = opamp_pb2.RemoteConfigStatus(
        status=state, last_remote_config_hash=bytes.fromhex(config_hash), error_message=error
    )
    return await report(push, opamp_pb2.AgentToServer(capabilities=SUPERVISOR, remote_config_status=told))


async def latest(push: ConfigPush) -> domain.Delivery:
    return (await push.store.latest([UID]))[UID]


async def test_an_assignment_is_offered_and_followed_to_its_end(push: ConfigPush) -> None:
    """The wish names the body, the body is the offer as it will be sent."""
    await appear(push)
    delivery, effects = await assign(push)
    wish = effects[0]
    assert isinstance(wish, Desired) and wish.state is not None
    assert isinstance(push.bodies, MemoryBodies)
    offer = opamp_pb2.AgentRemoteConfig.FromString(push.bodies.bodies[wish.state.config.body_object])
    assert offer.config_hash.hex() == delivery.config_hash
    assert offer.config.config_map[""].body == GOOD.encode()
    sent = uplink_pb2.Delivered(facet="config", id=delivery.delivery_id, hash=offer.config_hash)
    await report(push, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent)
    assert (await latest(push)).state == "offered"
    effects = await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
    assert effects[0] == Desired(str(UID), "config", None)
    answer = await handlers.get_agent_config(push, rpc.GetAgentConfigRequest(instance_id=str(UID)), NOW)
    assert answer.delivery.state == facts.DELIVERY_STATE_APPLIED
    assert (answer.assigned_config, answer.reported_status) == (GOOD, "applied")


async def test_a_registry_that_registers_an_agent_again_is_told_its_state(push: ConfigPush) -> None:
    """It has lost its store, and the agent has another gateway's id now."""
    await appear(push)
    delivery, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
    first, again = (agent_facts.AgentRegistered(instance_uid=str(UID), gateway_id=str(uuid4())) for _ in range(2))
    assert await handlers.registered(push, first, NOW) == []  # late, and no reason to tell a fact twice
    (told,) = await handlers.registered(push, again, NOW)
    assert isinstance(told, facts.DeliveryStateChanged)
    assert (told.state, told.previous_state) == (facts.DELIVERY_STATE_APPLIED, facts.DELIVERY_STATE_APPLIED)


async def test_an_agent_that_does_not_accept_is_refused_with_why(push: ConfigPush) -> None:
    """Item 84: and the error names the capability and what to do."""
    await appear(push, EXTENSION)
    with pytest.raises(ConflictError, match="accepts_remote_config: true") as caught:
        await assign(push)
    assert caught.value.extra == {"capability": "AcceptsRemoteConfig"}


async def test_an_unknown_agent_and_bad_yaml_are_refused(push: ConfigPush) -> None:
    """Before anything is stored."""
    with pytest.raises(NotFoundError):
        await assign(push)
    await appear(push)
    with pytest.raises(InvalidError):
        await assign(push, "a: [")
    assert await push.store.latest([UID]) == {}


async def test_tokens_of_flowgates_own_are_not_kept_in_configurations(push: ConfigPush) -> None:
    """Not even in a comment: what is assigned is stored and shown as it was written."""
    await appear(push)
    config = f"{GOOD}# with {tokens.mint(tokens.ENROLLMENT)}\n"
    with pytest.raises(InvalidError, match="tokens of FlowGate's own") as caught:
        await assign(push, config)
    assert (caught.value.extra["errors"][0]["line"], "fge_" in caught.value.detail) == (config.count("\n"), False)
    with pytest.raises(InvalidError):
        await handlers.keep_config(push, rpc.KeepConfigRequest(config=config), NOW)


async def test_masked_secrets_are_never_sent(push: ConfigPush) -> None:
    """Neither to one agent nor by a bulk operation, not even when only checked; the lines are told."""
    await appear(push)
    text = 'exporters:\n  a: {token: "[REDACTED]"}\n  b:\n    endpoint: https://me:[REDACTED]@example.com\n'
    for check_only in (False, True):
        with pytest.raises(InvalidError) as caught:
            await handlers.keep_config(push, rpc.KeepConfigRequest(config=text, check_only=check_only), NOW)
        assert [(one["line"], one["column"]) for one in caught.value.extra["errors"]] == [(2, 15), (4, 23)]
    with pytest.raises(InvalidError, match="masked secrets: line 2"):
        await assign(push, text)
    assert await push.store.latest([UID]) == {}


async def test_what_somebody_else_assigned_meanwhile_is_not_replaced_unseen(push: ConfigPush) -> None:
    """The hash of the one that was seen says so, also when that went out again under a salt; without one all goes."""
    await appear(push)

    async def order(config: str, expected: str | None) -> rpc.Delivery:
        request = rpc.AssignConfigRequest(instance_id=str(UID), config=config, actor="anna", expected_hash=expected)
        reply = await handlers.assign_config(push, request, NOW)
        assert isinstance(reply.response, rpc.AssignConfigResponse)
        return reply.response.delivery

    with pytest.raises(ChangedError, match="no assigned configuration"):
        await order(GOOD, "c0ffee")
    first = await order(GOOD, "")
    with pytest.raises(ChangedError, match="anna has assigned") as caught:
        await order(BETTER, "")
    assert caught.value.extra["config_hash"] == first.config_hash
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, first.config_hash, "no")
    salted = await order(GOOD, first.config_hash)
    assert salted.config_hash != first.config_hash
    second = await order(BETTER, first.config_hash)
    with pytest.raises(ChangedError):
        await order(GOOD, salted.config_hash)
    assert (await latest(push)).config_hash.hex() == second.config_hash
    await order(GOOD, None)


async def test_a_newer_assignment_supersedes_one_that_is_not_done(push: ConfigPush) -> None:
    """Item 39: the last one counts; a late status of the first one changes nothing."""
    await appear(push)
    first, _ = await assign(push)
    second, effects = await assign(push, BETTER)
    assert isinstance(effects[0], facts.DeliveryStateChanged)
    assert (effects[0].delivery_id, effects[0].state) == (first.delivery_id, facts.DELIVERY_STATE_SUPERSEDED)
    assert await tell(push, Statuses.RemoteConfigStatuses_APPLIED, first.config_hash) == []
    assert (await latest(push)).delivery_id == UUID(second.delivery_id)


async def test_what_the_agent_has_is_not_sent_again(push: ConfigPush) -> None:
    """Item 87: equal hash and applied."""
    await appear(push)
    delivery, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
    again, effects = await assign(push)
    assert again.state == facts.DELIVERY_STATE_APPLIED
    assert not any(isinstance(effect, Desired) and effect.state for effect in effects)


async def test_what_failed_is_tried_again_under_another_hash(push: ConfigPush) -> None:
    """Item 89: an equal hash would mean "has it" to the agent."""
    await appear(push)
    delivery, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, delivery.config_hash, "boom")
    again, effects = await assign(push)
    assert again.config_hash != delivery.config_hash
    assert isinstance(effects[0], Desired) and effects[0].state is not None


@pytest.mark.parametrize("before", [Statuses.RemoteConfigStatuses_APPLYING, Statuses.RemoteConfigStatuses_APPLIED])
@pytest.mark.parametrize("code", [-1, 0])
async def test_an_end_of_another_process_is_no_failure_of_the_configuration(
    push: ConfigPush, code: int, before: Statuses
) -> None:
    """The supervisor stopped that collector itself: the same delivery goes out once more, and no more often."""
    words = f"Agent exited unexpectedly with exit code {code} while applying configuration"
    await appear(push)
    first, _ = await assign(push)
    await tell(push, before, first.config_hash)
    stated = (await latest(push)).state
    offer, fact = await tell(push, Statuses.RemoteConfigStatuses_FAILED, first.config_hash, words)
    assert isinstance(offer, Desired) and offer.state is not None and offer.state.id == first.delivery_id
    assert isinstance(fact, facts.DeliveryStateChanged)
    assert (fact.previous_state, fact.state) == (domain.STATES[stated], facts.DELIVERY_STATE_PENDING)
    again = await latest(push)
    assert (again.state, again.config_hash.hex()) == ("pending", offer.state.config.config_hash.hex())
    assert again.config_hash.hex() != first.config_hash
    assert await tell(push, Statuses.RemoteConfigStatuses_FAILED, first.config_hash, words) == []
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, again.config_hash.hex(), words)
    assert ((await latest(push)).state, (await latest(push)).error) == ("failed", words)


async def feel(push: ConfigPush, state: str, seconds: float, error: str = "") -> list[Effect]:
    """supervisor-control tells the state of the collector at this time."""
    at = NOW + timedelta(seconds=seconds)
    fact = supervisor_facts.SupervisorStatusChanged(
        instance_uid=str(UID), collector_state=state, last_error=error, occurred_at=timestamp(at)
    )
    return list(await collector_handlers.collector_changed(push, fact, at))


async def crash_and_push_again(push: ConfigPush) -> rpc.Delivery:
    """A configuration ended the collector, and is pushed once more: the supervisor has it, and starts nothing."""
    await appear(push)
    first, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLYING, first.config_hash)
    words = "Agent exited unexpectedly with exit code 1 while applying configuration"
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, first.config_hash, words)
    assert ((await latest(push)).state, (await latest(push)).error) == ("failed", words)
    again, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, again.config_hash)
    return again


@pytest.mark.parametrize(
    ("collector", "words", "state", "error"),
    [("running", "", "applied", ""), ("crashed", "PID=8 exited", "failed", "PID=8 exited")],
)
async def test_a_crashed_collectors_applied_is_believed_when_it_runs(
    push: ConfigPush, collector: str, words: str, state: str, error: str
) -> None:
    """The supervisor tries again some seconds later; late news of before, and other states, prove nothing."""
    again = await crash_and_push_again(push)
    assert (await latest(push)).state == "applying"
    assert await feel(push, "running", -9) == await feel(push, "crashed", -1, "PID=7 exited") == []
    assert await feel(push, "starting", 4) == []
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, again.config_hash)  # says it all again
    assert (await latest(push)).state == "applying"
    wish, fact = await feel(push, collector, 5, words)
    assert wish == Desired(str(UID), "config", None)
    assert isinstance(fact, facts.DeliveryStateChanged) and fact.state == domain.STATES[state]
    assert ((await latest(push)).state, (await latest(push)).error) == (state, error)


async def test_a_collector_that_was_told_to_run_before_its_crash_is_known_here_has_not_crashed(
    push: ConfigPush,
) -> None:
    """Facts and reports come on two ways; their times tell the order."""
    await appear(push)
    await feel(push, "running", 1)
    await crash_and_push_again(push)
    assert (await latest(push)).state == "applied"


async def test_an_agent_is_believed_in_the_end(push: ConfigPush) -> None:
    """Nobody tells of its collector any more, not of a crash either."""
    await crash_and_push_again(push)
    patience = push.settings.answer_seconds
    assert await handlers.give_up_unanswered(push, NOW + timedelta(seconds=patience - 1)) == []
    assert len(await handlers.give_up_unanswered(push, NOW + timedelta(seconds=patience + 1))) == 2
    assert (await latest(push)).state == "applied"


async def test_a_collector_that_runs_is_no_end_of_applying(push: ConfigPush) -> None:
    """Only the agent knows when its time to apply is over."""
    await appear(push)
    await feel(push, "crashed", -5)
    delivery, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLYING, delivery.config_hash)
    assert await feel(push, "running", 1) == []
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
    assert (await latest(push)).state == "applied"


async def test_what_a_crashed_collector_has_is_tried_again(push: ConfigPush) -> None:
    """The agent calls it applied; pushed once more it is not done before it runs."""
    await appear(push)
    first, _ = await assign(push)
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, first.config_hash)
    await feel(push, "crashed", 1)
    again, _ = await assign(push)
    assert (again.state, again.config_hash == first.config_hash) == (facts.DELIVERY_STATE_PENDING, False)


async def test_the_collector_of_an_agent_that_never_reported_is_nobodys(push: ConfigPush) -> None:
    """supervisor-control may know it first."""
    assert await feel(push, "crashed", 0) == await feel(push, "running", 1) == []


async def test_an_agent_that_lost_its_configuration_gets_it_again_a_few_times(push: ConfigPush) -> None:
    """Bounded: two agents with one identity must not keep each other restarting."""
    await appear(push)
    delivery, _ = await assign(push)
    lost = opamp_pb2.AgentToServer(capabilities=SUPERVISOR, remote_config_status=opamp_pb2.RemoteConfigStatus())
    given = 0
    for _ in range(6):
        await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
        effects = await report(push, lost)
        given += sum(isinstance(effect, Desired) and effect.state is not None for effect in effects)
    assert given == push.settings.redeliveries_per_hour


async def test_the_effective_configuration_is_kept_as_reported(push: ConfigPush) -> None:
    """Item 82: any bytes, any names; the same again is no news."""
    await appear(push)
    effective = opamp_pb2.EffectiveConfig()
    effective.config_map.config_map[""].body = b"\xff\x00"
    effective.config_map.config_map["raw"].content_type = "text/yaml"
    message = opamp_pb2.AgentToServer(capabilities=SUPERVISOR, effective_config=effective)
    assert [type(effect) for effect in await report(push, message)] == [facts.EffectiveConfigChanged]
    assert await report(push, message) == []
    answer = await handlers.get_agent_config(push, rpc.GetAgentConfigRequest(instance_id=str(UID)), NOW)
    assert [(one.name, one.body, one.content_type) for one in answer.effective] == [
        ("", b"\xff\x00", ""),
        ("raw", b"", "text/yaml"),
    ]


async def test_a_late_report_of_a_superseded_connection_changes_nothing(push: ConfigPush) -> None:
    """The newer connection's state stands."""
    await appear(push)
    delivery, _ = await assign(push)
    later = {"connection": UUID(int=9), "connected_at": NOW}
    applied = opamp_pb2.RemoteConfigStatus(
        status=Statuses.RemoteConfigStatuses_APPLIED, last_remote_config_hash=bytes.fromhex(delivery.config_hash)
    )
    await report(push, opamp_pb2.AgentToServer(capabilities=SUPERVISOR, remote_config_status=applied), **later)
    stale = opamp_pb2.AgentToServer(remote_config_status=opamp_pb2.RemoteConfigStatus())
    assert await report(push, stale) == []
    assert (await latest(push)).state == "applied"


async def test_a_new_identity_takes_the_assignment_with_it(push: ConfigPush) -> None:
    """Item 55: what waits for the agent waits under its new uid."""
    await appear(push)
    await assign(push)
    fact = agent_facts.AgentReidentified(
        instance_uid=str(UUID(int=2)), previous_instance_uid=str(UID), gateway_id=str(uuid4())
    )
    effects = await handlers.reidentified(push, fact, NOW)
    assert effects[0] == Desired(str(UID), "config", None)
    assert isinstance(effects[1], Desired) and effects[1].instance_uid == str(UUID(int=2))
    assert list(await push.store.latest([UID, UUID(int=2)])) == [UUID(int=2)]


async def test_a_deleted_gateway_leaves_nothing_and_an_archived_one_all(push: ConfigPush) -> None:
    """Facts of agent-registry."""
    await appear(push)
    await assign(push)
    archived = agent_facts.GatewayRemoved(instance_uid=str(UID), reason="archived")
    assert await handlers.gateway_removed(push, archived, NOW) == []
    deleted = agent_facts.GatewayRemoved(instance_uid=str(UID), reason="deleted")
    assert await handlers.gateway_removed(push, deleted, NOW) == [Desired(str(UID), "config", None)]
    assert await push.store.latest([UID]) == {}


async def test_capabilities_follow_the_registrys_facts(push: ConfigPush) -> None:
    """Item 65: without the capability no more assignments."""
    await appear(push)
    fact = agent_facts.AgentCapabilitiesChanged(instance_uid=str(UID), capabilities=EXTENSION)
    await handlers.capabilities_changed(push, fact, NOW + timedelta(seconds=1))
    with pytest.raises(ConflictError):
        await assign(push)


async def test_lists_and_single_deliveries(push: ConfigPush) -> None:
    """By agent, by id; an unknown one is not found."""
    await appear(push)
    delivery, _ = await assign(push)
    for uids, found in (([UID, UUID(int=2)], [delivery.delivery_id]), ([], [])):
        answer = await handlers.list_deliveries(push, rpc.ListDeliveriesRequest(instance_ids=map(str, uids)), NOW)
        assert [one.delivery_id for one in answer.deliveries] == found
    one = await handlers.get_delivery(push, rpc.GetDeliveryRequest(delivery_id=delivery.delivery_id), NOW)
    assert one.delivery == delivery
    assert one.config == GOOD
    for id_ in (str(uuid4()), "nonsense"):
        with pytest.raises(NotFoundError):
            await handlers.get_delivery(push, rpc.GetDeliveryRequest(delivery_id=id_), NOW)


async def test_history_is_newest_first_with_the_text_of_each(push: ConfigPush) -> None:
    """Earlier versions can be looked at and sent again; as many as asked for."""
    await appear(push)
    first, _ = await assign(push)
    second, _ = await assign(push, BETTER)
    history = await handlers.list_deliveries(push, rpc.ListDeliveriesRequest(history_of=str(UID)), NOW)
    assert {one.delivery_id for one in history.deliveries} == {first.delivery_id, second.delivery_id}
    one = await handlers.list_deliveries(push, rpc.ListDeliveriesRequest(history_of=str(UID), limit=1), NOW)
    assert len(one.deliveries) == 1
    for delivery, text in ((first, GOOD), (second, BETTER)):
        found = await handlers.get_delivery(push, rpc.GetDeliveryRequest(delivery_id=delivery.delivery_id), NOW)
        assert found.config == text


def ordered(operation_id: UUID, config_hash: str) -> supervisor_facts.ConfigPushOrdered:
    return supervisor_facts.ConfigPushOrdered(
        instance_uid=str(UID),
        gateway_id=str(uuid4()),
        operation_id=str(operation_id),
        config_hash=config_hash,
        actor="admin",
    )


async def test_a_kept_configuration_is_delivered_on_a_bulk_operations_order(push: ConfigPush) -> None:
    """The delivery has the id that the operation knows; the same order again changes nothing."""
    kept = await handlers.keep_config(push, rpc.KeepConfigRequest(config=GOOD, actor="admin"), NOW)
    await appear(push)
    operation_id = uuid4()
    effects = await handlers.push_ordered(push, ordered(operation_id, kept.config_hash), NOW)
    assert isinstance(effects[0], Desired) and effects[0].state is not None
    delivery = await latest(push)
    assert delivery.delivery_id == uuid5(operation_id, str(UID))
    assert (delivery.content_hash.hex(), delivery.state) == (kept.config_hash, "pending")
    assert await handlers.push_ordered(push, ordered(operation_id, kept.config_hash), NOW) == []


@pytest.mark.parametrize(("capabilities", "words"), [(EXTENSION, "accepts_remote_config: true"), (0, "not reported")])
async def test_an_order_that_cannot_be_followed_is_told_back(push: ConfigPush, capabilities: int, words: str) -> None:
    """As a delivery that failed, with why."""
    kept = await handlers.keep_config(push, rpc.KeepConfigRequest(config=GOOD), NOW)
    if capabilities:
        await appear(push, capabilities)
    operation_id = uuid4()
    (fact,) = await handlers.push_ordered(push, ordered(operation_id, kept.config_hash), NOW)
    assert isinstance(fact, facts.DeliveryStateChanged)
    assert (fact.delivery_id, fact.state) == (str(uuid5(operation_id, str(UID))), facts.DELIVERY_STATE_FAILED)
    assert words in fact.error
    assert await push.store.latest([UID]) == {}


async def test_a_configuration_that_is_not_kept_is_no_order(push: ConfigPush) -> None:
    """Only checked, it is not kept."""
    await appear(push)
    checked = await handlers.keep_config(push, rpc.KeepConfigRequest(config=GOOD, check_only=True), NOW)
    (fact,) = await handlers.push_ordered(push, ordered(uuid4(), checked.config_hash), NOW)
    assert isinstance(fact, facts.DeliveryStateChanged) and "does not have" in fact.error
    with pytest.raises(InvalidError):
        await handlers.keep_config(push, rpc.KeepConfigRequest(config="a: [", check_only=True), NOW)


async def test_secrets_of_a_reported_configuration_are_not_stored(push: ConfigPush) -> None:
    """Nor given out, nor those in an error; what was pushed is delivered as it was written."""
    token = tokens.mint(tokens.TELEMETRY)
    await appear(push)
    delivery, _ = await assign(push, "exporters: {otlp: {headers: {authorization: hunter2}}}\n")
    message = opamp_pb2.AgentToServer(capabilities=SUPERVISOR)
    body = f"exporters: {{otlp: {{headers: {{authorization: hunter2}}}}}}\nx: [{token}]\n"
    message.effective_config.config_map.config_map[""].body = body.encode()
    await report(push, message)
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, delivery.config_hash, f"cannot use {token}")
    answer = await handlers.get_agent_config(push, rpc.GetAgentConfigRequest(instance_id=str(UID)), NOW)
    masked = f"fgt_{'*' * (len(token) - 4)}"
    assert answer.effective[0].body.decode() == (
        f'exporters: {{otlp: {{headers: {{authorization: "[REDACTED]"}}}}}}\nx: [{masked}]\n'
    )
    assert "hunter2" in answer.assigned_config
    assert (answer.reported_error, answer.delivery.error) == (f"cannot use {masked}", f"cannot use {masked}")
    row = await push.store.effective(UID)
    assert row is not None and b"hunter2" not in row["effective"] and token.encode() not in row["effective"]


async def test_an_offer_that_is_not_answered_fails(push: ConfigPush) -> None:
    """Item 98: a state of its own words, no storm of offers; an answer that comes late counts."""
    await appear(push)
    delivery, _ = await assign(push)
    sent = uplink_pb2.Delivered(facet="config", id=delivery.delivery_id)
    await report(push, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent)
    assert await handlers.give_up_unanswered(push, NOW + timedelta(seconds=119)) == []
    wish, fact = await handlers.give_up_unanswered(push, NOW + timedelta(seconds=121))
    assert wish == Desired(str(UID), "config", None)
    assert isinstance(fact, facts.DeliveryStateChanged) and fact.state == facts.DELIVERY_STATE_FAILED
    assert "120 s" in fact.error
    assert await handlers.give_up_unanswered(push, NOW + timedelta(seconds=122)) == []
    await tell(push, Statuses.RemoteConfigStatuses_APPLIED, delivery.config_hash)
    assert (await latest(push)).state == "applied"


async def test_an_agent_that_never_answers_is_not_waited_for(push: ConfigPush) -> None:
    """Item 92: without ReportsRemoteConfig an offer that was sent is all there is."""
    await appear(push, SUPERVISOR & ~domain.REPORTS_REMOTE_CONFIG)
    delivery, _ = await assign(push)
    sent = uplink_pb2.Delivered(facet="config", id=delivery.delivery_id)
    await report(push, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent)
    assert await handlers.give_up_unanswered(push, NOW + timedelta(days=1)) == []


@pytest.mark.parametrize(("state", "is_taken_back"), [("pending", True), ("offered", True), ("applying", False)])
async def test_an_order_that_is_withdrawn_is_not_offered(push: ConfigPush, state: str, is_taken_back: bool) -> None:
    """Unless the agent works on it already; a delivery by somebody else stays."""
    kept = await handlers.keep_config(push, rpc.KeepConfigRequest(config=GOOD), NOW)
    await appear(push)
    operation_id = uuid4()
    await handlers.push_ordered(push, ordered(operation_id, kept.config_hash), NOW)
    delivery = await latest(push)
    if state != "pending":
        sent = uplink_pb2.Delivered(facet="config", id=str(delivery.delivery_id))
        await report(push, opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DELIVERED, delivered=sent)
    if state == "applying":
        await tell(push, Statuses.RemoteConfigStatuses_APPLYING, delivery.config_hash.hex())
    other = supervisor_facts.ConfigPushWithdrawn(instance_uid=str(UID), operation_id=str(uuid4()), reason="late")
    assert await handlers.push_withdrawn(push, other, NOW) == []
    fact = supervisor_facts.ConfigPushWithdrawn(instance_uid=str(UID), operation_id=str(operation_id), reason="late")
    effects = await handlers.push_withdrawn(push, fact, NOW)
    assert (effects[:1] == [Desired(str(UID), "config", None)]) == is_taken_back
    assert ((await latest(push)).state, (await latest(push)).error) == (
        ("failed", "late") if is_taken_back else (state, "")
    )


async def test_what_nobody_uses_is_forgotten(push: ConfigPush) -> None:
    """The latest delivery and its configuration stay, however old; what is wanted again stays as well."""
    await appear(push)
    first, _ = await assign(push, GOOD)
    second, _ = await assign(push, BETTER)
    unused = await handlers.keep_config(push, rpc.KeepConfigRequest(config=f"{GOOD}# a\n"), NOW)
    again = await handlers.keep_config(push, rpc.KeepConfigRequest(config=f"{GOOD}# b\n"), NOW)
    later = NOW + timedelta(days=91)
    await handlers.keep_config(push, rpc.KeepConfigRequest(config=f"{GOOD}# b\n"), later)
    await handlers.delete_old(push, later)
    history = await handlers.list_deliveries(push, rpc.ListDeliveriesRequest(history_of=str(UID)), NOW)
    assert [one.delivery_id for one in history.deliveries] == [second.delivery_id]
    kept = {
        config_hash: await push.store.config_body(bytes.fromhex(config_hash)) is not None
        for config_hash in (first.config_hash, second.config_hash, unused.config_hash, again.config_hash)
    }
    assert list(kept.values()) == [False, True, False, True]


async def test_who_pushed_what_and_when_is_kept(push: ConfigPush) -> None:
    """Item 154: for each offer who ordered it, the text as it was, and what became of it, also after a newer one."""
    await appear(push)
    first, _ = await assign(push, GOOD)
    await tell(push, Statuses.RemoteConfigStatuses_FAILED, first.config_hash, "no such receiver")
    await assign(push, BETTER)
    history = await handlers.list_deliveries(push, rpc.ListDeliveriesRequest(history_of=str(UID)), NOW)
    second_kept, first_kept = history.deliveries
    assert (first_kept.created_by, first_kept.state, first_kept.error) == (
        "admin",
        facts.DELIVERY_STATE_FAILED,
        "no such receiver",
    )
    assert (second_kept.created_by, second_kept.state) == ("admin", facts.DELIVERY_STATE_PENDING)
    answer = await handlers.get_delivery(push, rpc.GetDeliveryRequest(delivery_id=first_kept.delivery_id), NOW)
    assert answer.config == GOOD
