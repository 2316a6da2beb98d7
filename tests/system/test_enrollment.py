"""Enrollment tokens on two of everything: who comes in, with which labels, and who does not any more."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flowkit.testing import SUPERVISOR, eventually, make_description
from opamp.v1 import opamp_pb2

pytestmark = pytest.mark.system

REVOKED_SECONDS = 5.0


@asynccontextmanager
async def agent(url: str, token: str, uid: UUID) -> AsyncIterator[ClientConnection]:
    """A connection on which an agent has said everything of itself."""
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, compression=None, ping_interval=None) as socket:
        message = opamp_pb2.AgentToServer(
            instance_uid=uid.bytes,
            capabilities=SUPERVISOR,
            agent_description=make_description(service__name="otelcol", host__name=f"host-{uid}"),
            health=opamp_pb2.ComponentHealth(healthy=True, status="StatusOK", start_time_unix_nano=10**18),
            remote_config_status=opamp_pb2.RemoteConfigStatus(),
            effective_config=opamp_pb2.EffectiveConfig(),
        )
        await socket.send(b"\0" + message.SerializeToString())
        yield socket


async def errors_until_closed(socket: ClientConnection) -> list[str]:
    """What the server says is wrong, until it closes the connection."""
    said: list[str] = []
    try:
        async with asyncio.timeout(20):
            async for frame in socket:
                assert isinstance(frame, bytes)
                reply = opamp_pb2.ServerToAgent.FromString(frame[1:])
                if reply.HasField("error_response"):
                    said.append(reply.error_response.error_message)
    except ConnectionClosed:
        pass
    return said


async def is_let_in(url: str, token: str, uid: UUID) -> bool:
    """Whether the server answers a connection with this token, and not with 401."""
    try:
        async with agent(url, token, uid) as socket:
            await asyncio.wait_for(socket.recv(), 10)
    except InvalidStatus as error:
        assert error.response.status_code == 401
        return False
    return True


def found_in(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Files below a folder that hold one of the secrets, but for those that are there to hold them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("secrets.json", "connection.json"):
            data = path.read_bytes()
            found += [f"{name} in {path.relative_to(folder)}" for name, one in secrets.items() if one.encode() in data]
    return found


async def found_in_tables(url: str, secrets: dict[str, str]) -> list[str]:
    """Tables that hold one of the secrets, as text or as bytes."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('agent_registry', 'config_push', 'supervisor_control')"
        )
        found, rows = [], 0
        for table in tables:
            for row in await connection.fetch(f"SELECT t::text AS line FROM {table['name']} t"):
                rows += 1
                found += [
                    f"{name} in {table['name']}"
                    for name, one in secrets.items()
                    if one in row["line"] or one.encode().hex() in row["line"]
                ]
        assert rows > 10
    finally:
        await connection.close()
    return found


async def test_tokens_on_two_gateways(flowgate_up: Callable[..., Any], data_dir: Path) -> None:
    """Labels come with the token, revocation ends what it opened, and a used-up one lets nobody else in."""
    running = await asyncio.to_thread(flowgate_up, "--replicas", "2")
    first_url, second_url = running.opamp_urls
    with running.api() as api:

        def create(name: str, **members: Any) -> dict[str, Any]:
            answer = api.post("/enrollment-tokens", json={"name": name, **members})
            assert answer.status_code == 201, answer.text
            body: dict[str, Any] = answer.json()
            return body

        def gateway(uid: UUID) -> dict[str, Any] | None:
            answer = api.get(f"/gateways/{uid}")
            body: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
            return body

        # A token with labels, used on both gateways
        plant = create("plant", labels={"site": "plant", "tier": "1"})
        uids = [uuid4(), uuid4()]
        for url in running.opamp_urls:
            await eventually(lambda url=url: is_let_in(url, plant["token"], uids[0]))
        async with agent(first_url, plant["token"], uids[0]) as one, agent(second_url, plant["token"], uids[1]) as two:
            for uid in uids:
                known = await eventually(lambda uid=uid: gateway(uid))
                assert known is not None and known["labels"] == {"site": "plant", "tier": "1"}
            (listed,) = api.get("/enrollment-tokens").json()["items"]
            assert (listed["uses"], listed["state"]) == (2, "live")

            # Revoked: the connections end on both, and it opens nothing any more
            assert api.delete(f"/enrollment-tokens/{plant['token_id']}").json()["state"] == "revoked"
            async with asyncio.timeout(REVOKED_SECONDS):
                await asyncio.gather(one.wait_closed(), two.wait_closed())
        for url, uid in itertools.product(running.opamp_urls, (uids[0], uuid4())):
            assert not await is_let_in(url, plant["token"], uid)

        # Good for one agent: the second one is told why and not registered, the first one goes on
        single = create("single", max_uses=1)
        chosen, other = uuid4(), uuid4()
        await eventually(lambda: is_let_in(first_url, single["token"], chosen))
        await eventually(lambda: gateway(chosen))
        async with agent(second_url, single["token"], other) as socket:
            said = await errors_until_closed(socket)
        assert any("'single' is used up: it is good for 1 agent" in text for text in said), said
        assert gateway(other) is None
        for url in running.opamp_urls:
            async with agent(url, single["token"], chosen) as socket:
                frame = await asyncio.wait_for(socket.recv(), 10)
                assert isinstance(frame, bytes)
                assert not opamp_pb2.ServerToAgent.FromString(frame[1:]).HasField("error_response")
        listed = {one["name"]: one for one in api.get("/enrollment-tokens").json()["items"]}
        assert (listed["single"]["uses"], listed["single"]["state"]) == (1, "used_up")

        # The refused one comes with a good token
        spare = create("spare", labels={"came": "late"})
        await eventually(lambda: is_let_in(second_url, spare["token"], other))

        async def is_back() -> bool:
            async with agent(second_url, spare["token"], other):
                await asyncio.sleep(0.3)
            return gateway(other) is not None

        await eventually(is_back, seconds=20)
        assert (gateway(other) or {})["labels"] == {"came": "late"}
        async with agent(second_url, spare["token"], other) as socket:
            frame = await asyncio.wait_for(socket.recv(), 10)
            assert isinstance(frame, bytes)
            assert not opamp_pb2.ServerToAgent.FromString(frame[1:]).HasField("error_response")

    # No secret is stored or logged anywhere
    secrets = {"plant": plant["token"], "single": single["token"], "spare": spare["token"]}
    assert await found_in_tables(running.connection["database_url"], secrets) == []
    assert found_in(running.data_dir, secrets) == []
    hashes = {"plant": sha256(plant["token"].encode()).hexdigest()}  # shows that the search finds what is there
    assert await found_in_tables(running.connection["database_url"], hashes) != []
