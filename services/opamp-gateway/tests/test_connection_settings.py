"""Connection settings reach the agents that take them, once; agents that are not wanted are told so."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.msg import Msg
from websockets.exceptions import ConnectionClosed

from flowgate.uplink.v1 import uplink_pb2
from flowkit import tokens
from flowkit.testing import eventually
from opamp.v1 import opamp_pb2
from opamp_gateway import delivery

OpenAgent = Callable[..., Awaitable]
SUPERVISOR = 0x38C7  # as the real one with the usual settings; it reports own metrics and logs, no traces
RESTARTS = 0x400  # AcceptsRestartCommand
DELIVERED = uplink_pb2.ENTRY_KIND_DELIVERED
BARE = {"instance_uid"}
URLS = {
    "own_logs_url": "http://gate:4320/v1/logs",
    "own_metrics_url": "http://gate:4320/v1/metrics",
    "own_traces_url": "",
    "has_own_telemetry": True,
}
KEY = b"a key of a test with enough characters"


def fields(message: opamp_pb2.ServerToAgent) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


async def started(agent, **said):
    return await agent.start(**{"remote_config_status": {}, "effective_config": {}, **said})


async def next_offer(agent) -> opamp_pb2.ServerToAgent:
    """The next message with an offer: pushed on a WebSocket, in the answer to a poll over HTTP."""
    if hasattr(agent, "socket"):
        return await agent.receive()
    return await eventually(agent.report, until=lambda reply: fields(reply) != BARE)


async def test_connection_settings_are_offered_once(gateway, wishes, heard, open_agent: OpenAgent) -> None:
    """Items 40, 64, 69, 100, 101, 103, 105, 106: pushed or polled; complete; then nothing, however often asked."""
    agent = await started(await open_agent(gateway, capabilities=SUPERVISOR))
    await wishes.connection(agent.uid, b"hash-1", heartbeat_interval_seconds=7, **URLS)
    reply = await next_offer(agent)
    assert fields(reply) == {"instance_uid", "connection_settings"}
    offers = reply.connection_settings
    assert (offers.hash, offers.opamp.heartbeat_interval_seconds) == (b"hash-1", 7)
    token = tokens.telemetry_token(KEY, agent.uid)
    for name, url in (("own_logs", URLS["own_logs_url"]), ("own_metrics", URLS["own_metrics_url"]), ("own_traces", "")):
        settings = getattr(offers, name)
        assert settings.destination_endpoint == url
        expected = [("Authorization", f"Bearer {token}")] if url else []
        assert [(header.key, header.value) for header in settings.headers.headers] == expected
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert (entry.delivered.facet, entry.delivered.hash, entry.delivered.id) == (
        "connection",
        b"hash-1",
        "connection-1",
    )
    assert (entry.delivered.error, entry.delivered.heartbeat_interval_seconds) == ("", 7)
    for _ in range(5):
        assert fields(await agent.report()) == BARE
    await wishes.connection(agent.uid, b"hash-1", wish="again", heartbeat_interval_seconds=7, **URLS)
    await wishes.connection(agent.uid, b"hash-2", wish="connection-2", heartbeat_interval_seconds=9)
    reply = await next_offer(agent)
    assert fields(reply.connection_settings) == {"hash", "opamp"}
    assert reply.connection_settings.hash == b"hash-2"


async def test_a_telemetry_token_is_for_flowgate_alone(gateway, wishes, open_ws: OpenAgent) -> None:
    """Where traces go to somebody else, they go without it."""
    agent = await started(await open_ws(gateway, capabilities=SUPERVISOR | 0x20))
    elsewhere = {"own_traces_url": "https://tempo.test/v1/traces", "own_traces_elsewhere": True}
    await wishes.connection(agent.uid, b"hash", **(URLS | elsewhere))
    offers = (await next_offer(agent)).connection_settings
    assert offers.own_traces.destination_endpoint == "https://tempo.test/v1/traces"
    assert (len(offers.own_logs.headers.headers), len(offers.own_traces.headers.headers)) == (1, 0)


async def test_settings_wished_while_the_agent_was_away_are_in_the_first_reply(
    gateway, wishes, see, heard, open_agent: OpenAgent
) -> None:
    """Item 105; item 109: a reconnect brings no second offer, a new process of the agent does."""
    agent = await open_agent(gateway, capabilities=SUPERVISOR)
    await wishes.connection(agent.uid, b"hash", **URLS)
    await see(gateway)
    full = {"remote_config_status": {}, "effective_config": {}}
    reply = await agent.send(agent.full(**full))
    assert reply.connection_settings.hash == b"hash" and reply.capabilities & 0x20
    await eventually(lambda: heard.of(agent.uid, DELIVERED))
    again = await open_agent(gateway, uid=agent.uid, capabilities=SUPERVISOR, sequence_num=agent.sequence_num)
    assert "connection_settings" not in fields(await again.report())
    assert fields(await again.report()) == BARE
    fresh = await open_agent(gateway, uid=agent.uid, capabilities=SUPERVISOR)
    assert (await fresh.send(fresh.full(**full))).connection_settings.hash == b"hash"


async def test_another_replica_does_not_offer_it_again(
    start_gateway, wishes, see, heard, open_agent: OpenAgent
) -> None:
    """Item 109: what was offered goes with the session, even if the wish still stands."""
    one, two = await start_gateway(), await start_gateway()
    agent = await open_agent(one, capabilities=SUPERVISOR)
    await wishes.connection(agent.uid, b"hash", heartbeat_interval_seconds=7)
    await see(one)
    await see(two)
    assert (await started_with_offer(agent)).connection_settings.hash == b"hash"
    await eventually(lambda: heard.of(agent.uid, DELIVERED))
    await one.stop()
    there = await open_agent(two, uid=agent.uid, capabilities=SUPERVISOR, sequence_num=agent.sequence_num)
    assert "connection_settings" not in fields(await there.report())
    assert fields(await there.report()) == BARE


@pytest.mark.parametrize("facet", ["config", "connection"])
async def test_an_offer_that_was_not_read_is_made_again(
    gateway, wishes, see, heard, open_ws: OpenAgent, facet: str
) -> None:
    """Items 86, 109: written into a connection that is dead without anybody knowing it, an offer was not made. Its
    owner hears of the one that was read, once."""
    agent = await started(await open_ws(gateway, capabilities=SUPERVISOR))
    agent.socket.transport.pause_reading()
    await (wishes.config(agent.uid, b"a: 1") if facet == "config" else wishes.connection(agent.uid, b"hash", **URLS))
    await see(gateway)
    assert heard.of(agent.uid, DELIVERED) == []
    agent.socket.transport.abort()
    again = await open_ws(gateway, uid=agent.uid, capabilities=SUPERVISOR, sequence_num=agent.sequence_num)
    reply = await again.report()
    offered = "remote_config" if facet == "config" else "connection_settings"
    assert reply.HasField(offered) or (await again.receive()).HasField(offered)
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert (entry.delivered.facet, entry.delivered.error) == (facet, "")
    assert fields(await again.report()) == BARE


async def test_an_answer_to_an_offer_tells_that_it_was_read(gateway, wishes, heard, open_ws: OpenAgent) -> None:
    """Item 90: its owner hears of the offer before it hears of what became of it."""
    agent = await started(await open_ws(gateway, capabilities=SUPERVISOR))
    config_hash = await wishes.config(agent.uid, b"a: 1")
    agent.socket.protocol.send_pong = lambda data: None  # the ping behind the offer is answered late
    assert (await agent.receive()).HasField("remote_config")
    status = {"last_remote_config_hash": config_hash, "status": opamp_pb2.RemoteConfigStatuses_APPLYING}
    await agent.report(remote_config_status=status)
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 3)
    assert [entry.kind for entry in entries][1:] == [DELIVERED, uplink_pb2.ENTRY_KIND_REPORT]


async def test_a_poller_that_missed_the_answer_gets_the_settings_again(
    gateway, wishes, see, heard, open_http: OpenAgent
) -> None:
    """Items 38, 105: the same request again has the same answer, though the owner took its wish back meanwhile."""
    agent = await started(await open_http(gateway, capabilities=SUPERVISOR))
    await wishes.connection(agent.uid, b"hash", **URLS)
    await see(gateway)
    poll = agent.message(health=opamp_pb2.ComponentHealth(healthy=True))
    offer = await agent.send(poll)
    assert offer.connection_settings.hash == b"hash"
    await eventually(lambda: heard.of(agent.uid, DELIVERED))
    await wishes.fulfil(agent.uid, "connection")
    await see(gateway)
    assert await agent.send(poll) == offer
    assert fields(await agent.report()) == BARE
    assert len(heard.of(agent.uid, DELIVERED)) == 1


async def started_with_offer(agent) -> opamp_pb2.ServerToAgent:
    return await agent.send(agent.full(remote_config_status={}, effective_config={}))


async def test_the_config_goes_first(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """An offer of both: the configuration in one message, the settings in the next."""
    agent = await open_agent(gateway, capabilities=SUPERVISOR)
    config_hash = await wishes.config(agent.uid, b"a: 1")
    await wishes.connection(agent.uid, b"hash", **URLS)
    await see(gateway)
    first = await started_with_offer(agent)
    assert first.remote_config.config_hash == config_hash and not first.HasField("connection_settings")
    second = await next_offer(agent)
    assert fields(second) == {"instance_uid", "connection_settings"}


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_restart_waits_until_the_one_for_own_telemetry_is_over(
    gateway, wishes, see, open_agent: OpenAgent, monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    """Item 135: opampsupervisor that gets both at once is left with two collectors. The command comes when the
    collector runs anew, or after some seconds if nobody says so."""
    monkeypatch.setattr(delivery, "SETTLE_SECONDS", 30.0 if says_so else 0.7)
    agent = await started(await open_agent(gateway, capabilities=SUPERVISOR | RESTARTS))
    before = time.time_ns()
    await wishes.connection(agent.uid, b"hash-1", **URLS)
    assert "connection_settings" in fields(await next_offer(agent))
    await wishes.restart(agent.uid)
    await see(gateway)
    for healthy, started_at in ((True, before), (False, time.time_ns())):
        report = agent.report(health={"healthy": healthy, "start_time_unix_nano": started_at})
        assert fields(await report) == BARE
    said = {"healthy": True, "start_time_unix_nano": time.time_ns() if says_so else before}
    reply = await agent.report(health=said)
    assert "command" in fields(reply) or "command" in fields(await next_offer(agent))


async def test_an_agent_that_is_still_starting_gets_no_settings(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """A supervisor without a collector composes its first configuration and would lose them."""
    agent = await open_agent(gateway, capabilities=SUPERVISOR)
    await wishes.connection(agent.uid, b"hash", **URLS)
    await see(gateway)
    first = agent.full(remote_config_status={}, effective_config={})
    first.health.CopyFrom(opamp_pb2.ComponentHealth())
    assert not (await agent.send(first)).HasField("connection_settings")
    reply = await agent.report(health={"status": "StatusStarting"})
    assert reply.connection_settings.hash == b"hash"


async def test_an_agent_that_takes_none_of_it_is_offered_nothing(
    gateway, wishes, heard, see, open_agent: OpenAgent
) -> None:
    """Items 64, 100: without the bits nothing is sent, and the owner of the wish hears why."""
    agent = await (await open_agent(gateway, capabilities=0x805)).start(effective_config={})
    await wishes.connection(agent.uid, b"hash", heartbeat_interval_seconds=7, **URLS)
    await see(gateway)
    for _ in range(3):
        assert fields(await agent.report()) == BARE
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert entry.delivered.hash == b"hash" and "capabilities" in entry.delivered.error


async def test_without_a_key_no_own_telemetry_is_offered(start_gateway, wishes, heard, open_agent: OpenAgent) -> None:
    """The heartbeat interval still is; the owner of the wish hears what is missing."""
    gateway = await start_gateway(telemetry_key=None)
    agent = await started(await open_agent(gateway, capabilities=SUPERVISOR))
    await wishes.connection(agent.uid, b"hash", heartbeat_interval_seconds=7, **URLS)
    assert fields((await next_offer(agent)).connection_settings) == {"hash", "opamp"}
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert "telemetry key" in entry.delivered.error


async def test_a_poller_is_given_the_time_of_its_longer_interval(
    start_gateway, wishes, heard, open_http: OpenAgent
) -> None:
    """Item 74: three intervals that it was offered, from the offer on; others have three of the setting."""
    gateway = await start_gateway(heartbeat_interval_seconds=0.3)
    slow = await open_http(gateway, capabilities=SUPERVISOR)
    await wishes.connection(slow.uid, b"hash", heartbeat_interval_seconds=60)
    await eventually(lambda: offered(slow))
    for _ in range(2):
        other = await (await open_http(gateway)).start()
        await eventually(lambda other=other: heard.reasons(other.uid) == [uplink_pb2.DISCONNECT_REASON_TIMEOUT])
    assert heard.reasons(slow.uid) == []


async def offered(agent) -> bool:
    """Report everything again until the offer comes."""
    return (await started_with_offer(agent)).HasField("connection_settings")


async def test_no_issued_token_goes_over_the_bus(
    gateway, bus, wishes, enrollment, heard, open_agent: OpenAgent
) -> None:
    """Neither the token of an offer, nor those that collectors quote in their effective configuration."""
    seen: list[bytes] = []

    async def take(message: Msg) -> None:
        seen.append(message.data)

    await bus.connection.subscribe(">", cb=take)
    await bus.jetstream.account_info()
    token = tokens.mint(tokens.ENROLLMENT)
    await enrollment.add(token)
    agent = await started(await open_agent(gateway, capabilities=SUPERVISOR))
    await wishes.connection(agent.uid, b"hash", **URLS)
    telemetry = (await next_offer(agent)).connection_settings.own_logs.headers.headers[0].value
    assert telemetry.startswith("Bearer fgt_")
    quoted = f"headers: {{Authorization: {telemetry}}}\nother: Bearer {token}\n".encode()
    config = opamp_pb2.EffectiveConfig()
    config.config_map.config_map[""].body = quoted
    await agent.report(effective_config=config)
    await agent.report(remote_config_status={"status": 3, "error_message": f"bad header {token}"})
    config.config_map.config_map[""].body = quoted + b"#" * 600_000
    await agent.report(effective_config=config)
    await agent.report(effective_config=config, agent_disconnect={})
    await eventually(lambda: heard.reasons(agent.uid))
    said = [report for report in heard.reports(agent.uid) if report.effective_config.config_map.config_map[""].body]
    body = said[0].effective_config.config_map.config_map[""].body
    assert len(body) == len(quoted) and body.startswith(b"headers: {Authorization: Bearer fgt_****")
    assert seen and [data for data in seen if tokens.redact_bytes(data) != data] == []


# -- agents that are not wanted


async def test_a_refused_agent_is_told_why_and_disconnected(gateway, wishes, heard, open_ws: OpenAgent) -> None:
    """Item 142: at once when it is connected: the reason as BAD_REQUEST and nothing else, then 1008."""
    agent = await (await open_ws(gateway)).start()
    await wishes.refusal(agent.uid, "token lab is used up")
    reply = await agent.receive()
    assert fields(reply) == {"instance_uid", "error_response"}
    assert reply.error_response.type == opamp_pb2.ServerErrorResponseType_BadRequest
    assert reply.error_response.error_message == "token lab is used up"
    with pytest.raises(ConnectionClosed) as closed:
        await agent.receive()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    await eventually(lambda: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_CLOSED])


async def test_a_refused_agent_that_comes_again_is_refused_again(
    gateway, wishes, see, heard, open_ws: OpenAgent
) -> None:
    """Its report still goes up, so that the registry may think again; it is closed after a pause, since it comes back
    at once."""
    agent = await open_ws(gateway)
    await wishes.refusal(agent.uid, "used up")
    await see(gateway)
    assert (await agent.send(agent.full())).error_response.error_message == "used up"
    assert (await agent.healthy()).error_response.error_message == "used up"
    await eventually(lambda: len(heard.reports(agent.uid)), until=lambda count: count == 2)
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosed) as closed:
            await agent.socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


async def test_a_refused_poller_gets_the_reason_in_each_answer(gateway, wishes, see, open_http: OpenAgent) -> None:
    """Item 32: with 200, since clients drop the body of any other status; once the refusal is gone, the greeting."""
    agent = await open_http(gateway)
    await wishes.refusal(agent.uid, "used up")
    await see(gateway)
    for _ in range(2):
        assert (await agent.send(agent.full())).error_response.error_message == "used up"
    await wishes.fulfil(agent.uid, "refusal")
    await see(gateway)
    assert (await agent.healthy()).capabilities


async def test_a_refusal_ends(gateway, wishes, see, open_agent: OpenAgent) -> None:
    agent = await open_agent(gateway)
    await wishes.refusal(agent.uid, "used up", expires_at_unix_nano=time.time_ns() - 1)
    await see(gateway)
    await agent.start()


async def test_others_on_the_socket_of_a_refused_agent_stay(gateway, wishes, open_ws: OpenAgent) -> None:
    one = await (await open_ws(gateway)).start()
    two = await (await open_ws(gateway, socket=one.socket)).start()
    await wishes.refusal(one.uid, "used up")
    reply = await one.receive()
    assert (reply.instance_uid, reply.error_response.error_message) == (one.uid, "used up")
    assert fields(await two.healthy()) == BARE
