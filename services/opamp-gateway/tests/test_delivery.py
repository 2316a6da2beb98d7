"""What is wished of an agent reaches it: configurations and commands, over both transports."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from flowgate.uplink.v1 import uplink_pb2
from flowkit.testing import eventually
from opamp.v1 import opamp_pb2

OpenAgent = Callable[..., Awaitable]
MANAGEABLE = 0x1 | 0x2 | 0x400 | 0x1000
DELIVERED = uplink_pb2.ENTRY_KIND_DELIVERED


def fields(message: opamp_pb2.ServerToAgent) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def status(config_hash: bytes = b"", value: int = 1) -> opamp_pb2.RemoteConfigStatus:
    return opamp_pb2.RemoteConfigStatus(last_remote_config_hash=config_hash, status=value)


async def next_offer(agent) -> opamp_pb2.ServerToAgent:
    """The next message with an offer: pushed on a WebSocket, in the answer to a poll over HTTP."""
    if hasattr(agent, "socket"):
        return await agent.receive()
    return await eventually(agent.report, until=lambda reply: fields(reply) != {"instance_uid"})


async def test_a_config_is_offered_once(gateway, wishes, heard, open_agent: OpenAgent) -> None:
    """Items 26, 93, 40, 87: pushed, or in the next answer; then APPLIED, and ten bare acknowledgements."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    config_hash = await wishes.config(agent.uid, b"receivers: {}")
    offer = await next_offer(agent)
    assert fields(offer) == {"instance_uid", "remote_config"}
    assert offer.remote_config.config_hash == config_hash
    assert offer.remote_config.config.config_map[""].body == b"receivers: {}"
    assert offer.remote_config.config.config_map[""].content_type == "text/yaml"
    for value in (2, 1):
        assert fields(await agent.report(remote_config_status=status(config_hash, value))) == {"instance_uid"}
    for _ in range(10):
        assert fields(await agent.report()) == {"instance_uid"}
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert (entry.delivered.facet, entry.delivered.hash, entry.delivered.id) == ("config", config_hash, "delivery-1")
    assert not entry.delivered.error


