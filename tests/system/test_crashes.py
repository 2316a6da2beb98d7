"""Kill -9 of any service while agents report and configurations are pushed: what was answered is stored, once."""

import asyncio
import itertools
import os
import random
import signal
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import nats
import pytest
import websockets
from google.protobuf.message import Message
from websockets.asyncio.client import ClientConnection, connect

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowkit import contracts
from flowkit.testing import SUPERVISOR, eventually, make_description
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses, ServerToAgentFlags

pytestmark = pytest.mark.system

AGENTS = 200
PUSHED_TO = 20  # agents that get configurations
SERVICES = ("opamp-gateway", "agent-registry", "config-push", "supervisor-control", "api-gateway")
FULL_STATE = ServerToAgentFlags.ServerToAgentFlags_ReportFullState
CONFIG = (
    "receivers: {nop: {}}\nexporters: {nop: {}}\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n"
)


class CountingAgent:
    """An agent whose every report is told apart by its last_error, so that each is one fact in the fleet's history.

    Attributes:
        answered: numbers of the reports that were answered without an error.
        offers: config_hash of each offer that came.
    """

    def __init__(self, number: int, urls: list[str], headers: dict[str, str]) -> None:
        self.uid = uuid4()
        self.answered: list[int] = []
        self.offers: list[bytes] = []
        self._name = f"host-{number}"
        self._url = urls[number % len(urls)]
        self._headers = headers
        self._sequence = itertools.count()
        self._numbers = itertools.count(1)
        self._status = opamp_pb2.RemoteConfigStatus()
        self._is_full_wanted = True
        self._unanswered: deque[int] = deque()  # numbers in the order they were sent; 0 for what is no report

    async def run(self, stop: asyncio.Event) -> None:
        """Report until told to stop; reconnect as real agents do, without a full state unless asked for."""
        while not stop.is_set():
            try:
                async with connect(
                    self._url, additional_headers=self._headers, compression=None, ping_interval=None, open_timeout=5
                ) as socket:
                    self._unanswered.clear()
                    listening = asyncio.create_task(self._listen(socket))
                    while not stop.is_set() and not listening.done():
                        await self._report(socket)
                        await asyncio.sleep(random.uniform(0.1, 0.3))
                    if stop.is_set() and not listening.done():
                        await asyncio.sleep(1.0)
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
            except (OSError, TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _report(self, socket: ClientConnection) -> None:
        number = next(self._numbers)
        message = self._message()
        message.health.last_error = str(number)
        message.health.start_time_unix_nano = 10**18
        if self._is_full_wanted:
            message.agent_description.CopyFrom(make_description(service__name="counting", host__name=self._name))
            message.remote_config_status.CopyFrom(self._status)
            message.effective_config.SetInParent()
            self._is_full_wanted = False
        await self._send(socket, message, number)

    async def _send(self, socket: ClientConnection, message: opamp_pb2.AgentToServer, number: int) -> None:
        self._unanswered.append(number)
        await socket.send(b"\0" + message.SerializeToString())

    def _message(self) -> opamp_pb2.AgentToServer:
        return opamp_pb2.AgentToServer(
            instance_uid=self.uid.bytes, sequence_num=next(self._sequence), capabilities=SUPERVISOR
        )

    async def _listen(self, socket: ClientConnection) -> None:
        """Take frames. An offer may be a reply or come by itself, nobody can tell: it answers nothing here, so that
        at most as many reports count as answered as were."""
        async for frame in socket:
            assert isinstance(frame, bytes)
            reply = opamp_pb2.ServerToAgent.FromString(frame[1:])
            if reply.flags & FULL_STATE:
                self._is_full_wanted = True
            if reply.HasField("remote_config"):
                await self._apply(socket, reply.remote_config)
            elif self._unanswered:
                number = self._unanswered.popleft()
                if reply.HasField("error_response"):
                    self._is_full_wanted = True
                elif number:
                    self.answered.append(number)

    async def _apply(self, socket: ClientConnection, offer: opamp_pb2.AgentRemoteConfig) -> None:
        self.offers.append(offer.config_hash)
        for state in (
            RemoteConfigStatuses.RemoteConfigStatuses_APPLYING,
            RemoteConfigStatuses.RemoteConfigStatuses_APPLIED,
        ):
            self._status = opamp_pb2.RemoteConfigStatus(last_remote_config_hash=offer.config_hash, status=state)
            message = self._message()
            message.remote_config_status.CopyFrom(self._status)
            await self._send(socket, message, 0)


async def push_until(stop: asyncio.Event, agents: list[CountingAgent], running: Any) -> list[str]:
    """Push configurations to some agents again and again; returns the deliveries that were accepted."""
    accepted: list[str] = []
    urls = running.connection.get("api_urls") or [running.connection["api_url"]]
    headers = {"Authorization": f"Bearer {running.connection['admin_token']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=5) as client:
        for round_ in itertools.count():
            for agent in agents[:PUSHED_TO]:
                if stop.is_set():
                    return accepted
                url = f"{urls[round_ % len(urls)]}/api/v1/supervisor/ui/agents/{agent.uid}/config"
                try:
                    answer = await client.post(url, json={"config": f"{CONFIG}# {round_}\n"})
                except httpx2.HTTPError:
                    continue
                if answer.status_code == 202:
                    accepted.append(answer.json()["delivery_id"])
                await asyncio.sleep(0.05)
    return accepted


async def kill_one(running: Any, service: str) -> None:
    """Kill -9 one process of a service and wait until another one has taken its place and is ready."""
    victim = running.pids(service)[0]
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: victim not in running.pids(service) and all(running.pids(service)), seconds=20)


async def read_stream(url: str, stream: str) -> list[tuple[str, Message]]:
    """All facts of a stream with their ids."""
    connection = await nats.connect(url)
    try:
        jetstream = connection.jetstream()
        last = (await jetstream.stream_info(stream)).state.last_seq
        subscription = await jetstream.subscribe(contracts.streams()[stream].subjects[0], ordered_consumer=True)
        found: list[tuple[str, Message]] = []
        while last:
            message = await subscription.next_msg(timeout=10)
            assert message.headers is not None
            found.append((message.headers["ce-id"], contracts.decode_event(message.subject, message.data)))
            if message.metadata.sequence.stream >= last:
                break
        return found
    finally:
        await connection.close()


async def outboxes(url: str) -> int:
    """Rows that wait to be published."""
    connection = await asyncpg.connect(url)
    try:
        counts = [
            await connection.fetchval(f"SELECT count(*) FROM {schema}.outbox")
            for schema in ("agent_registry", "config_push", "supervisor_control")
        ]
    finally:
        await connection.close()
    return sum(counts)


async def backlog(url: str) -> int:
    """Batches of the uplink that somebody has not handled."""
    connection = await nats.connect(url)
    try:
        return int((await connection.jetstream().stream_info(contracts.UPLINK)).state.messages)
    finally:
        await connection.close()


@pytest.mark.parametrize("replicas", [1, 2])
async def test_killed_services_lose_nothing_and_double_nothing(flowgate_up: Callable[..., Any], replicas: int) -> None:
    """Every report that was answered is one fact, every accepted push has its outcome, no fact is there twice."""
    running = await asyncio.to_thread(flowgate_up, "--replicas", str(replicas))
    database, bus = running.connection["database_url"], running.connection["nats_url"]
    stop = asyncio.Event()
    agents = [CountingAgent(number, running.opamp_urls, running.agent_headers) for number in range(AGENTS)]
    fleet = [asyncio.create_task(agent.run(stop)) for agent in agents]
    await eventually(lambda: all(agent.answered for agent in agents), seconds=60)
    pushing = asyncio.create_task(push_until(stop, agents, running))
    await asyncio.sleep(1)
    for service in SERVICES:
        await kill_one(running, service)
        await asyncio.sleep(1)
    before = [len(agent.answered) for agent in agents]
    await eventually(
        lambda: all(len(agent.answered) > many + 2 for agent, many in zip(agents, before, strict=True)), seconds=60
    )
    stop.set()
    accepted = await pushing
    await asyncio.gather(*fleet)
    await eventually(lambda: backlog(bus), seconds=120, until=lambda left: left == 0)
    await eventually(lambda: outboxes(database), seconds=60, until=lambda left: left == 0)

    facts = await read_stream(bus, "AGENT_EVENTS")
    assert [one for one, many in Counter(id_ for id_, _ in facts).items() if many > 1] == []
    told = Counter(
        (fact.instance_uid, fact.last_error) for _, fact in facts if isinstance(fact, agent_facts.AgentHealthChanged)
    )
    expected = {(str(agent.uid), str(number)) for agent in agents for number in agent.answered}
    assert len(expected) > 10 * AGENTS
    assert sorted(expected - told.keys()) == []
    assert [key for key, many in told.items() if many > 1] == []
    registered = Counter(fact.instance_uid for _, fact in facts if isinstance(fact, agent_facts.AgentRegistered))
    assert registered == dict.fromkeys((str(agent.uid) for agent in agents), 1)

    assert len(accepted) >= PUSHED_TO
    moves = Counter(
        (fact.delivery_id, fact.state)
        for _, fact in await read_stream(bus, "CONFIG_EVENTS")
        if isinstance(fact, config_facts.DeliveryStateChanged)
    )
    assert [key for key, many in moves.items() if many > 1] == []
    done = (config_facts.DELIVERY_STATE_APPLIED, config_facts.DELIVERY_STATE_SUPERSEDED)
    assert [one for one in accepted if not any((one, state) in moves for state in done)] == []
    connection = await asyncpg.connect(database)
    stored = await connection.fetch("SELECT delivery_id, state FROM config_push.deliveries WHERE is_latest")
    lines = await connection.fetch(
        "SELECT instance_uid, body, count(*) FROM supervisor_control.agent_logs WHERE source = 'supervisor'"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    await connection.close()
    assert {row["state"] for row in stored} == {"applied"}
    assert [(str(row["instance_uid"]), row["body"]) for row in lines if row["body"].isdigit()] == []
