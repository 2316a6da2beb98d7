"""`flowgate sim`: a fleet of simulated agents on real connections, in one process."""

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import httpx2
from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from flowgate_cli.enroll import endpoint
from flowgate_cli.simulated_telemetry import Sender
from flowgate_cli.simulation import Mode, Profile, SimulatedAgent
from opamp.v1 import opamp_pb2

HEADER = b"\x00"  # of every OpAMP message on a WebSocket
FIRST_BACKOFF, BACKOFF_FACTOR, MAX_BACKOFF = 0.5, 1.5, 60.0  # seconds; the first new try comes at once
CONNECTING = 100  # agents that connect at the same time
POLL_SECONDS = 30.0  # of an HTTP agent whose heartbeats are off
GOODBYE_SECONDS = 2.0


@dataclass(frozen=True)
class FleetPlan:
    """What fleet to simulate.

    Attributes:
        urls: agents' addresses, dealt out in turn; their scheme gives way to the transport.
        transport: ws, http, or mixed for one after the other.
        report_seconds: each agent reports its health anew that often; 0 means only when it changes.
        sends_telemetry: agents that are asked for their own logs and metrics send them.
    """

    urls: Sequence[str]
    token: str
    agents: int = 6
    supervised_ratio: float = 0.67
    transport: str = "ws"
    heartbeat_seconds: float = 30.0
    report_seconds: float = 0.0
    apply_seconds: float = 1.0
    validates: bool = True
    seed: str = "flowgate"
    attributes: dict[str, str] = field(default_factory=dict)
    sends_telemetry: bool = True

    def profiles(self) -> list[Profile]:
        """The agents; the same plan gives the same ones. Supervised ones come first."""
        supervised = round(self.agents * self.supervised_ratio)
        return [self._profile(n, "supervisor" if n < supervised else "extension") for n in range(self.agents)]

    def transport_of(self, number: int) -> str:
        """ws or http."""
        return ("ws", "http")[number % 2] if self.transport == "mixed" else self.transport

    def _profile(self, number: int, mode: Mode) -> Profile:
        digest = bytearray(hashlib.sha256(f"{self.seed}/{number}".encode()).digest()[:16])
        digest[6] = digest[6] & 0x0F | (0x70 if mode == "supervisor" else 0x40)  # UUID version 7 or 4
        digest[8] = digest[8] & 0x3F | 0x80
        return Profile(
            uid=bytes(digest),
            mode=mode,
            host_name=f"{self.seed}-{mode}-{number + 1}",
            attributes=dict(self.attributes),
            apply_seconds=self.apply_seconds,
            validates=self.validates,
            heartbeat_seconds=self.heartbeat_seconds,
        )


@dataclass
class Counts:
    """What happened so far, over all agents."""

    connected: int = 0
    connects: int = 0
    refused: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0
    errors: int = 0


