"""Agents that know which of their reports were answered, and what FlowGate has made of them."""

import asyncio
import itertools
import random
import time
from collections import deque
from uuid import uuid4

import asyncpg
import nats
import websockets
from google.protobuf.message import Message
from websockets.asyncio.client import ClientConnection, connect

from flowkit import contracts
from flowkit.testing import SUPERVISOR, make_description
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses, ServerToAgentFlags

FULL_STATE = ServerToAgentFlags.ServerToAgentFlags_ReportFullState
WISHES = ("remote_config", "connection_settings", "command")


class CountingAgent:
    """An agent whose every report is told apart by its last_error, so that each is one fact in the fleet's history.

    Attributes:
        answered: numbers of the reports that were answered without an error.
        offers: config_hash of each offer that came.
        connections: how often it connected.
        full_states: how often it was asked for its full state.
        refused: reports that were answered with an error.
        answered_at: when the first report of the present connection was, by the monotonic clock.
    """

    def __init__(
        self, number: int, urls: list[str], headers: dict[str, str], pause: tuple[float, float] = (0.1, 0.3)
    ) -> None:
        """It connects to one of the urls, and reports again after some seconds of `pause`."""
        self.pause = pause
        self.connections = self.full_states = self.refused = 0
        self.answered_at: float | None = None
        self.uid = uuid4()
        self.answered: list[int] = []
        self.offers: list[bytes] = []
        self._name = f"host-{number}"
        self._url = urls[number % len(urls)]
        self._headers = headers
        self._sequence_num = 0
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
                    self.connections += 1
                    listening = asyncio.create_task(self._listen(socket))
                    try:
                        while not stop.is_set() and not listening.done():
                            await self._report(socket)
                            await asyncio.wait({listening}, timeout=random.uniform(*self.pause))
                        if stop.is_set() and not listening.done():
                            await asyncio.sleep(1.0)
                    finally:
                        self.answered_at = None
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
        """Only what is sent counts in sequence_num: on a connection that is being closed nothing is."""
        message.sequence_num = self._sequence_num
        self._sequence_num += 1
        self._unanswered.append(number)
        try:
            await socket.send(b"\0" + message.SerializeToString())
        except websockets.ConnectionClosed:
            self._sequence_num -= 1
            self._is_full_wanted |= message.HasField("agent_description")
            raise

    def _message(self) -> opamp_pb2.AgentToServer:
        return opamp_pb2.AgentToServer(instance_uid=self.uid.bytes, capabilities=SUPERVISOR)

    async def _listen(self, socket: ClientConnection) -> None:
        """Take frames. One that wants something may be a reply or come by itself, nobody can tell: it answers nothing
        here, so that reports count as answered later than they were, never earlier. From then on an error may be for
        any report that has no answer: none of them counts."""
        is_sure = True
        async for frame in socket:
            assert isinstance(frame, bytes)
            reply = opamp_pb2.ServerToAgent.FromString(frame[1:])
            if reply.flags & FULL_STATE:
                self._is_full_wanted = True
                self.full_states += 1
            if reply.HasField("remote_config"):
                await self._apply(socket, reply.remote_config)
            if reply.flags or any(reply.HasField(name) for name in WISHES):
                is_sure = False
            elif self._unanswered:
                if reply.HasField("error_response") and not is_sure:
                    self._unanswered = deque([0] * len(self._unanswered))
                number = self._unanswered.popleft()
                if reply.HasField("error_response"):
                    self._is_full_wanted = True
                    self.refused += 1
                elif number:
                    self.answered.append(number)
                    self.answered_at = self.answered_at or time.monotonic()

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
