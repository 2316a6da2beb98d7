"""The conversation of OpAMP over both transports, with a real NATS behind the ingress."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit.testing import eventually
from opamp.v1 import opamp_pb2

OpenAgent = Callable[..., Awaitable]
FULL_STATE, COMPONENTS = 1, 2
GREETING = 0x27
REPORT = uplink_pb2.ENTRY_KIND_REPORT


def fields(message: opamp_pb2.ServerToAgent) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


# -- D. message exchange


async def test_every_message_has_one_reply_with_nothing_but_the_uid(gateway, open_agent: OpenAgent) -> None:
    """Items 34, 35, 40, 27: N messages, N bare replies with the agent's own uid."""
    agent = await (await open_agent(gateway)).start()
    for _ in range(20):
        assert opamp_pb2.ServerToAgent(instance_uid=agent.uid) == await agent.healthy()
        assert opamp_pb2.ServerToAgent(instance_uid=agent.uid) == await agent.report()


async def test_the_first_reply_tells_the_servers_capabilities(gateway, open_agent: OpenAgent) -> None:
    """Items 62, 63, 68: in the first reply, and only what works."""
    agent = await open_agent(gateway)
    assert (await agent.send(agent.full())).capabilities == GREETING
    assert (await agent.healthy()).capabilities == 0


