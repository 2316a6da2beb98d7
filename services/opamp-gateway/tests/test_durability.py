"""What was answered is stored; what could not be stored is said so; sessions outlive the ingress."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from nats.js.errors import KeyNotFoundError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit import contracts
from flowkit.embedded import EmbeddedNats
from flowkit.testing import connected_bus, eventually
from opamp.v1 import opamp_pb2

OpenAgent = Callable[..., Awaitable]
UNAVAILABLE = opamp_pb2.ServerErrorResponseType_Unavailable
FULL_STATE = 1


@pytest.fixture
def own_nats(tmp_path: Path):
    """A nats-server of the test's own, which it may freeze."""
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


def freeze(server: EmbeddedNats) -> None:
    os.kill(server.pid, signal.SIGSTOP)


def thaw(server: EmbeddedNats) -> None:
    os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
async def stored(own_nats: EmbeddedNats) -> AsyncIterator[Callable[[bytes], Awaitable[list]]]:
    """Reads the entries of an agent from the stream itself."""
    async with connected_bus(own_nats.url) as bus:

        async def read(uid: bytes) -> list[uplink_pb2.UplinkEntry]:
            state = (await bus.jetstream.stream_info("UPLINK")).state
            entries: list[uplink_pb2.UplinkEntry] = []
            for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
                batch = await bus.jetstream.get_msg("UPLINK", sequence)
                entries += uplink_pb2.UplinkBatch.FromString(batch.data or b"").entries
            return [entry for entry in entries if entry.instance_uid == uid]

        yield read


async def test_a_report_that_cannot_be_stored_is_refused_in_time(
    own_nats, start_gateway, stored, open_ws: OpenAgent
) -> None:
    """Items 36, 37, 49, 144, 145, 146: UNAVAILABLE within a second, nothing else set; then the full state is asked."""
    agent = await (await open_ws(await start_gateway(own_nats.url))).start()
    freeze(own_nats)
    started = time.monotonic()
    reply = await agent.healthy(False)
    assert time.monotonic() - started < 1
    assert {field.name for field, _ in reply.ListFields()} == {"instance_uid", "error_response"}
    assert reply.error_response.type == UNAVAILABLE
    assert reply.error_response.retry_info.retry_after_nanoseconds >= 30 * 10**9
    assert not (await agent.report()).HasField("error_response"), "a bare heartbeat needs no bus"
    thaw(own_nats)
    reply = await eventually(agent.healthy, until=lambda reply: not reply.HasField("error_response"))
    assert reply.flags == FULL_STATE or agent.sequence_num > 3
    assert not (await agent.send(agent.full())).flags
    entries = await eventually(lambda: stored(agent.uid), until=lambda entries: len(entries) >= 3)
    assert opamp_pb2.AgentToServer.FromString(entries[-1].agent_to_server).sequence_num == agent.sequence_num


async def test_over_http_the_client_is_told_to_send_it_again(
    own_nats, start_gateway, stored, open_http: OpenAgent
) -> None:
    """Items 31, 36, 49, 147: 503 with Retry-After within a second; the same bytes again leave no gap."""
    agent = await (await open_http(await start_gateway(own_nats.url))).start()
    freeze(own_nats)
    body = agent.message(health={"last_error": "lost?"}).SerializeToString()
    started = time.monotonic()
    response = await agent.http.request(body)
    assert time.monotonic() - started < 1
    assert response.status == 503 and int(response.headers["retry-after"]) >= 30
    assert response.message.error_response.type == UNAVAILABLE
    thaw(own_nats)
    response = await eventually(lambda: agent.http.request(body), until=lambda response: response.status == 200)
    assert response.message == opamp_pb2.ServerToAgent(instance_uid=agent.uid)
    assert not (await agent.healthy()).flags
    assert b"lost?" in b"".join(entry.agent_to_server for entry in await stored(agent.uid))


async def test_the_flag_comes_with_the_next_reply_after_a_refusal(own_nats, start_gateway, open_ws: OpenAgent) -> None:
    """Item 49: opamp-go goes on with seq+1 after UNAVAILABLE."""
    agent = await (await open_ws(await start_gateway(own_nats.url))).start()
    freeze(own_nats)
    assert (await agent.healthy()).error_response.type == UNAVAILABLE
    thaw(own_nats)
    assert (await agent.report()).flags == FULL_STATE


async def test_too_many_waiting_reports_are_refused_at_once(own_nats, start_gateway, open_ws: OpenAgent) -> None:
    """Items 146, 147, 148: UNAVAILABLE without a stall, and 503 with Retry-After for new connections."""
    gateway = await start_gateway(own_nats.url, max_waiting_reports=5, reply_deadline_seconds=5)
    agent = await (await open_ws(gateway)).start()
    freeze(own_nats)
    for n in range(8):
        await agent.socket.send(b"\x00" + agent.message(health={"status": str(n)}).SerializeToString())
    async with asyncio.timeout(1):
        refused = [await agent.receive() for _ in range(3)]
    assert [reply.error_response.type for reply in refused] == [UNAVAILABLE] * 3
    with pytest.raises(InvalidStatus) as busy:
        await connect(gateway.ws_url, additional_headers={"Authorization": "Bearer of-a-test"})
    assert busy.value.response.status_code == 503
    assert int(busy.value.response.headers["retry-after"]) >= 30
    thaw(own_nats)
    stored = [await agent.receive() for _ in range(5)]
    assert not any(reply.HasField("error_response") for reply in stored)


