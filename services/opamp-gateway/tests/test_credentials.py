"""Enrollment tokens of the bucket: who comes in, under which id, and that a revoked one closes what it opened."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts, tokens
from flowkit.bus import Bus
from flowkit.embedded import EmbeddedNats
from flowkit.testing import connected_bus, eventually

OpenAgent = Callable[..., Awaitable]


@pytest.fixture
def token() -> str:
    return tokens.mint(tokens.ENROLLMENT)


async def admits(gateway, token: str) -> bool:
    """Whether the agent plane takes this token for a WebSocket."""
    try:
        async with connect(gateway.ws_url, additional_headers={"Authorization": f"Bearer {token}"}):
            return True
    except InvalidStatus as refused:
        assert refused.response.status_code == 401
        return False


async def closed_with(agent, seconds: float = 5.0) -> tuple[int, str]:
    """Code and reason with which the ingress closes the agent's WebSocket."""
    async with asyncio.timeout(seconds):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await agent.socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_token_of_the_bucket_opens_the_plane(gateway, enrollment, open_http: OpenAgent, token: str) -> None:
    """Item 150: at once after it was made, over both transports, and none other."""
    assert not await admits(gateway, token)
    await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    await (await open_http(gateway, token=token)).start()
    assert not await admits(gateway, token + "x")


async def test_without_a_token_in_the_settings_only_made_ones_are_good(
    start_gateway, enrollment, token: str, open_http: OpenAgent
) -> None:
    """Item 150: the token that FlowGate starts with can be taken away, and own telemetry of those who came with it."""
    gateway = await start_gateway(digests="")
    await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    assert not await admits(gateway, "of-a-test")
    own = tokens.telemetry_token(gateway.settings.telemetry_key_bytes, os.urandom(16))
    http = (await open_http(gateway, token=token)).http
    assert (await http.request(b"", path="/v1/logs", authorization=f"Bearer {own}")).status == 401


async def test_tokens_that_were_there_before_are_known_at_the_start(start_gateway, enrollment, token: str) -> None:
    """Not ready, and not listening, before the tokens are mirrored."""
    await enrollment.add(token)
    gateway = await start_gateway()
    assert await admits(gateway, token)
    assert (await gateway.ready())["credentials"]


async def test_reports_name_the_token_that_the_agent_came_with(
    gateway, enrollment, heard, open_agent: OpenAgent, token: str
) -> None:
    """An agent of the setting's token came with "bootstrap"."""
    token_id = await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    one = await (await open_agent(gateway, token=token)).start()
    await one.healthy()
    two = await (await open_agent(gateway)).start()
    entries = await eventually(lambda: heard.of(one.uid), until=lambda entries: len(entries) == 2)
    assert [entry.credential_id for entry in entries] == [token_id, token_id]
    assert [entry.credential_id for entry in await eventually(lambda: heard.of(two.uid))] == ["bootstrap"]


async def test_a_poller_that_changes_its_token_is_on_a_new_connection(
    gateway, enrollment, heard, open_http: OpenAgent, token: str
) -> None:
    token_id = await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    agent = await (await open_http(gateway)).start()
    agent.http.token = token
    assert not (await agent.healthy()).flags
    entries = await eventually(lambda: heard.of(agent.uid), until=lambda entries: len(entries) == 2)
    assert [entry.credential_id for entry in entries] == ["bootstrap", token_id]
    assert entries[0].connection_id != entries[1].connection_id


async def test_a_revoked_token_closes_its_connections_on_every_replica(
    start_gateway, enrollment, heard, open_ws: OpenAgent, open_http: OpenAgent, token: str
) -> None:
    """Items 117, 152: within 5 s 1008 and gone; refused with 401 from then on; other agents do not notice."""
    gateways = [await start_gateway(), await start_gateway()]
    token_id = await enrollment.add(token)
    for gateway in gateways:
        await eventually(lambda gateway=gateway: admits(gateway, token))
    agents = [await (await open_ws(gateway, token=token)).start() for gateway in gateways for _ in range(3)]
    others = [await (await open_ws(gateway)).start() for gateway in gateways]
    poller = await (await open_http(gateways[0], token=token)).start()
    await enrollment.revoke(token_id)
    closed = await asyncio.gather(*(closed_with(agent) for agent in agents))
    assert closed == [(1008, "enrollment token was revoked")] * 6
    for agent in [*agents, poller]:
        await eventually(lambda agent=agent: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_CLOSED])
    response = await poller.http.request(poller.message().SerializeToString())
    assert response.status == 401
    assert [await admits(gateway, token) for gateway in gateways] == [False, False]
    for other in others:
        await other.healthy()


async def test_an_expired_token_closes_its_connections(gateway, enrollment, open_ws: OpenAgent, token: str) -> None:
    """Item 152: by the ingress' own clock; nobody has to remove it."""
    await enrollment.add(token, expires_at=time.time_ns() + 2_000_000_000)
    await eventually(lambda: admits(gateway, token))
    agent = await (await open_ws(gateway, token=token)).start()
    assert await closed_with(agent) == (1008, "enrollment token was revoked")
    assert not await admits(gateway, token)


async def test_a_token_that_is_over_when_it_comes_opens_nothing(gateway, enrollment, token: str) -> None:
    last = tokens.mint(tokens.ENROLLMENT)
    await enrollment.add(token, expires_at=time.time_ns() - 1)
    await enrollment.add(last)
    await eventually(lambda: admits(gateway, last))
    assert not await admits(gateway, token)


async def test_a_token_that_is_replaced_under_its_id_is_revoked(gateway, enrollment, open_ws, token: str) -> None:
    """Item 152: the id stays, the secret is another one."""
    token_id = await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    agent = await (await open_ws(gateway, token=token)).start()
    other = tokens.mint(tokens.ENROLLMENT)
    await enrollment.add(other, token_id)
    assert (await closed_with(agent))[0] == 1008
    assert (await admits(gateway, token), await admits(gateway, other)) == (False, True)


async def test_an_unreadable_entry_does_no_harm(gateway, bus: Bus, enrollment, token: str) -> None:
    await (await bus.kv(contracts.AGENT_CREDENTIALS)).put("damaged", b"\xff\xff")
    await enrollment.add(token)
    await eventually(lambda: admits(gateway, token))
    await enrollment.revoke("damaged")


async def test_a_revocation_around_a_restart_of_nats_is_not_missed(
    tmp_path: Path, start_gateway, tokens_on, open_ws: OpenAgent, token: str
) -> None:
    """Item 152: what the watcher did not hear it learns when it catches up."""
    server = EmbeddedNats(tmp_path / "nats").start()
    try:
        async with connected_bus(server.url) as bus:
            token_id = await tokens_on(bus).add(token)
        gateway = await start_gateway(server.url)
        agent = await (await open_ws(gateway, token=token)).start()
        server.stop()
        server.start()
        async with connected_bus(server.url) as bus:
            await tokens_on(bus).revoke(token_id)
        assert (await closed_with(agent, seconds=20))[0] == 1008
    finally:
        server.stop()