async def test_an_answered_report_is_on_the_bus(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 34, 45: answered means durable, and the report goes up as it came, with a mask of its fields."""
    agent = await (await open_agent(gateway)).start()
    said = agent.message(health=opamp_pb2.ComponentHealth(healthy=False, last_error="broken"))
    await agent.send(said)
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 2)
    assert said.SerializeToString() == entries[1].agent_to_server
    assert entries[1].fields == 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5
    assert entries[0].connection_id == entries[1].connection_id and len(entries[0].connection_id) == 16
    assert entries[0].connected_at_unix_nano <= entries[0].received_at_unix_nano
    assert entries[0].remote_address.startswith("127.0.0.1:")


async def test_a_retry_is_answered_and_goes_up_once(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 38, 48: the same bytes twice, two replies, one entry, no flag."""
    agent = await (await open_agent(gateway)).start()
    said = agent.message(health=opamp_pb2.ComponentHealth(healthy=False))
    bare = opamp_pb2.ServerToAgent(instance_uid=agent.uid)
    assert [bare, bare] == [await agent.send(said), await agent.send(said)]
    await agent.healthy()
    await eventually(lambda: len(heard.of(agent.uid)), until=lambda count: count == 3)


async def test_heartbeats_do_not_go_up(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 70, 73: a bare heartbeat is answered at once and only feeds presence."""
    agent = await (await open_agent(gateway)).start()
    for _ in range(10):
        await agent.report()
    await agent.healthy()
    await eventually(lambda: len(heard.of(agent.uid)), until=lambda count: count == 2)


async def test_those_who_speak_are_present(gateway, bus, open_agent: OpenAgent) -> None:
    """Item 70: any message is a sign of life."""
    uids: set[bytes] = set()

    async def take(message) -> None:
        said = desired_pb2.Presence.FromString(message.data).instance_uids
        uids.update(said[start : start + 16] for start in range(0, len(said), 16))

    await bus.connection.subscribe("flowgate.presence.v1", cb=take)
    await bus.jetstream.account_info()
    agent = await (await open_agent(gateway)).start()
    await eventually(lambda: agent.uid in uids)
    uids.clear()
    await agent.report()
    await eventually(lambda: agent.uid in uids)


async def test_the_order_of_reports_is_kept(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 50: a thousand pipelined reports, no flag, and on the bus in order; Item 18: every reply decodes."""
    agent = await (await open_ws(gateway)).start()
    for n in range(1000):
        health = opamp_pb2.ComponentHealth(healthy=True, status=str(n))
        await agent.socket.send(b"\x00" + agent.message(health=health).SerializeToString())
    replies = [await agent.receive() for _ in range(1000)]
    assert replies == [opamp_pb2.ServerToAgent(instance_uid=agent.uid)] * 1000
    await eventually(lambda: len(heard.of(agent.uid)), until=lambda count: count == 1001)
    assert [str(n) for n in range(1000)] == [report.health.status for report in heard.reports(agent.uid)[1:]]


async def test_a_large_report_goes_by_way_of_the_object_store(gateway, bus, heard, open_agent: OpenAgent) -> None:
    """Item 45: an effective config over 512 KiB is stored whole, and later reports keep their order behind it."""
    agent = await (await open_agent(gateway)).start()
    config = opamp_pb2.EffectiveConfig()
    config.config_map.config_map[""].body = os.urandom(600_000)
    said = agent.message(effective_config=config)
    assert fields(await agent.send(said)) == {"instance_uid"}
    await agent.healthy()
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 3)
    assert entries[1].agent_to_server == b"" and entries[1].fields & 1 << 6
    assert said.SerializeToString() == await bus.get_body("uplink_bodies", entries[1].body_object)


async def test_unknown_fields_and_values_do_no_harm(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 5, 66, 67, 157: unknown fields, enum values and bits are passed on."""
    agent = await open_agent(gateway, capabilities=0x8000000000030001)
    await agent.start()
    said = agent.message(remote_config_status=opamp_pb2.RemoteConfigStatus())
    said.MergeFromString(b"\x82\xfa\x01\x03abc")
    said.remote_config_status.MergeFromString(b"\x10\x63")
    assert fields(await agent.send(said)) == {"instance_uid"}
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 2)
    assert said.SerializeToString() == entries[1].agent_to_server


async def test_what_is_not_supported_yet_is_acknowledged(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 66, 119, 136, 137: no error for what was not asked for, no empty offer in return; it goes up as it came."""
    agent = await (await open_agent(gateway)).start()
    for said in (
        {"package_statuses": {}, "remote_config_status": {}},
        {"connection_settings_request": {}},
        {"custom_capabilities": {"capabilities": ["io.example.thing"]}},
        {"custom_message": {"capability": "io.example.thing", "type": "x", "data": b"y"}},
        {"connection_settings_status": {"status": 1}},
    ):
        assert opamp_pb2.ServerToAgent(instance_uid=agent.uid) == await agent.report(**said)
    await eventually(lambda: len(heard.of(agent.uid)), until=lambda count: count == 6)


async def test_several_statuses_of_one_offer_are_each_answered(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 42, 90: APPLYING, progress, APPLIED."""
    agent = await (await open_agent(gateway, capabilities=0x1003)).start(remote_config_status={})
    for value in (2, 2, 1):
        reply = await agent.report(remote_config_status={"last_remote_config_hash": b"h", "status": value})
        assert fields(reply) == {"instance_uid"}
    reports = await eventually(lambda: heard.reports(agent.uid), until=lambda reports: len(reports) == 4)
    assert [report.remote_config_status.status for report in reports[1:]] == [2, 2, 1]


# -- E. sequence


async def test_a_gap_is_answered_with_report_full_state(gateway, open_agent: OpenAgent) -> None:
    """Item 43: 1, 2, 5 → flag on 5; full 6 → cleared."""
    agent = await (await open_agent(gateway)).start()
    assert [(await agent.healthy()).flags, (await agent.healthy()).flags] == [0, 0]
    agent.sequence_num += 2
    assert (await agent.healthy()).flags == FULL_STATE
    assert (await agent.send(agent.full())).flags == 0
    assert (await agent.healthy()).flags == 0


async def test_an_unknown_agent_is_asked_for_its_state(gateway, open_agent: OpenAgent) -> None:
    """Item 44: a heartbeat of an agent that nobody knows."""
    agent = await open_agent(gateway, sequence_num=41)
    reply = await agent.report()
    assert (reply.flags, reply.capabilities) == (FULL_STATE, GREETING)


async def test_a_complete_report_of_a_new_process_is_not_asked_again(gateway, open_agent: OpenAgent) -> None:
    """Item 46: the process starts anew with seq 0; Item 51: numbers of 64 bits."""
    agent = await (await open_agent(gateway)).start()
    agent.sequence_num = 2**63 + 4
    assert (await agent.send(agent.full())).flags == 0
    agent.sequence_num = -1
    assert (await agent.send(agent.full())).flags == 0
    assert (await agent.healthy()).flags == 0


async def test_an_agent_that_never_counts_is_not_asked_at_wire_speed(gateway, open_agent: OpenAgent) -> None:
    """Item 47: bounded number of flags."""
    agent = await (await open_agent(gateway)).start()
    flags = 0
    for n in range(40):
        agent.sequence_num = 6
        flags += (await agent.send(agent.full() if n % 2 else agent.message(health={"status": str(n)}))).flags
    assert 1 <= flags <= 3


async def test_a_poll_with_nothing_but_the_uid_changes_nothing(gateway, heard, open_agent: OpenAgent) -> None:
    """Item 28: capabilities 0 and seq 0 mean unspecified."""
    agent = await (await open_agent(gateway)).start()
    assert fields(await agent.send(opamp_pb2.AgentToServer(instance_uid=agent.uid))) == {"instance_uid"}
    assert fields(await agent.healthy()) == {"instance_uid"}


# -- F. identity


@pytest.mark.parametrize("length", [0, 3, 15, 17, 26, 36])
async def test_a_uid_of_another_length_is_a_bad_request(gateway, open_agent: OpenAgent, length: int) -> None:
    """Items 52, 142: and the connection goes on."""
    agent = await open_agent(gateway)
    reply = await agent.send(opamp_pb2.AgentToServer(instance_uid=bytes(length), sequence_num=1))
    assert fields(reply) <= {"instance_uid", "error_response"} and not reply.instance_uid
    assert reply.error_response.type == opamp_pb2.ServerErrorResponseType_BadRequest
    assert f"{length} bytes" in reply.error_response.error_message
    await agent.start()


@pytest.mark.parametrize("uid", [b"\xff" * 16, bytes(16), bytes.fromhex("0190a5f1000040008000000000000001")])
async def test_any_16_bytes_are_a_uid(gateway, open_agent: OpenAgent, uid: bytes) -> None:
    """Item 53."""
    agent = await open_agent(gateway, uid=uid)
    reply = await agent.send(agent.full())
    assert reply.instance_uid == uid and not reply.HasField("error_response")


async def test_an_agent_that_asks_gets_a_uid(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 54, 55, 56: a UUIDv7, the same for a retry, with ReportFullState; the new entry names the old uid."""
    agent = await open_agent(gateway)
    asking = agent.full(flags=opamp_pb2.AgentToServerFlags_RequestInstanceUid)
    reply = await agent.send(asking)
    new_uid = reply.agent_identification.new_instance_uid
    assert (reply.instance_uid, reply.flags, reply.capabilities) == (agent.uid, FULL_STATE, GREETING)
    assert len(new_uid) == 16 and new_uid[6] >> 4 == 7 and new_uid[8] >> 6 == 0b10
    assert new_uid == (await agent.send(asking)).agent_identification.new_instance_uid
    old_uid, agent.uid = agent.uid, new_uid
    assert (await agent.send(agent.full())).flags == 0
    await agent.healthy()
    first, second = await eventually(lambda: heard.of(new_uid), until=lambda entries: len(entries) == 2)
    assert (first.previous_instance_uid, second.previous_instance_uid) == (old_uid, b"")
    assert heard.of(old_uid) == []


async def test_an_agent_in_service_that_asks_for_a_uid_is_no_second_agent(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 55: the old uid does not go offline on its own; the new one takes its place."""
    agent = await (await open_ws(gateway)).start()
    reply = await agent.report(flags=opamp_pb2.AgentToServerFlags_RequestInstanceUid)
    old_uid, agent.uid = agent.uid, reply.agent_identification.new_instance_uid
    await agent.send(agent.full())
    await agent.close()
    await eventually(lambda: heard.reasons(agent.uid))
    assert heard.of(agent.uid)[0].previous_instance_uid == old_uid
    assert heard.reasons(old_uid) == []


async def test_a_reconnect_keeps_the_uid_and_needs_no_full_state(gateway, heard, open_ws: OpenAgent) -> None:
    """Items 41, 58, 59: the old socket is half open and silent; the newest wins, none is denied."""
    old = await (await open_ws(gateway)).start()
    new = await open_ws(gateway, uid=old.uid, sequence_num=old.sequence_num)
    reply = await new.report()
    assert (reply.flags, reply.capabilities) == (0, GREETING)
    assert not reply.HasField("agent_identification")
    first, second = await eventually(lambda: heard.of(old.uid), until=lambda entries: len(entries) == 2)
    assert first.connection_id != second.connection_id
    assert first.connected_at_unix_nano < second.connected_at_unix_nano


async def test_the_close_of_a_superseded_socket_is_nothing(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 60: open B, close A: the agent stays."""
    old = await (await open_ws(gateway)).start()
    new = await open_ws(gateway, uid=old.uid, sequence_num=old.sequence_num)
    await new.report()
    await old.close()
    await new.healthy()
    await eventually(lambda: len(heard.reports(old.uid)), until=lambda count: count == 3)
    assert heard.reasons(old.uid) == []


async def test_a_superseded_socket_that_still_talks_is_another_agent(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 57: two live clients with one uid: one is re-keyed, and both are seen."""
    one = await (await open_ws(gateway)).start()
    two = await (await open_ws(gateway, uid=one.uid)).start()
    reply = await one.healthy()
    new_uid = reply.agent_identification.new_instance_uid
    assert len(new_uid) == 16 and reply.flags == FULL_STATE and reply.instance_uid == one.uid
    assert new_uid == (await one.healthy()).agent_identification.new_instance_uid
    one.uid = new_uid
    await one.send(one.full())
    assert fields(await two.healthy()) == {"instance_uid"}
    (entry,) = await eventually(lambda: heard.of(new_uid))
    assert entry.previous_instance_uid == b""


async def test_two_pollers_with_one_uid_are_told_apart(gateway, open_http: OpenAgent) -> None:
    """Item 57: over HTTP, by their sequences that take turns."""
    one = await (await open_http(gateway, sequence_num=100)).start()
    two = await open_http(gateway, uid=one.uid)
    await two.send(two.full())
    reply = await one.healthy()
    assert len(reply.agent_identification.new_instance_uid) == 16 and reply.flags == FULL_STATE
    assert not (await two.healthy()).HasField("agent_identification")


async def test_many_agents_on_one_socket(gateway, wishes, heard, open_ws: OpenAgent) -> None:
    """Items 61, 75, 76: own sequence, offers and end for each."""
    one = await open_ws(gateway, capabilities=3)
    two = await open_ws(gateway, socket=one.socket, capabilities=3)
    three = await open_ws(gateway, socket=one.socket, capabilities=3)
    for agent in (one, two, three):
        await agent.start()
    two.sequence_num += 5
    assert (await two.report()).flags == FULL_STATE
    assert [(await one.report()).flags, (await three.report()).flags] == [0, 0]
    config_hash = await wishes.config(three.uid, b"a: 1")
    offer = await one.receive()
    assert (offer.instance_uid, offer.remote_config.config_hash) == (three.uid, config_hash)
    assert (await one.report(agent_disconnect={})).instance_uid == one.uid
    assert (await three.report()).instance_uid == three.uid
    await one.close()
    expected = [[uplink_pb2.DISCONNECT_REASON_AGENT], *[[uplink_pb2.DISCONNECT_REASON_CLOSED]] * 2]
    await eventually(lambda: [heard.reasons(agent.uid) for agent in (one, two, three)] == expected)


# -- I. connection lifecycle


async def test_a_goodbye_is_processed_with_its_last_report(gateway, heard, open_agent: OpenAgent) -> None:
    """Items 30, 75: offline at once, and the last health counts."""
    agent = await (await open_agent(gateway)).start()
    reply = await agent.report(health={"last_error": "Supervisor is shutdown"}, agent_disconnect={})
    assert fields(reply) == {"instance_uid"}
    await eventually(lambda: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_AGENT])
    assert heard.reports(agent.uid)[-1].health.last_error == "Supervisor is shutdown"
    assert heard.of(agent.uid)[-1].kind == uplink_pb2.ENTRY_KIND_DISCONNECTED


async def test_a_goodbye_and_a_close_back_to_back(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 17: both are processed, the close is echoed promptly, and the agent is offline once."""
    agent = await (await open_ws(gateway)).start()
    await agent.socket.send(b"\x00" + agent.message(agent_disconnect={}).SerializeToString())
    async with asyncio.timeout(1):
        await agent.close()
    assert agent.socket.close_code == 1000
    await eventually(lambda: heard.reasons(agent.uid))
    assert heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_AGENT]


async def test_a_goodbye_of_an_agent_that_never_was_there(gateway, heard, open_agent: OpenAgent) -> None:
    """Item 77: no crash, and no report that would make a ghost."""
    agent = await open_agent(gateway)
    reply = await agent.send(agent.full(agent_disconnect={}))
    assert reply.instance_uid == agent.uid and not reply.HasField("error_response")
    await eventually(lambda: heard.reasons(agent.uid))
    assert heard.reports(agent.uid) == []


async def test_after_a_goodbye_the_agent_may_come_again(gateway, heard, open_agent: OpenAgent) -> None:
    """Item 78: another message on the same connection is a new start."""
    agent = await (await open_agent(gateway)).start()
    await agent.report(agent_disconnect={})
    await agent.send(agent.full())
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 3)
    assert [entry.kind for entry in entries] == [REPORT, uplink_pb2.ENTRY_KIND_DISCONNECTED, REPORT]
    assert entries[2].connection_id != entries[0].connection_id


async def test_a_socket_that_breaks_ends_its_agents(gateway, heard, open_ws: OpenAgent) -> None:
    """Item 76: closed without AgentDisconnect, even by a reset."""
    agent = await (await open_ws(gateway)).start()
    agent.socket.transport.abort()
    await eventually(lambda: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_CLOSED])


async def test_a_closed_http_connection_means_nothing(gateway, heard, open_http: OpenAgent) -> None:
    """Item 29: the agent polls on over another one, with the same session."""
    agent = await (await open_http(gateway)).start()
    await agent.close()
    again = await open_http(gateway, uid=agent.uid, sequence_num=agent.sequence_num)
    assert fields(await again.healthy()) == {"instance_uid"}
    first, second = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 2)
    assert first.connection_id == second.connection_id
    assert first.transport == uplink_pb2.TRANSPORT_HTTP


async def test_a_poller_that_stops_is_gone_after_three_intervals(start_gateway, heard, open_http: OpenAgent) -> None:
    """Items 30, 74: without a goodbye, the ingress' own rule."""
    gateway = await start_gateway(heartbeat_interval_seconds=0.3)
    agent = await (await open_http(gateway)).start()
    await eventually(lambda: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_TIMEOUT])