async def test_nothing_answered_is_lost_or_doubled(own_nats, start_gateway, stored, open_ws: OpenAgent) -> None:
    """Items 38, 50: NATS freezes again and again under a stream of reports: each is stored once and in order."""
    agent = await (await open_ws(await start_gateway(own_nats.url, reply_deadline_seconds=30))).start()
    for n in range(40):
        if n % 20 == 10:
            freeze(own_nats)
            asyncio.get_running_loop().call_later(2.5, thaw, own_nats)  # longer than an ack is waited for
        await agent.socket.send(b"\x00" + agent.message(health={"status": str(n)}).SerializeToString())
        if n % 20 == 19:
            for _ in range(20):
                assert not (await agent.receive()).HasField("error_response")
    reports = [opamp_pb2.AgentToServer.FromString(e.agent_to_server) for e in await stored(agent.uid)]
    assert list(range(41)) == [report.sequence_num for report in reports]


async def test_another_ingress_goes_on_with_the_session(start_gateway, wishes, heard, open_ws: OpenAgent) -> None:
    """Items 41, 109: after a drain seq+1 and nothing else: no flag, and what was offered is not offered again."""
    one = await start_gateway()
    agent = await (await open_ws(one, capabilities=0x3)).start()
    await wishes.config(agent.uid, b"a: 1")
    assert (await agent.receive()).HasField("remote_config")
    await agent.healthy()
    await one.stop()
    two = await start_gateway()
    again = await open_ws(two, uid=agent.uid, capabilities=0x3, sequence_num=agent.sequence_num)
    reply = await again.report()
    assert (reply.flags, reply.capabilities, reply.HasField("remote_config")) == (0, 0x27, False)
    assert not (await again.healthy()).flags


async def test_a_poller_is_handed_over_too(start_gateway, heard, open_http: OpenAgent) -> None:
    """Item 41, over HTTP; a drain is no end for an agent that polls."""
    one = await start_gateway()
    agent = await (await open_http(one)).start()
    await one.stop()
    again = await open_http(await start_gateway(), uid=agent.uid, sequence_num=agent.sequence_num)
    assert (await again.report()).flags == 0
    assert heard.reasons(agent.uid) == []


@pytest.fixture
def session_of(bus) -> Callable[..., Awaitable[desired_pb2.SessionState | None]]:
    """What lies where the next ingress looks for the agent's session."""

    async def get(agent) -> desired_pb2.SessionState | None:
        bucket = await bus.kv(contracts.AGENT_SESSIONS)
        try:
            entry = await bucket.get(str(UUID(bytes=agent.uid)))
        except KeyNotFoundError:
            return None
        return desired_pb2.SessionState.FromString(entry.value or b"")

    return get


@pytest.fixture
def handed_over(session_of) -> Callable[..., Awaitable[None]]:
    """Waits until the session of an agent that left lies where the next ingress looks for it."""

    async def wait(agent) -> None:
        await eventually(
            lambda: session_of(agent),
            until=lambda state: state is not None and state.sequence_num == agent.sequence_num and not state.is_pending,
        )

    return wait


async def test_pollers_are_handed_over_before_the_others_leave(
    start_gateway, handed_over, open_http: OpenAgent, open_ws: OpenAgent
) -> None:
    """Item 41: they come again at their own time, which may be long before the last WebSocket is closed."""
    one, two = await start_gateway(drain_seconds=10), await start_gateway()
    agent = await (await open_http(one)).start()
    others = [await (await open_ws(one)).start() for _ in range(51)]  # one more than is closed at once
    stopping = asyncio.create_task(one.stop())
    await handed_over(agent)
    assert not stopping.done()
    again = await open_http(two, uid=agent.uid, sequence_num=agent.sequence_num)
    assert (await again.report()).flags == 0
    for other in others:
        await other.close()
    await stopping


async def test_what_crosses_the_close_of_a_drain_counts(start_gateway, session_of, heard, open_ws: OpenAgent) -> None:
    """Items 16, 41: the agent reports before it has read that it is to go; nothing is missing at the next ingress."""
    one, two = await start_gateway(), await start_gateway()
    agent = await (await open_ws(one)).start()
    agent.socket.transport.pause_reading()
    stopping = asyncio.create_task(one.stop())
    await eventually(lambda: session_of(agent), until=lambda state: state is not None and state.is_pending)
    await agent.socket.send(b"\x00" + agent.message(health={"status": "crossing"}).SerializeToString())
    agent.socket.transport.resume_reading()
    await agent.socket.wait_closed()
    again = await open_ws(two, uid=agent.uid, sequence_num=agent.sequence_num)
    assert (await again.report()).flags == 0
    await stopping
    told = [opamp_pb2.AgentToServer.FromString(entry.agent_to_server) for entry in heard.of(agent.uid)]
    assert "crossing" in [report.health.status for report in told]


