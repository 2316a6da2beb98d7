"""Simulated agents on real connections, against a server that is not FlowGate's."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from flowgate_cli.sim import Fleet, FleetPlan, backoff
from flowkit.testing import eventually
from opamp.v1 import opamp_pb2


class Server:
    """Answers every message with a bare ServerToAgent; keeps what came."""

    def __init__(self, refuse: Callable[[Request], HTTPStatus | None] = lambda _: None) -> None:
        self.messages: list[opamp_pb2.AgentToServer] = []
        self.connections: list[ServerConnection] = []
        self.closes: list[int] = []
        self._refuse = refuse

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            async for data in connection:
                assert isinstance(data, bytes)
                assert data[:1] == b"\x00"
                message = opamp_pb2.AgentToServer.FromString(data[1:])
                self.messages.append(message)
                reply = opamp_pb2.ServerToAgent(instance_uid=message.instance_uid)
                await connection.send(b"\x00" + reply.SerializeToString())
        except ConnectionClosed:
            pass  # the answer to a goodbye comes too late
        self.closes.append(connection.close_code or 0)

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        status = self._refuse(request)
        return connection.respond(status, "no\n") if status else None


def plan(port: int, **changes: object) -> FleetPlan:
    known = {"urls": (f"ws://127.0.0.1:{port}/v1/opamp",), "token": "fge_x", "agents": 3, "seed": "test"}
    return FleetPlan(**{**known, **changes})


async def test_a_fleet_connects_reports_and_says_goodbye():
    """With the token; each agent's last message is agent_disconnect, the connection ends with 1000."""
    tokens: set[str] = set()
    server = Server(lambda request: tokens.add(request.headers["Authorization"]))
    async with serve(server.handle, "127.0.0.1", 0, process_request=server.check) as listener:
        fleet = Fleet(plan(listener.sockets[0].getsockname()[1]))
        work = asyncio.create_task(fleet.run())
        await eventually(lambda: sum(one.health.status == "StatusOK" for one in server.messages) == 3)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await eventually(lambda: len(server.closes) == 3)
    assert tokens == {"Bearer fge_x"}
    assert server.closes == [1000, 1000, 1000]
    assert sum(one.HasField("agent_disconnect") for one in server.messages) == 3
    assert (fleet.counts.connects, fleet.counts.connected, fleet.counts.lost) == (3, 0, 0)


async def test_an_agent_comes_back_and_its_numbers_go_on():
    """At once after a lost connection, and without a full state (B4)."""
    server = Server()
    async with serve(server.handle, "127.0.0.1", 0) as listener:
        fleet = Fleet(plan(listener.sockets[0].getsockname()[1], agents=1))
        work = asyncio.create_task(fleet.run())
        await eventually(lambda: any(one.health.status == "StatusOK" for one in server.messages))
        before = server.messages[-1].sequence_num
        server.connections[0].transport.abort()
        await eventually(lambda: server.messages[-1].sequence_num > before)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    after = next(one for one in server.messages if one.sequence_num == before + 1)
    assert not after.HasField("agent_description")
    assert fleet.counts.connects == 2


async def test_a_refused_token_is_told_once_and_tried_again():
    said: list[str] = []
    server = Server(lambda _: HTTPStatus.UNAUTHORIZED)
    async with serve(server.handle, "127.0.0.1", 0, process_request=server.check) as listener:
        fleet = Fleet(plan(listener.sockets[0].getsockname()[1]), said.append)
        work = asyncio.create_task(fleet.run())
        await eventually(lambda: fleet.counts.refused > 3)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert said == ["the server answers 401: it does not take the token"]


def test_the_same_plan_is_the_same_fleet():
    """A sim that is started again is the same agents to the server; another seed is other ones."""
    first, again, other = plan(1), plan(1), plan(1, seed="other")
    assert first.profiles() == again.profiles()
    assert not {one.uid for one in first.profiles()} & {one.uid for one in other.profiles()}


@pytest.mark.parametrize(("agents", "ratio", "supervised"), [(6, 0.67, 4), (10, 0.0, 0), (10, 1.0, 10), (1, 0.5, 0)])
def test_the_ratio_says_how_many_are_supervised(agents: int, ratio: float, supervised: int):
    profiles = plan(1, agents=agents, supervised_ratio=ratio).profiles()
    assert sum(one.mode == "supervisor" for one in profiles) == supervised


def test_the_first_new_try_comes_at_once_and_later_ones_are_bounded():
    assert backoff(0) == 0
    assert 0.25 <= backoff(1) <= 0.75
    assert backoff(50) <= 90