async def test_a_silent_websocket_stays(start_gateway, heard, open_ws: OpenAgent) -> None:
    """Item 71: without ReportsHeartbeat the open socket is enough; pings find dead ones and keep presence."""
    gateway = await start_gateway(heartbeat_interval_seconds=0.1, ping_interval_seconds=1)
    silent = await (await open_ws(gateway)).start()
    other = await (await open_ws(gateway)).start()
    for _ in range(30):
        await asyncio.sleep(0.1)
        await other.report()
    assert heard.reasons(silent.uid) == []
    assert fields(await silent.report()) == {"instance_uid"}


# -- P. available components


async def test_a_component_list_is_asked_for_once_per_hash(gateway, open_agent: OpenAgent) -> None:
    """Item 140: the second agent with the same hash is not asked, nor is one that cannot report them (item 64)."""
    components = {"hash": os.urandom(8)}
    one = await open_agent(gateway, capabilities=0x4001)
    assert (await one.send(one.full(available_components=components))).flags == COMPONENTS
    two = await open_agent(gateway, capabilities=0x4001)
    assert (await two.send(two.full(available_components=components))).flags == 0
    three = await open_agent(gateway, capabilities=0x1)
    assert (await three.send(three.full(available_components={"hash": os.urandom(8)}))).flags == 0