async def test_a_stale_hash_is_answered_with_the_offer(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Items 86, 39: a config that was wished while the agent was away is in the very first reply; only the last."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    for n in range(5):
        config_hash = await wishes.config(agent.uid, b"version: %d" % n)
    await see(gateway)
    reply = await agent.send(agent.full(remote_config_status=status(b"stale")))
    assert (reply.remote_config.config_hash, reply.capabilities) == (config_hash, 0x27)
    assert fields(await agent.report()) == {"instance_uid"}
    reply = await agent.report(remote_config_status=status(b"stale"))
    assert reply.remote_config.config_hash == config_hash


async def test_the_config_that_the_agent_has_is_not_offered(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Items 87, 88: equal hash, even when it FAILED."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    config_hash = await wishes.config(agent.uid, b"bad: 1")
    await see(gateway)
    reply = await agent.send(agent.full(remote_config_status=status(config_hash, 3)))
    assert not reply.HasField("remote_config")
    for _ in range(10):
        assert fields(await agent.report()) == {"instance_uid"}


async def test_an_agent_without_the_capability_is_offered_nothing(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Items 64, 65, 84, 134: no config and no command; once it has the capability, both."""
    agent = await (await open_agent(gateway, capabilities=0x4805)).start(effective_config={}, available_components={})
    config_hash = await wishes.config(agent.uid, b"a: 1")
    await wishes.restart(agent.uid)
    await see(gateway)
    for _ in range(3):
        assert fields(await agent.healthy()) == {"instance_uid"}
    agent.capabilities |= 0x2
    assert (await agent.report()).remote_config.config_hash == config_hash
    agent.capabilities |= 0x400
    reply = await agent.report()
    if fields(reply) == {"instance_uid"}:
        reply = await agent.receive()
    assert reply.HasField("command")


async def test_an_agent_without_status_reports_is_offered_once(gateway, wishes, open_agent: OpenAgent) -> None:
    """Item 92: AcceptsRemoteConfig without ReportsRemoteConfig: ten heartbeats, one offer."""
    agent = await (await open_agent(gateway, capabilities=0x3)).start()
    await wishes.config(agent.uid, b"a: 1")
    assert (await next_offer(agent)).HasField("remote_config")
    for _ in range(10):
        assert fields(await agent.report()) == {"instance_uid"}


async def test_a_rolled_back_config_is_not_offered_again(gateway, wishes, open_agent: OpenAgent) -> None:
    """Item 91: FAILED(B), then APPLIED(A)."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status(b"A"))
    config_hash = await wishes.config(agent.uid, b"b: 1")
    await next_offer(agent)
    assert fields(await agent.report(remote_config_status=status(config_hash, 3))) == {"instance_uid"}
    assert fields(await agent.report(remote_config_status=status(b"A", 1))) == {"instance_uid"}
    assert fields(await agent.report()) == {"instance_uid"}


async def test_an_expired_wish_is_not_sent(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Item 135: a command for an agent that was away too long."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    await wishes.config(agent.uid, b"a: 1", expires_at_unix_nano=time.time_ns() - 1)
    await wishes.restart(agent.uid, expires_at_unix_nano=time.time_ns() - 1)
    await see(gateway)
    for _ in range(3):
        assert fields(await agent.report()) == {"instance_uid"}


async def test_a_config_over_the_limit_is_not_sent(start_gateway, wishes, heard, open_agent: OpenAgent) -> None:
    """Items 15, 24: the agent gets a bare acknowledgement, and the refusal is recorded."""
    gateway = await start_gateway(max_message_bytes=4096)
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    await wishes.config(agent.uid, bytes(5000), wish="too-large")
    entries = await eventually(lambda: polled(agent, heard))
    assert entries[0].delivered.id == "too-large" and "4096" in entries[0].delivered.error
    assert fields(await agent.report()) == {"instance_uid"}


async def polled(agent, heard):
    assert fields(await agent.report()) == {"instance_uid"}
    return heard.of(agent.uid, DELIVERED)


async def test_a_command_goes_alone_and_once(gateway, wishes, heard, open_agent: OpenAgent) -> None:
    """Items 134, 135: the entry is taken out of the bucket before the command is sent, and never sent again."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    await wishes.restart(agent.uid, wish="restart-7")
    command = await next_offer(agent)
    assert fields(command) == {"instance_uid", "command"}
    assert command.command.type == opamp_pb2.CommandType_Restart
    (entry,) = await eventually(lambda: heard.of(agent.uid, DELIVERED))
    assert (entry.delivered.facet, entry.delivered.id, entry.delivered.error) == ("command", "restart-7", "")
    for _ in range(5):
        assert fields(await agent.report()) == {"instance_uid"}


async def test_a_command_and_a_config_are_two_messages(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Item 134: the agent ignores whatever comes with a command."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    await wishes.config(agent.uid, b"a: 1")
    await wishes.restart(agent.uid)
    await see(gateway)
    first = await agent.send(agent.full(remote_config_status=status()))
    second = await next_offer(agent)
    assert "command" not in fields(first) and first.HasField("remote_config")
    assert fields(second) == {"instance_uid", "command"}


async def test_a_command_is_sent_by_one_of_two_replicas(start_gateway, wishes, heard, open_ws: OpenAgent) -> None:
    """Item 135: an agent that is known to two replicas restarts once."""
    one, two = await start_gateway(), await start_gateway()
    here = await (await open_ws(one, capabilities=MANAGEABLE)).start(remote_config_status=status())
    there = await (await open_ws(two, uid=here.uid, capabilities=MANAGEABLE)).start(remote_config_status=status())
    await wishes.restart(here.uid)
    await eventually(lambda: heard.of(here.uid, DELIVERED))
    replies = [*await here.until_ack(), *await there.until_ack()]
    assert sum(fields(reply) == {"instance_uid", "command"} for reply in replies) == 1
    assert len(heard.of(here.uid, DELIVERED)) == 1


async def test_a_wish_that_is_taken_back_is_not_sent(gateway, wishes, see, open_agent: OpenAgent) -> None:
    """Item 39: only what is wished at the moment counts."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    await wishes.config(agent.uid, b"a: 1")
    await see(gateway)
    await wishes.fulfil(agent.uid, "config")
    await see(gateway)
    assert "remote_config" not in fields(await agent.send(agent.full(remote_config_status=status())))


async def test_offers_and_replies_do_not_mix_up(gateway, wishes, open_ws: OpenAgent) -> None:
    """Item 18: pushes while the agent reports: every frame decodes, every report has its reply."""
    agent = await (await open_ws(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    total = 60

    async def push() -> bytes:
        return [await wishes.config(agent.uid, b"version: %d" % n) for n in range(total)][-1]

    last = asyncio.create_task(push())
    for n in range(200):
        health = opamp_pb2.ComponentHealth(healthy=True, status=str(n))
        await agent.socket.send(b"\x00" + agent.message(health=health).SerializeToString())
    await last
    replies: list[opamp_pb2.ServerToAgent] = []
    while len(replies) < 200 or last.result() not in {reply.remote_config.config_hash for reply in replies}:
        replies.append(await agent.receive())
    assert {reply.instance_uid for reply in replies} == {agent.uid}
    assert all(fields(reply) <= {"instance_uid", "remote_config"} for reply in replies)
    assert sum(not reply.HasField("remote_config") for reply in replies) <= 200


async def test_an_offer_whose_body_is_missing_leaves_the_agent_answered(
    gateway, bus, wishes, see, open_agent: OpenAgent
) -> None:
    """Item 31: a body that cannot be had does not hold the answer up."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    config_hash = await wishes.config(agent.uid, str(time.monotonic_ns()).encode())
    await bus.delete_body("bodies", f"config-{config_hash.hex()}")
    await see(gateway)
    async with asyncio.timeout(1):
        reply = await agent.send(agent.full(remote_config_status=status()))
    assert fields(reply) == {"instance_uid", "capabilities"}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"": ("receivers: {}", "text/yaml", "")},
        {
            "": ("a: 1", "text/yaml", ""),
            "base": ("b: 1", "text/yaml", "x/role"),
            "json": ("{}", "application/json", ""),
        },
    ],
)
async def test_a_config_is_delivered_word_for_word(gateway, wishes, open_agent: OpenAgent, files: dict) -> None:
    """Items 94, 95, 96, 97: any names, several files, role and content type; an empty map is a config of its own."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    config = opamp_pb2.AgentRemoteConfig(config_hash=repr(files).encode())
    config.config.SetInParent()
    for name, (body, content_type, role) in files.items():
        config.config.config_map[name].CopyFrom(
            opamp_pb2.AgentConfigObject(body=body.encode(), content_type=content_type, role=role)
        )
    await wishes.offer(agent.uid, config)
    assert (await next_offer(agent)).remote_config == config


async def test_an_owner_that_misses_the_state_has_it_asked_for_once(
    gateway, wishes, see, open_agent: OpenAgent
) -> None:
    """Item 44: pushed, or with the answer to the next poll; once, however long the wish stands."""
    agent = await (await open_agent(gateway, capabilities=MANAGEABLE)).start(remote_config_status=status())
    await wishes.full_state(agent.uid)
    assert (await next_offer(agent)).flags == 1
    for _ in range(5):
        assert fields(await agent.report()) == {"instance_uid"}


async def test_an_agent_that_is_still_starting_gets_its_offer_with_the_next_report(
    gateway, wishes, see, open_agent: OpenAgent
) -> None:
    """Item 86, but for a supervisor whose first report has a bare health: it would lose the offer."""
    agent = await open_agent(gateway, capabilities=MANAGEABLE)
    config_hash = await wishes.config(agent.uid, b"a: 1")
    await see(gateway)
    first = agent.full(remote_config_status=status())
    first.health.CopyFrom(opamp_pb2.ComponentHealth())
    assert not (await agent.send(first)).HasField("remote_config")
    offer = await agent.report(health=opamp_pb2.ComponentHealth(status="StatusStarting"))
    assert offer.remote_config.config_hash == config_hash


async def test_no_connection_settings_are_offered_unless_wished(gateway, wishes, open_agent: OpenAgent) -> None:
    """Item 103: whatever else is offered comes without them."""
    agent = await (await open_agent(gateway, capabilities=0xFFFF)).start(
        remote_config_status=status(), effective_config={}, available_components={}
    )
    await wishes.config(agent.uid, b"a: 1")
    assert not (await next_offer(agent)).HasField("connection_settings")
    for _ in range(3):
        assert fields(await agent.report()) == {"instance_uid"}