class Fleet:
    """Runs the agents of a plan until `run` is cancelled; then they say goodbye."""

    def __init__(self, plan: FleetPlan, say: Callable[[str], None] = lambda _: None) -> None:
        self.plan = plan
        self.counts = Counts()
        self.agents = [SimulatedAgent(profile, time.time()) for profile in plan.profiles()]
        self._say = say
        self._said: set[str] = set()
        self._gate = asyncio.Semaphore(CONNECTING)

    async def run(self) -> None:
        """Run all agents."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(timeout=30.0, limits=limits) as client:
            tasks = [
                asyncio.create_task(
                    self._over_http(agent, number, client)
                    if self.plan.transport_of(number) == "http"
                    else self._over_websocket(agent, number)
                )
                for number, agent in enumerate(self.agents)
            ]
            if self.plan.sends_telemetry:
                tasks.append(asyncio.create_task(self._telemetry(client)))
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _over_websocket(self, agent: SimulatedAgent, number: int) -> None:
        url = endpoint(self.plan.urls[number % len(self.plan.urls)], "ws")
        headers = [("Authorization", f"Bearer {self.plan.token}")]
        failures = 0
        while True:
            try:
                async with self._gate:
                    connection = await connect(
                        url,
                        additional_headers=headers,
                        compression=None,
                        ping_interval=None,  # as the real ones: they only answer pings
                        max_size=None,
                        open_timeout=20,
                        close_timeout=2,
                        user_agent_header="Go-http-client/1.1",
                        proxy=None,
                    )
            except (OSError, WebSocketException, TimeoutError) as error:
                self._hear(error)
                await asyncio.sleep(backoff(failures))
                failures += 1
                continue
            failures = 0
            self.counts.connects += 1
            self.counts.connected += 1
            try:
                await self._talk(agent, connection)
            except (OSError, WebSocketException) as error:
                self.counts.lost += 1
                self._hear(error)
            finally:
                self.counts.connected -= 1
                with contextlib.suppress(OSError, WebSocketException):
                    await connection.close()
            if agent.redirect is not None:
                url, headers = agent.redirect.endpoint, list(agent.redirect.headers)
                agent.redirected()

    async def _talk(self, agent: SimulatedAgent, connection: ClientConnection) -> None:
        agent.connected()
        report_at = self._first_report()
        try:
            while True:
                now = time.time()
                if now >= report_at:
                    agent.report_health(now)
                    report_at = now + self.plan.report_seconds
                while message := agent.next_message(now):
                    await connection.send(HEADER + message.SerializeToString())
                    self.counts.sent += 1
                try:
                    async with asyncio.timeout(max(0.0, min(agent.next_due(), report_at) - time.time())):
                        data = await connection.recv(decode=False)
                except TimeoutError:
                    continue
                if data[:1] == HEADER:
                    self._take(agent, data[1:])
                if agent.redirect is not None:
                    agent.leave()
                    await self._leave(agent, connection)
                    return
        except asyncio.CancelledError:
            agent.goodbye(time.time(), says_so=True)
            await self._leave(agent, connection)
            raise

    async def _telemetry(self, client: httpx2.AsyncClient) -> None:
        """Send what the agents' collectors say of themselves; what is not taken is lost."""
        senders = [Sender(agent) for agent in self.agents if agent.profile.mode == "supervisor"]
        while True:
            await asyncio.sleep(1.0)
            for sender in senders:
                for url, headers, body in sender.due(time.time()):
                    try:
                        async with self._gate:
                            kind = {"Content-Type": "application/json"}
                            answer = await client.post(url, content=body, headers={**dict(headers), **kind})
                    except httpx2.HTTPError as error:
                        self._tell(f"own telemetry is not taken: {error!r}")
                        continue
                    if answer.status_code != 200:
                        self._tell(f"own telemetry is not taken: {answer.status_code}")

    async def _leave(self, agent: SimulatedAgent, connection: ClientConnection) -> None:
        message = agent.next_message(time.time())
        with contextlib.suppress(OSError, WebSocketException, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                if message is not None:
                    await connection.send(HEADER + message.SerializeToString())
                await connection.close()

    async def _over_http(self, agent: SimulatedAgent, number: int, client: httpx2.AsyncClient) -> None:
        url = endpoint(self.plan.urls[number % len(self.plan.urls)], "http")
        headers = {"Authorization": f"Bearer {self.plan.token}", "Content-Type": "application/x-protobuf"}
        failures, is_connected = 0, False
        report_at = self._first_report()
        try:
            while True:
                now = time.time()
                if now >= report_at:
                    agent.report_health(now)
                    report_at = now + self.plan.report_seconds
                message = agent.next_message(now)
                if message is None:
                    due = min(agent.next_due(), report_at, now + POLL_SECONDS)
                    await asyncio.sleep(max(0.0, due - now))
                    if due == now + POLL_SECONDS:
                        agent.connected()  # a poll without news
                    continue
                while not await self._post(agent, message, client, url, headers):
                    if is_connected:
                        is_connected = False
                        self.counts.connected -= 1
                    await asyncio.sleep(backoff(failures))
                    failures += 1
                failures = 0
                if not is_connected:
                    is_connected = True
                    self.counts.connects += 1
                    self.counts.connected += 1
        except asyncio.CancelledError:
            agent.goodbye(time.time(), says_so=False)
            if is_connected and (message := agent.next_message(time.time())):
                self.counts.connected -= 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE_SECONDS):
                        await self._post(agent, message, client, url, headers)
            raise

    async def _post(
        self,
        agent: SimulatedAgent,
        message: opamp_pb2.AgentToServer,
        client: httpx2.AsyncClient,
        url: str,
        headers: dict[str, str],
    ) -> bool:
        """Send one message; False when it is to be sent again (no answer, 429, 503). Other refusals drop it (B3)."""
        uid = {"Opamp-Instance-Uid": str(UUID(bytes=message.instance_uid))}
        try:
            async with self._gate:
                answer = await client.post(url, content=message.SerializeToString(), headers={**headers, **uid})
        except httpx2.HTTPError as error:
            self._hear(error)
            return False
        self.counts.sent += 1
        if answer.status_code == 200:
            self._take(agent, answer.content)
            return True
        self.counts.refused += 1
        self._tell(f"the server answers {answer.status_code}{_meaning(answer.status_code)}")
        return answer.status_code not in (401, 429, 503)

    def _first_report(self) -> float:
        """Spread over the interval, so that the fleet does not speak all at once."""
        every = self.plan.report_seconds
        return time.time() + random.uniform(0, every) if every else float("inf")

    def _take(self, agent: SimulatedAgent, data: bytes) -> None:
        self.counts.received += 1
        try:
            message = opamp_pb2.ServerToAgent.FromString(data)
        except DecodeError:
            self.counts.errors += 1
            return
        if message.HasField("error_response"):
            self.counts.errors += 1
            self._tell(f"the server answers an error: {message.error_response.error_message}")
        agent.receive(message, time.time())

    def _hear(self, error: Exception) -> None:
        if isinstance(error, InvalidStatus):
            self.counts.refused += 1
            status = error.response.status_code
            self._tell(f"the server answers {status}{_meaning(status)}")
        else:
            self._tell(f"no connection: {error}")

    def _tell(self, text: str) -> None:
        """Say each thing once: a thousand agents have the same trouble at the same time."""
        if text not in self._said and len(self._said) < 20:
            self._said.add(text)
            self._say(text)


def backoff(failures: int) -> float:
    """Seconds until the next try: none, then exponential with jitter."""
    if failures == 0:
        return 0.0
    return min(FIRST_BACKOFF * BACKOFF_FACTOR ** (failures - 1), MAX_BACKOFF) * random.uniform(0.5, 1.5)


def _meaning(status: int) -> str:
    return ": it does not take the token" if status == 401 else ""
