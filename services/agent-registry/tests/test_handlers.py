"""agent-registry's handlers on a real PostgreSQL, each test in a transaction that leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from google.protobuf.message import Message

from agent_registry import answers, handlers
from agent_registry.presence import Presence
from agent_registry.registry import Registry
from agent_registry.settings import Settings
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit import db
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.outbox import Desired
from flowkit.testing import EXTENSION, SUPERVISOR, make_description, make_report, rolled_back
from opamp.v1 import opamp_pb2

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GONE = uplink_pb2.ENTRY_KIND_DISCONNECTED
DRAINED = {"kind": GONE, "reason": uplink_pb2.DISCONNECT_REASON_DRAIN}


@pytest.fixture
async def registry(database_url: Callable[[str], str]) -> AsyncIterator[Registry]:
    async with rolled_back(database_url("agent_registry")) as connection:
        yield Registry.on(connection, Presence(NOW - timedelta(hours=1)), Settings())


def full_report(
    host: str, capabilities: int = SUPERVISOR, version: str = "1", healthy: bool = True
) -> opamp_pb2.AgentToServer:
    return opamp_pb2.AgentToServer(
        capabilities=capabilities,
        agent_description=make_description(service__name="otelcol", service__version=version, host__name=host),
        health=opamp_pb2.ComponentHealth(healthy=healthy, last_error="" if healthy else "boom"),
    )


async def report(registry: Registry, number: int, message: opamp_pb2.AgentToServer, **changes: object) -> list[str]:
    reports = [make_report(UUID(int=number), message, **{"at": NOW, **changes})]  # type: ignore[arg-type]
    return [type(effect).__name__ for effect in await handlers.agents_reported(registry, reports, NOW)]


def hear(registry: Registry, number: int, at: datetime, ingress: str = "gateway-1") -> None:
    """An ingress tells that it heard of an agent."""
    told = desired_pb2.Presence(
        gateway=ingress, at_unix_nano=int(at.timestamp() * 1e9), instance_uids=UUID(int=number).bytes
    )
    registry.presence.record(told)


def listen(registry: Registry, until: datetime, since: datetime = NOW - timedelta(hours=1)) -> None:
    """Listen without a break, as the service does."""
    while since < until:
        registry.presence.has_listened(since, timedelta(0))
        since += timedelta(seconds=5)


async def listed(registry: Registry, **request: object) -> list[str]:
    answer = await handlers.list_gateways(registry, rpc.ListGatewaysRequest(**request), NOW)  # type: ignore[arg-type]
    return [gateway.name for gateway in answer.gateways]


async def test_any_description_is_kept(registry: Registry) -> None:
    """Whatever an agent says of itself: NUL, more than an index or a fact has room for, attributes without end."""
    message = full_report("host\0" + "x" * 10_000)
    for number in range(1000):
        message.agent_description.non_identifying_attributes.add(key=f"{number}\0").value.string_value = "y" * 10_000
    assert "AgentRegistered" in await report(registry, 1, message)
    message.agent_description.non_identifying_attributes[0].value.string_value = "z" * 1_000_000
    (told,) = await handlers.agents_reported(registry, [make_report(UUID(int=1), message, at=NOW)], NOW)
    assert isinstance(told, facts.AgentDescriptionChanged) and told.ByteSize() < 900_000
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=1))), NOW)
    assert opamp_pb2.AgentDescription.FromString(answer.detail.agent_description) == message.agent_description


async def test_an_agent_of_which_something_was_lost_is_asked_for_everything(registry: Registry) -> None:
    """Item 44: what is known stays, and the wish for its full state ends with the next description, the same or not."""
    await report(registry, 1, full_report("a"))
    lost = make_report(UUID(int=1), at=NOW)
    lost.is_lost, lost.entry.fields = True, 0
    (wish,) = await handlers.agents_reported(registry, [lost], NOW)
    assert isinstance(wish, Desired) and wish.state is not None and wish.facet == "state"
    assert await handlers.standing(registry) == [wish]
    assert await listed(registry, healths=[rpc.HEALTH_STATE_HEALTHY]) == ["otelcol@a"]
    assert await report(registry, 1, full_report("a")) == ["Desired"]
    assert await handlers.standing(registry) == []


async def test_a_batch_is_written_and_read_back(registry: Registry) -> None:
    """New ones and known ones in one batch; the last report of an agent wins per part."""
    reports = [make_report(UUID(int=n), full_report(f"host-{n}"), at=NOW) for n in range(1, 4)]
    unhealthy = opamp_pb2.AgentToServer(sequence_num=1, health=opamp_pb2.ComponentHealth(last_error="no"))
    reports.append(make_report(UUID(int=2), unhealthy, at=NOW))
    await handlers.agents_reported(registry, reports, NOW)
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=2))), NOW)
    gateway = answer.detail.gateway
    assert (gateway.name, gateway.healthy, gateway.last_error) == ("otelcol@host-2", False, "no")
    assert (gateway.status, gateway.version, answer.detail.sequence_num) == (rpc.GATEWAY_STATUS_ONLINE, "1", 1)
    assert opamp_pb2.ComponentHealth.FromString(answer.detail.health).last_error == "no"
    by_id = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=gateway.gateway_id), NOW)
    assert by_id == answer


async def test_plain_health_reports_come_to_the_same_by_their_shorter_way(registry: Registry) -> None:
    """A batch of nothing but health reads a few columns; what it stores and tells is what the long way would."""
    for number in (1, 2):
        await report(registry, number, full_report("a" if number == 1 else "b"))
    later = NOW + timedelta(seconds=5)
    sick = opamp_pb2.AgentToServer(sequence_num=3, health=opamp_pb2.ComponentHealth(last_error="no", status="bad"))
    heartbeat = opamp_pb2.AgentToServer(sequence_num=4)
    plain = [make_report(UUID(int=1), sick, at=later), make_report(UUID(int=2), heartbeat, at=later)]
    effects = await handlers.agents_reported(registry, plain, later)
    assert [type(effect) for effect in effects] == [facts.AgentHealthChanged]
    assert await handlers.agents_reported(registry, plain, later) == []
    first, second = [
        (await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=number))), later)).detail
        for number in (1, 2)
    ]
    assert (first.gateway.healthy, first.gateway.last_error, first.gateway.health_status) == (False, "no", "bad")
    assert opamp_pb2.ComponentHealth.FromString(first.health) == sick.health
    assert first.gateway.health_since == first.gateway.last_seen_at
    assert (second.gateway.healthy, second.sequence_num, second.gateway.version) == (True, 4, "1")
    assert second.gateway.name == "otelcol@b" and second.agent_description
    moved = make_report(UUID(int=2), heartbeat, at=later, connection=UUID(int=8), connected_at=later)
    (fact,) = await handlers.agents_reported(registry, [plain[0], moved], later)
    assert isinstance(fact, facts.AgentConnected) and fact.instance_uid == str(UUID(int=2))


async def test_uint64_values_survive(registry: Registry) -> None:
    """Items 51 and 67: sequence numbers and unknown capability bits above 2^63."""
    message = full_report("a")
    message.sequence_num = 2**63 + 5
    message.capabilities = 2**63 | SUPERVISOR
    await report(registry, 1, message)
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=1))), NOW)
    assert (answer.detail.sequence_num, answer.detail.gateway.capabilities) == (2**63 + 5, 2**63 | SUPERVISOR)


async def test_lists_filter_sort_and_page(registry: Registry) -> None:
    """Every filter by itself, and a cursor that visits all once in order."""
    for number, host in enumerate(["c", "a", "d", "b"], 1):
        await report(registry, number, full_report(host, version=str(number), healthy=host != "d"))
    await report(registry, 5, full_report("plain", EXTENSION))
    await report(registry, 4, opamp_pb2.AgentToServer(), kind=GONE)
    assert await listed(registry) == ["otelcol@a", "otelcol@b", "otelcol@c", "otelcol@d", "otelcol@plain"]
    assert await listed(registry, management_mode=facts.MANAGEMENT_MODE_EXTENSION) == ["otelcol@plain"]
    assert await listed(registry, statuses=[rpc.GATEWAY_STATUS_OFFLINE]) == ["otelcol@b"]
    assert await listed(registry, healths=[rpc.HEALTH_STATE_UNHEALTHY]) == ["otelcol@d"]
    assert await listed(registry, healths=[rpc.HEALTH_STATE_UNKNOWN]) == ["otelcol@b"]
    assert len(await listed(registry, healths=[rpc.HEALTH_STATE_HEALTHY, rpc.HEALTH_STATE_UNKNOWN])) == 4
    assert (await listed(registry, sort="health"))[:2] == ["otelcol@d", "otelcol@b"]
    assert await listed(registry, q="PLAIN") == ["otelcol@plain"]
    assert await listed(registry, versions=["3", "4"]) == ["otelcol@b", "otelcol@d"]
    assert await listed(registry, instance_ids=[str(UUID(int=2)), str(UUID(int=99))]) == ["otelcol@a"]
    assert await listed(registry, q="%") == []
    assert await listed(registry, sort="-version", limit=2) == ["otelcol@b", "otelcol@d"]
    for sort in ("name", "-name", "last_seen_at", "-first_seen_at", "version", "status", "-health"):
        seen: list[str] = []
        cursor = ""
        while True:
            request = rpc.ListGatewaysRequest(sort=sort, limit=2, cursor=cursor)
            answer = await handlers.list_gateways(registry, request, NOW)
            seen += [gateway.name for gateway in answer.gateways]
            assert answer.total == 5
            cursor = answer.next_cursor
            if not cursor:
                break
        assert len(seen) == len(set(seen)) == 5


async def test_the_state_of_the_latest_configuration_is_kept_for_lists_and_counts(registry: Registry) -> None:
    """As config-push tells it, also under a former uid; a superseded or refused delivery is not the latest one."""
    for number, host in enumerate(["a", "b", "c"], 1):
        await report(registry, number, full_report(host))
    (third,) = (await handlers.list_gateways(registry, rpc.ListGatewaysRequest(q="@c"), NOW)).gateways

    async def tell(number: int, state: str, previous: str = "PENDING", gateway_id: str = "") -> None:
        fact = config_facts.DeliveryStateChanged(
            instance_uid=str(UUID(int=number)),
            gateway_id=gateway_id,
            state=f"DELIVERY_STATE_{state}",
            previous_state=f"DELIVERY_STATE_{previous}",
        )
        assert await handlers.delivery_state_changed(registry, fact, NOW) == []

    await tell(1, "PENDING", "UNSPECIFIED")
    await tell(2, "PENDING", "UNSPECIFIED")
    await tell(2, "SUPERSEDED")
    await tell(2, "FAILED", "UNSPECIFIED")
    await tell(1, "FAILED", "APPLYING")
    await tell(99, "APPLIED", gateway_id=third.gateway_id)
    assert await listed(registry, config_states=[config_facts.DELIVERY_STATE_FAILED]) == ["otelcol@a"]
    done = [config_facts.DELIVERY_STATE_PENDING, config_facts.DELIVERY_STATE_APPLIED]
    assert await listed(registry, config_states=done) == ["otelcol@b", "otelcol@c"]
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), NOW)
    assert dict(counted.by_config_state) == {"failed": 1, "pending": 1, "applied": 1}
    await report(registry, 4, full_report("d"))
    assert (await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), NOW)).total == 4


@pytest.mark.parametrize(
    "request_", [{"sort": "colour"}, {"cursor": "!!"}, {"cursor": "W10"}, {"limit": 1001}], ids=str
)
async def test_a_list_that_makes_no_sense_is_refused(registry: Registry, request_: dict[str, object]) -> None:
    """The error says what is wrong with sort, cursor or limit."""
    with pytest.raises(InvalidError):
        await listed(registry, **request_)


async def test_labels_and_name_are_changed_and_found(registry: Registry) -> None:
    """Labels merge; one without a value asks for its presence; an empty name brings back the default."""
    await report(registry, 1, full_report("a"))
    uid = str(UUID(int=1))
    change = rpc.UpdateGatewayRequest(id=uid, name="edge", set_labels={"env": "prod", "tier": "1"})
    reply = await handlers.update_gateway(registry, change, NOW)
    assert isinstance(reply.effects[0], facts.GatewayUpdated)
    await handlers.update_gateway(registry, rpc.UpdateGatewayRequest(id=uid, remove_labels=["tier"]), NOW)
    assert await listed(registry, labels={"env": "prod"}) == ["edge"]
    assert await listed(registry, labels={"env": ""}) == ["edge"]
    assert await listed(registry, labels={"tier": ""}) == []
    await handlers.update_gateway(registry, rpc.UpdateGatewayRequest(id=uid, name=""), NOW)
    assert await listed(registry) == ["otelcol@a"]


async def test_only_an_offline_gateway_is_deleted(registry: Registry) -> None:
    """A connected one would come back with its next report."""
    await report(registry, 1, full_report("a"))
    delete = rpc.DeleteGatewayRequest(id=str(UUID(int=1)))
    with pytest.raises(ConflictError):
        await handlers.delete_gateway(registry, delete, NOW)
    await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE)
    reply = await handlers.delete_gateway(registry, delete, NOW)
    assert isinstance(reply.effects[0], facts.GatewayRemoved)
    with pytest.raises(NotFoundError):
        await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=delete.id), NOW)


async def test_a_goodbye_of_nobody_makes_no_ghost(registry: Registry) -> None:
    """Item 77: AgentDisconnect from an unknown uid."""
    goodbye = opamp_pb2.AgentToServer(agent_disconnect=opamp_pb2.AgentDisconnect())
    assert await report(registry, 1, goodbye) == []
    assert await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE) == []
    assert await listed(registry) == []


async def test_an_extension_that_starts_again_is_the_same_gateway(registry: Registry) -> None:
    """A new uid with the description of exactly one offline extension gateway keeps its id and labels."""
    await report(registry, 1, full_report("a", EXTENSION))
    label = rpc.UpdateGatewayRequest(id=str(UUID(int=1)), set_labels={"site": "plant"})
    before = (await handlers.update_gateway(registry, label, NOW)).response
    await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE)
    later = {"connection": UUID(int=2), "connected_at": NOW}
    told = await report(registry, 2, full_report("a", EXTENSION), **later)
    assert told == ["AgentReidentified", "AgentConnected"]
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=2))), NOW)
    assert isinstance(before, rpc.UpdateGatewayResponse)
    assert answer.detail.gateway.gateway_id == before.gateway.gateway_id
    assert dict(answer.detail.gateway.labels) == {"site": "plant"}


async def test_an_extension_that_reloads_is_the_same_gateway_whatever_comes_first(registry: Registry) -> None:
    """Shards run apart: the first report under the new uid may be handled before the end of the old connection."""
    await report(registry, 1, full_report("a", EXTENSION))
    label = rpc.UpdateGatewayRequest(id=str(UUID(int=1)), set_labels={"site": "plant"})
    before = (await handlers.update_gateway(registry, label, NOW)).response
    assert isinstance(before, rpc.UpdateGatewayResponse)
    later = {"connection": UUID(int=2), "connected_at": NOW}
    assert (await report(registry, 2, full_report("a", EXTENSION, version="2"), **later))[0] == "AgentRegistered"
    told = await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE)
    assert told == ["AgentDisconnected", "AgentReidentified"]
    assert await listed(registry) == ["otelcol@a"]
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=2))), NOW)
    gateway = answer.detail.gateway
    assert (gateway.gateway_id, dict(gateway.labels)) == (before.gateway.gateway_id, {"site": "plant"})
    assert (gateway.version, gateway.status) == ("2", rpc.GATEWAY_STATUS_ONLINE)
    assert opamp_pb2.AgentDescription.FromString(answer.detail.agent_description).identifying_attributes


async def test_an_ambiguous_or_online_twin_makes_a_new_gateway(registry: Registry) -> None:
    """Two offline ones with the same description, or one that is online: nobody can tell which it is."""
    await report(registry, 1, full_report("a", EXTENSION))
    assert await report(registry, 2, full_report("a", EXTENSION), at=NOW - timedelta(seconds=1)) == [
        "AgentRegistered",
        "AgentConnected",
        "AgentHealthChanged",
    ]
    for number in (1, 2):
        await report(registry, number, opamp_pb2.AgentToServer(), kind=GONE)
    assert "AgentRegistered" in await report(registry, 3, full_report("a", EXTENSION))
    assert len(await listed(registry)) == 3


async def test_a_supervisor_with_a_new_uid_is_a_new_gateway(registry: Registry) -> None:
    """Its uid is kept in its storage, so another one is another supervisor."""
    await report(registry, 1, full_report("a"))
    await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE)
    assert "AgentRegistered" in await report(registry, 2, full_report("a"))


async def test_a_uid_given_on_request_keeps_the_gateway(registry: Registry) -> None:
    """Item 55: the old record is the new one."""
    await report(registry, 1, full_report("a"))
    told = await report(registry, 2, opamp_pb2.AgentToServer(sequence_num=1), previous_instance_uid=UUID(int=1).bytes)
    assert told[0] == "AgentReidentified"
    assert await listed(registry) == ["otelcol@a"]


async def test_silence_makes_stale_and_then_offline(registry: Registry) -> None:
    """Stale is computed when read; offline is a transition with an event; presence keeps both away."""
    await report(registry, 1, full_report("quiet"))
    await report(registry, 2, full_report("beating"))
    later = NOW + timedelta(seconds=130)
    hear(registry, 2, later)
    await registry.store.record_seen(registry.presence.take_fresh(), coarse_seconds=20)
    listen(registry, later)
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), NOW + timedelta(seconds=80))
    assert dict(counted.by_status) == {"stale": 1, "online": 1}
    (fact,) = await handlers.sweep(registry, later)
    assert isinstance(fact, facts.AgentDisconnected) and fact.reason == "silence"
    assert fact.instance_uid == str(UUID(int=1))
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), later)
    assert dict(counted.by_status) == {"offline": 1, "online": 1}
    assert dict(counted.by_health) == {"unknown": 1, "healthy": 1}


async def test_who_was_heard_but_could_not_be_written_is_not_gone(registry: Registry) -> None:
    """PostgreSQL was away longer than silence is borne: what this replica heard meanwhile counts."""
    await report(registry, 1, full_report("a"))
    later = NOW + timedelta(seconds=300)
    hear(registry, 1, later - timedelta(seconds=10))
    listen(registry, later)
    assert await handlers.sweep(registry, later) == []


async def test_who_counted_as_gone_and_is_heard_of_is_there_again(registry: Registry) -> None:
    """An ingress that had lost NATS for a while still has its agents, who say nothing but heartbeats. A late word of
    one that its ingress saw leaving, or of another ingress, changes nothing."""
    for number in (1, 2, 3):
        await report(registry, number, full_report(f"host-{number}"))
    await report(registry, 2, opamp_pb2.AgentToServer(), kind=GONE)
    later = NOW + timedelta(seconds=130)
    listen(registry, later)
    assert len(await handlers.sweep(registry, later)) == 2
    hear(registry, 1, later)
    hear(registry, 2, later)
    hear(registry, 3, later, ingress="another")
    (back,) = await registry.store.reconnect_heard(heard := registry.presence.take_fresh())
    assert (back["instance_uid"], back["ingress"]) == (UUID(int=1), "gateway-1")
    assert await registry.store.reconnect_heard(heard) == []
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), later)
    assert dict(counted.by_status) == {"online": 1, "offline": 2}
    assert await report(registry, 1, opamp_pb2.AgentToServer(sequence_num=1)) == []


async def test_a_replica_that_missed_something_listens_anew(registry: Registry) -> None:
    """After a suspended machine wakes up, everybody seems silent."""
    await report(registry, 1, full_report("a"))
    asleep = NOW + timedelta(hours=8)
    assert await handlers.sweep(registry, asleep) == []
    listen(registry, asleep + timedelta(seconds=119), since=asleep)
    assert await handlers.sweep(registry, asleep + timedelta(seconds=119)) == []
    listen(registry, asleep + timedelta(seconds=121), since=asleep + timedelta(seconds=119))
    assert len(await handlers.sweep(registry, asleep + timedelta(seconds=121))) == 1


@pytest.mark.parametrize(
    ("transport", "last"), [(uplink_pb2.TRANSPORT_HTTP, "online"), (uplink_pb2.TRANSPORT_WEBSOCKET, "offline")]
)
async def test_a_poller_that_was_told_to_come_less_often_may_be_silent_longer(
    registry: Registry, transport: uplink_pb2.Transport, last: str
) -> None:
    """Item 74: three of its intervals; one on a WebSocket answers pings meanwhile, so that nothing changes for it."""
    message = make_report(UUID(int=1), full_report("a"), at=NOW)
    said = uplink_pb2.Delivered(facet="connection", heartbeat_interval_seconds=300)
    offered = make_report(UUID(int=1), kind=uplink_pb2.ENTRY_KIND_DELIVERED, at=NOW, delivered=said)
    for one in (message, offered):
        one.entry.transport = transport
        assert all(isinstance(effect, Message) for effect in await handlers.agents_reported(registry, [one], NOW))
    later = NOW + timedelta(seconds=600)
    listen(registry, later)
    await handlers.sweep(registry, later)
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=1))), later)
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), later)
    assert dict(counted.by_status) == {last: 1}
    assert answers.STATUS_NAMES[answer.detail.gateway.status] == last


async def test_who_does_not_come_back_after_a_drain_is_gone(registry: Registry) -> None:
    """Online meanwhile, without an event; then offline since the connection was closed, and why."""
    for number in (1, 2):
        await report(registry, number, full_report(f"host-{number}"))
        assert await report(registry, number, opamp_pb2.AgentToServer(), **DRAINED) == []
    counted = await handlers.get_fleet_summary(registry, rpc.GetFleetSummaryRequest(), NOW)
    assert dict(counted.by_status) == {"online": 2}
    assert await handlers.sweep(registry, NOW + timedelta(seconds=29)) == []
    back = {"connection": UUID(int=9), "connected_at": NOW + timedelta(seconds=5)}
    assert await report(registry, 2, opamp_pb2.AgentToServer(sequence_num=2), **back) == ["AgentConnected"]
    (fact,) = await handlers.sweep(registry, NOW + timedelta(seconds=31))
    assert isinstance(fact, facts.AgentDisconnected)
    assert (fact.instance_uid, fact.reason) == (str(UUID(int=1)), "drain")
    assert fact.occurred_at.ToDatetime(UTC) == NOW
    assert await handlers.sweep(registry, NOW + timedelta(seconds=40)) == []


async def test_an_extension_that_restarts_during_a_drain_is_the_same_gateway(registry: Registry) -> None:
    """Another uid, the same host and service: its former connection is no longer there, although nobody was told."""
    await report(registry, 1, full_report("a", EXTENSION))
    await report(registry, 1, opamp_pb2.AgentToServer(), **DRAINED)
    assert await report(registry, 2, full_report("a", EXTENSION)) == ["AgentReidentified", "AgentConnected"]
    assert len(await listed(registry)) == 1


async def test_agents_that_were_built_alike_are_told_together(registry: Registry) -> None:
    """Most first; those that did not tell are a set of their own, unknown ones are left out."""
    components = opamp_pb2.AvailableComponents(
        hash=b"h", components={"receivers": opamp_pb2.ComponentDetails(sub_component_map={"otlp": {}})}
    )
    for number in (1, 2):
        message = full_report(f"host-{number}")
        message.available_components.CopyFrom(components)
        await report(registry, number, message)
    await report(registry, 3, full_report("host-3"))
    wanted = rpc.ListComponentsRequest(instance_ids=[str(UUID(int=number)) for number in (1, 2, 3, 4)])
    alike, silent = (await handlers.list_components(registry, wanted, NOW)).sets
    assert opamp_pb2.AvailableComponents.FromString(alike.available_components) == components
    assert list(alike.instance_ids) == [str(UUID(int=1)), str(UUID(int=2))]
    assert (silent.available_components, list(silent.instance_ids)) == (b"", [str(UUID(int=3))])


async def test_labels_of_the_fleet_are_counted_and_found_by_a_part(registry: Registry) -> None:
    """Most gateways first; % and _ mean themselves."""
    for number, labels in enumerate(({"env": "prod"}, {"env": "prod", "team": "core_a"}, {"env": "dev"}), 1):
        await report(registry, number, full_report(f"host-{number}"))
        change = rpc.UpdateGatewayRequest(id=str(UUID(int=number)), set_labels=labels)
        await handlers.update_gateway(registry, change, NOW)

    async def found(**request: object) -> list[tuple[str, str, int]]:
        answer = await handlers.list_labels(registry, rpc.ListLabelsRequest(**request), NOW)  # type: ignore[arg-type]
        return [(one.key, one.value, one.gateways) for one in answer.labels]

    assert await found() == [("env", "prod", 2), ("env", "dev", 1), ("team", "core_a", 1)]
    assert await found(limit=1) == [("env", "prod", 2)]
    assert await found(q="ENV=P") == [("env", "prod", 2)]
    assert await found(q="e_") == [("team", "core_a", 1)]
    assert await found(q="e%") == []


async def test_a_replica_that_has_just_started_marks_nobody(registry: Registry) -> None:
    """It has not listened long enough to know who is silent."""
    await report(registry, 1, full_report("a"))
    young = replace(registry, presence=Presence(NOW + timedelta(hours=1)))
    assert await handlers.sweep(young, NOW + timedelta(hours=1, seconds=5)) == []


async def test_gateways_that_stay_away_are_archived_and_come_back(registry: Registry) -> None:
    """Extension mode after a day, supervisor mode after seven; a report brings the gateway back."""
    await report(registry, 1, full_report("a", EXTENSION))
    await report(registry, 2, full_report("b"))
    for number in (1, 2):
        await report(registry, number, opamp_pb2.AgentToServer(), kind=GONE)
    (fact,) = await handlers.archive(registry, NOW + timedelta(days=2))
    assert isinstance(fact, facts.GatewayRemoved) and fact.reason == "archived"
    assert await listed(registry) == ["otelcol@b"]
    again = await report(registry, 1, full_report("a", EXTENSION), connection=UUID(int=3), connected_at=NOW)
    assert again == ["AgentConnected"]
    assert await listed(registry) == ["otelcol@a", "otelcol@b"]


async def test_components_are_kept_by_hash_for_the_whole_fleet(registry: Registry) -> None:
    """Item 140: an agent that only tells the hash has the list that another one told."""
    components = opamp_pb2.AvailableComponents(hash=b"h")
    components.components["receivers"].sub_component_map["otlp"].SetInParent()
    message = full_report("a")
    message.available_components.CopyFrom(components)
    await report(registry, 1, message)
    other = full_report("b")
    other.available_components.hash = b"h"
    await report(registry, 2, other)
    answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(UUID(int=2))), NOW)
    assert opamp_pb2.AvailableComponents.FromString(answer.detail.available_components) == components


async def test_two_who_label_one_gateway_both_do(database_url: Callable[[str], str]) -> None:
    """Each adds to what is there when its turn comes."""
    database = await db.connect(database_url("agent_registry"), 4)
    uid = uuid4()
    presence = Presence(NOW)
    try:
        async with database.transaction() as connection:
            registry = Registry.on(connection, presence, Settings())
            await handlers.agents_reported(registry, [make_report(uid, full_report("a"), at=NOW)], NOW)
        begun = asyncio.Event()

        async def label(key: str, until: asyncio.Event | None) -> None:
            async with database.transaction() as connection:
                registry = Registry.on(connection, presence, Settings())
                request = rpc.UpdateGatewayRequest(id=str(uid), set_labels={key: "x"})
                await handlers.update_gateway(registry, request, NOW)
                begun.set()
                if until is not None:
                    await asyncio.wait_for(until.wait(), 5)

        end = asyncio.Event()
        first = asyncio.create_task(label("one", end))
        await begun.wait()
        second = asyncio.create_task(label("two", None))
        _, waiting = await asyncio.wait({second}, timeout=0.2)
        assert waiting, "the second waits for the first"
        end.set()
        await asyncio.gather(first, second)
        async with database.transaction() as connection:
            registry = Registry.on(connection, presence, Settings())
            answer = await handlers.get_gateway(registry, rpc.GetGatewayRequest(id=str(uid)), NOW)
            assert dict(answer.detail.gateway.labels) == {"one": "x", "two": "x"}
            await registry.store.delete(UUID(answer.detail.gateway.gateway_id))
    finally:
        await database.close()


async def test_what_was_archived_long_ago_is_deleted(registry: Registry) -> None:
    """With what only it had been built with: autoscaled agents leave nothing behind for ever."""
    for number in (1, 2):
        message = full_report(f"host-{number}", EXTENSION)
        message.available_components.hash = b"h%d" % number
        message.available_components.components["receivers"].SetInParent()
        await report(registry, number, message)
    await report(registry, 1, opamp_pb2.AgentToServer(), kind=GONE)
    gone = NOW + timedelta(days=2)
    await handlers.archive(registry, gone)
    assert await handlers.delete_old(registry, gone + timedelta(days=89)) == []
    (fact,) = await handlers.delete_old(registry, gone + timedelta(days=91))
    assert isinstance(fact, facts.GatewayRemoved)
    assert (fact.instance_uid, fact.reason) == (str(UUID(int=1)), "deleted")
    wanted = rpc.ListComponentsRequest(instance_ids=[str(UUID(int=number)) for number in (1, 2)])
    (left,) = (await handlers.list_components(registry, wanted, NOW)).sets
    assert list(left.instance_ids) == [str(UUID(int=2))] and left.available_components