async def test_an_agent_that_left_one_ingress_is_known_to_the_next(
    start_gateway, handed_over, open_ws: OpenAgent
) -> None:
    """Item 41: the socket broke, both replicas are up."""
    one, two = await start_gateway(), await start_gateway()
    agent = await (await open_ws(one)).start()
    await agent.close()
    await handed_over(agent)
    again = await open_ws(two, uid=agent.uid, sequence_num=agent.sequence_num)
    reply = await again.report()
    assert reply.flags == 0


async def test_messages_keep_their_order_while_the_session_is_looked_up(
    start_gateway, heard, open_ws: OpenAgent
) -> None:
    """Item 50: reports that come before the former session is found wait for it."""
    agent = await open_ws(await start_gateway(), sequence_num=10)
    for n in range(20):
        await agent.socket.send(b"\x00" + agent.message(health={"status": str(n)}).SerializeToString())
    replies = [await agent.receive() for _ in range(20)]
    assert replies[0].flags == FULL_STATE and len(replies) == 20
    await eventually(lambda: len(heard.of(agent.uid)), until=lambda count: count == 20)
    assert [str(n) for n in range(20)] == [report.health.status for report in heard.reports(agent.uid)]


async def test_the_mirror_survives_a_restart_of_nats(
    tmp_path: Path, start_gateway, wishes_on, open_ws: OpenAgent
) -> None:
    """Item 93: after NATS was away, wishes still arrive, and those that went meanwhile are gone."""
    server = EmbeddedNats(tmp_path / "nats").start()
    try:
        gateway = await start_gateway(server.url)
        agent = await (await open_ws(gateway, capabilities=0x3)).start()
        server.stop()
        assert (await agent.healthy()).error_response.type == UNAVAILABLE
        assert not (await gateway.ready())["nats"]
        server.start()
        await eventually(gateway.ready, until=lambda ready: all(ready.values()), seconds=20)
        async with connected_bus(server.url) as bus:
            await wishes_on(bus).config(agent.uid, b"after: 1")
            async with asyncio.timeout(20):
                while not (reply := await agent.receive()).HasField("remote_config"):
                    pass
        assert reply.remote_config.config.config_map[""].body == b"after: 1"
    finally:
        server.stop()


async def test_many_agents_come_back_after_a_drain(start_gateway, open_ws: OpenAgent) -> None:
    """Item 79: two hundred at once, none is lost, none is asked for its full state."""
    one = await start_gateway()
    agents = [await (await open_ws(one)).start() for _ in range(200)]
    await one.stop()
    two = await start_gateway()
    back = [await open_ws(two, uid=agent.uid, sequence_num=agent.sequence_num) for agent in agents]
    replies = await asyncio.gather(*(agent.report() for agent in back))
    assert not any(reply.flags or reply.HasField("error_response") for reply in replies)


async def test_a_retry_over_a_new_connection_announces_it(start_gateway, heard, open_ws: OpenAgent) -> None:
    """Items 38, 59: the same bytes again, but from a new connection, which the owners have to hear of."""
    gateway = await start_gateway()
    agent = await (await open_ws(gateway)).start()
    said = agent.message(health={"status": "same"})
    await agent.send(said)
    await agent.close()
    await eventually(lambda: heard.reasons(agent.uid))
    again = await open_ws(gateway, uid=agent.uid)
    assert not (await again.send(said)).flags
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 4)
    assert entries[3].connection_id != entries[0].connection_id


async def test_an_agent_may_come_and_go_between_two_replicas(start_gateway, handed_over, open_ws: OpenAgent) -> None:
    """Item 41: the first replica still remembers an older session, and looks for the newer one."""
    one, two = await start_gateway(), await start_gateway()
    agent = await (await open_ws(one)).start()
    for gateway in (two, one, two):
        await agent.close()
        await handed_over(agent)
        agent = await open_ws(gateway, uid=agent.uid, sequence_num=agent.sequence_num)
        assert not (await agent.report()).flags
        assert not (await agent.healthy()).flags


async def test_an_offer_to_a_broken_connection_does_not_count(
    own_nats, start_gateway, wishes_on, open_ws: OpenAgent
) -> None:
    """Item 39: what could not be said is said at the next occasion."""
    gateway = await start_gateway(own_nats.url, reply_deadline_seconds=5)
    async with connected_bus(own_nats.url) as bus:
        agent = await (await open_ws(gateway, capabilities=0x3)).start()
        freeze(own_nats)
        await agent.socket.send(b"\x00" + agent.message(health={"status": "x"}).SerializeToString())
        async with asyncio.timeout(1):
            await (await agent.socket.ping())
        await agent.close()
        thaw(own_nats)
        config_hash = await wishes_on(bus).config(agent.uid, b"a: 1")
        again = await open_ws(gateway, uid=agent.uid, capabilities=0x3, sequence_num=agent.sequence_num)
        replies = [await again.report()]
        while not replies[-1].HasField("remote_config"):
            replies.append(await again.receive())
        assert replies[-1].remote_config.config_hash == config_hash
