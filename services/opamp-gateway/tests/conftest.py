"""A running ingress on a real NATS, and agents that speak to it over both transports."""

import asyncio
import gzip
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID
from zlib import crc32

import pytest
from nats.aio.msg import Msg
from websockets.asyncio.client import ClientConnection, connect

from flowgate.uplink.v1 import desired_pb2, telemetry_pb2, uplink_pb2
from flowkit import contracts, tokens
from flowkit.bus import Bus
from flowkit.metrics import Metrics
from flowkit.service import Ready
from flowkit.testing import connected_bus, make_description
from opamp.v1 import opamp_pb2
from opamp_gateway import app
from opamp_gateway.settings import OpampGatewaySettings

TOKEN = "of-a-test"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
TELEMETRY_KEY = "a key of a test with enough characters"
SHARDS = 2


@dataclass
class Gateway:
    """A running ingress."""

    port: int
    settings: OpampGatewaySettings
    ready: Ready
    metrics: Metrics
    stop: Callable[[], Awaitable[None]]

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{self.settings.path}"


@dataclass
class Response:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> opamp_pb2.ServerToAgent:
        body = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return opamp_pb2.ServerToAgent.FromString(body)


class HttpConnection:
    """One kept HTTP connection, written by hand, so that requests can be wrong in any way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.token = TOKEN

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(
        self, body: bytes = b"", method: str = "POST", path: str = "/v1/opamp", **headers: str | None
    ) -> Response:
        """Send a request; headers as keywords with _ for -, None leaves one out."""
        wanted: dict[str, str | None] = {
            "host": "gate",
            "content-type": "application/x-protobuf",
            "authorization": f"Bearer {self.token}",
            "content-length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"{name}: {value}" for name, value in wanted.items() if value is not None]
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
        return await self.response()

    async def response(self) -> Response:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        return Response(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@dataclass
class Agent(ABC):
    """Counts reports and keeps capabilities, as a real agent does."""

    gateway: Gateway
    uid: bytes = field(default_factory=lambda: os.urandom(16))
    capabilities: int = 0x801
    sequence_num: int = -1

    def message(self, **fields: Any) -> opamp_pb2.AgentToServer:
        self.sequence_num += 1
        said = {"sequence_num": self.sequence_num, "capabilities": self.capabilities, **fields}
        return opamp_pb2.AgentToServer(instance_uid=self.uid, **said)

    def full(self, **fields: Any) -> opamp_pb2.AgentToServer:
        """A complete report."""
        return self.message(
            agent_description=make_description(service__name="collector"),
            health=opamp_pb2.ComponentHealth(healthy=True),
            **fields,
        )

    @abstractmethod
    async def send(self, message: opamp_pb2.AgentToServer) -> opamp_pb2.ServerToAgent:
        """Send a message and return the answer."""

    async def start(self, **fields: Any) -> Self:
        """Tell the full state, as after a start; the reply is the greeting."""
        reply = await self.send(self.full(**fields))
        assert reply.capabilities and not reply.flags, reply
        return self

    async def report(self, **fields: Any) -> opamp_pb2.ServerToAgent:
        """Send a report with these fields; a bare heartbeat without any."""
        return await self.send(self.message(**fields))

    async def healthy(self, is_healthy: bool = True) -> opamp_pb2.ServerToAgent:
        return await self.report(health=opamp_pb2.ComponentHealth(healthy=is_healthy))


@dataclass
class WebSocketAgent(Agent):
    """Speaks over a WebSocket of the well-known library."""

    socket: ClientConnection | None = None

    async def send(self, message: opamp_pb2.AgentToServer) -> opamp_pb2.ServerToAgent:
        assert self.socket is not None
        await self.socket.send(b"\x00" + message.SerializeToString())
        return await self.receive()

    async def until_ack(self) -> list[opamp_pb2.ServerToAgent]:
        """Send a heartbeat; everything that comes up to its bare acknowledgement."""
        replies = [await self.report()]
        while replies[-1] != opamp_pb2.ServerToAgent(instance_uid=self.uid):
            replies.append(await self.receive())
        return replies

    async def receive(self) -> opamp_pb2.ServerToAgent:
        assert self.socket is not None
        async with asyncio.timeout(5):
            data = await self.socket.recv()
        assert isinstance(data, bytes) and data[0] == 0, "Item 7: every frame is binary and begins with 0"
        reply = opamp_pb2.ServerToAgent.FromString(data[1:])
        check_reply(reply)
        return reply

    async def close(self) -> None:
        assert self.socket is not None
        await self.socket.close()


@dataclass
class HttpAgent(Agent):
    """Polls over one kept HTTP connection."""

    http: HttpConnection | None = None

    async def send(self, message: opamp_pb2.AgentToServer) -> opamp_pb2.ServerToAgent:
        assert self.http is not None
        async with asyncio.timeout(5):
            response = await self.http.request(message.SerializeToString())
        assert response.status == 200, response
        reply = response.message
        check_reply(reply)
        return reply

    async def close(self) -> None:
        assert self.http is not None
        await self.http.close()


@dataclass
class HeardTelemetry:
    """The stream of own telemetry as its reader sees it."""

    entries: list[telemetry_pb2.TelemetryEntry] = field(default_factory=list)
    messages: list[Msg] = field(default_factory=list)

    async def take(self, message: Msg) -> None:
        batch = telemetry_pb2.TelemetryBatch.FromString(message.data)
        assert message.subject == f"flowgate.telemetry.v1.{batch.shard}" and batch.gateway
        assert {crc32(entry.instance_uid) % SHARDS for entry in batch.entries} == {batch.shard}
        self.messages.append(message)
        self.entries += batch.entries

    def of(self, uid: bytes) -> list[telemetry_pb2.TelemetryEntry]:
        """Entries of an agent, in order."""
        return [entry for entry in self.entries if entry.instance_uid == uid]


@dataclass
class Heard:
    """The uplink as its readers see it."""

    entries: list[uplink_pb2.UplinkEntry] = field(default_factory=list)

    async def take(self, message: Msg) -> None:
        self.entries += uplink_pb2.UplinkBatch.FromString(message.data).entries

    def of(self, uid: bytes, kind: int | None = None) -> list[uplink_pb2.UplinkEntry]:
        """Entries of an agent, in order."""
        return [e for e in self.entries if e.instance_uid == uid and kind in (None, e.kind)]

    def reports(self, uid: bytes) -> list[opamp_pb2.AgentToServer]:
        return [
            opamp_pb2.AgentToServer.FromString(e.agent_to_server) for e in self.of(uid, uplink_pb2.ENTRY_KIND_REPORT)
        ]

    def reasons(self, uid: bytes) -> list[int]:
        """Why its connections ended."""
        return [e.reason for e in self.of(uid, uplink_pb2.ENTRY_KIND_DISCONNECTED)]


def check_reply(reply: opamp_pb2.ServerToAgent) -> None:
    """What holds of everything that the server says."""
    assert not reply.capabilities & ~0x7F and not reply.flags & ~0x3, "Item 6: reserved bits are 0"
    offers = reply.connection_settings
    if offers.HasField("opamp"):
        assert offers.opamp.heartbeat_interval_seconds > 0, "Item 72: an offer without is off"
        assert [field.name for field, _ in offers.opamp.ListFields()] == ["heartbeat_interval_seconds"], "Item 108"
    own = [offers.HasField(name) for name in ("own_logs", "own_metrics", "own_traces")]
    assert all(own) or not any(own), "Item 107: real supervisors take a missing one for off"


class Wishes:
    """Writes the desired state as its owners do."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def config(self, uid: bytes, text: bytes, wish: str = "delivery-1", **state: Any) -> bytes:
        """Wish a configuration; returns its hash."""
        config_hash = hashlib.sha256(text).digest()
        config = opamp_pb2.AgentRemoteConfig(config_hash=config_hash)
        config.config.config_map[""].body = text
        config.config.config_map[""].content_type = "text/yaml"
        await self.offer(uid, config, wish, **state)
        return config_hash

    async def offer(
        self, uid: bytes, config: opamp_pb2.AgentRemoteConfig, wish: str = "delivery-1", **state: Any
    ) -> None:
        """Wish this very configuration."""
        name = f"config-{config.config_hash.hex()}"
        await self._bus.put_body(contracts.BODIES, name, config.SerializeToString())
        desired = desired_pb2.DesiredConfig(config_hash=config.config_hash, body_object=name)
        await self._put(uid, "config", desired_pb2.DesiredState(id=wish, config=desired, **state))

    async def restart(self, uid: bytes, wish: str = "command-1", **state: Any) -> None:
        """Wish a restart."""
        command = desired_pb2.DesiredCommand(type=0)
        await self._put(uid, "command", desired_pb2.DesiredState(id=wish, command=command, **state))

    async def full_state(self, uid: bytes, wish: str = "full-state") -> None:
        """Wish that the agent reports everything."""
        state = desired_pb2.DesiredState(id=wish, full_state=desired_pb2.DesiredFullState())
        await self._put(uid, "state", state)

    async def connection(self, uid: bytes, offer_hash: bytes, wish: str = "connection-1", **wanted: Any) -> None:
        """Wish connection settings: fields of DesiredConnection."""
        desired = desired_pb2.DesiredConnection(hash=offer_hash, **wanted)
        await self._put(uid, "connection", desired_pb2.DesiredState(id=wish, connection=desired))

    async def refusal(self, uid: bytes, reason: str, **state: Any) -> None:
        """Wish that the agent is turned away."""
        refused = desired_pb2.DesiredRefusal(reason=reason)
        await self._put(uid, "refusal", desired_pb2.DesiredState(id="refusal", refusal=refused, **state))

    async def _put(self, uid: bytes, facet: str, state: desired_pb2.DesiredState) -> None:
        bucket = await self._bus.kv(contracts.AGENT_DESIRED)
        await bucket.put(f"{UUID(bytes=uid)}.{facet}", state.SerializeToString())

    async def fulfil(self, uid: bytes, facet: str) -> None:
        """The owner is done with it."""
        bucket = await self._bus.kv(contracts.AGENT_DESIRED)
        await bucket.delete(f"{UUID(bytes=uid)}.{facet}")


@pytest.fixture
def see(wishes: Wishes, open_ws: Callable[..., Awaitable[WebSocketAgent]]) -> Callable[[Gateway], Awaitable[None]]:
    """Waits until an ingress has seen what was wished so far: a later wish for another agent has come through."""

    async def seen(gateway: Gateway) -> None:
        probe = await (await open_ws(gateway, capabilities=0x3)).start()
        await wishes.config(probe.uid, b"probe")
        assert (await probe.receive()).HasField("remote_config")
        await wishes.fulfil(probe.uid, "config")
        await probe.close()

    return seen


class Tokens:
    """Writes enrollment tokens as agent-registry does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def add(self, token: str, token_id: str | None = None, expires_at: int = 0) -> str:
        """Make a token good until `expires_at`, in nanoseconds since 1970; returns its id."""
        token_id = token_id or os.urandom(8).hex()
        credential = desired_pb2.Credential(sha256=tokens.digest(token), expires_at_unix_nano=expires_at)
        await (await self._bus.kv(contracts.AGENT_CREDENTIALS)).put(token_id, credential.SerializeToString())
        return token_id

    async def revoke(self, token_id: str) -> None:
        """Take the token back."""
        await (await self._bus.kv(contracts.AGENT_CREDENTIALS)).delete(token_id)


@pytest.fixture
def tokens_on() -> type[Tokens]:
    """Tokens on another bus."""
    return Tokens


@pytest.fixture
def enrollment(bus: Bus) -> Tokens:
    return Tokens(bus)


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connected_bus(nats_url, SHARDS) as connected:
        yield connected


@pytest.fixture
async def heard(bus: Bus) -> Heard:
    uplink = Heard()
    await bus.connection.subscribe("flowgate.uplink.v1.*", cb=uplink.take)
    await bus.jetstream.account_info()  # flush() would not do: nats-py's PING overtakes what is still in its buffer
    return uplink


@pytest.fixture
async def heard_telemetry(bus: Bus) -> HeardTelemetry:
    telemetry = HeardTelemetry()
    await bus.connection.subscribe("flowgate.telemetry.v1.*", cb=telemetry.take)
    await bus.jetstream.account_info()
    return telemetry


@pytest.fixture
def wishes_on() -> type[Wishes]:
    """Wishes on another bus."""
    return Wishes


@pytest.fixture
def wishes(bus: Bus) -> Wishes:
    return Wishes(bus)


@pytest.fixture
async def start_gateway(nats_url: str) -> AsyncIterator[StartGateway]:
    """Starts an ingress with these settings; it stops with the test, or when its `stop` is called."""
    async with AsyncExitStack() as stack:

        async def start(url: str = nats_url, digests: str = DIGEST, **changes: Any) -> Gateway:
            settings = OpampGatewaySettings(
                nats_url=url,
                uplink_shards=SHARDS,
                host="127.0.0.1",
                port=0,
                enrollment_token_sha256=digests,
                **{"drain_seconds": 0.0, "telemetry_key": TELEMETRY_KEY, **changes},
            )
            own = AsyncExitStack()
            running = await own.enter_async_context(app.ingress(settings))
            stack.push_async_callback(own.aclose)
            return Gateway(running.port, settings, running.ready, running.metrics, own.aclose)

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway()


@pytest.fixture
async def open_ws() -> AsyncIterator[Callable[..., Awaitable[WebSocketAgent]]]:
    """Connects an agent over a WebSocket; several on one with `socket`."""
    async with AsyncExitStack() as stack:

        async def open_agent(gateway: Gateway, **agent: Any) -> WebSocketAgent:
            socket, token = agent.pop("socket", None), agent.pop("token", TOKEN)
            if socket is None:
                headers = {"Authorization": f"Bearer {token}"}
                socket = await stack.enter_async_context(
                    connect(gateway.ws_url, additional_headers=headers, max_size=None)
                )
            return WebSocketAgent(gateway, socket=socket, **agent)

        yield open_agent


@pytest.fixture
async def open_http() -> AsyncIterator[Callable[..., Awaitable[HttpAgent]]]:
    """Connects an agent over HTTP."""
    async with AsyncExitStack() as stack:

        async def open_agent(gateway: Gateway, **agent: Any) -> HttpAgent:
            http = await HttpConnection.open(gateway.port)
            http.token = agent.pop("token", TOKEN)
            stack.push_async_callback(http.close)
            return HttpAgent(gateway, http=http, **agent)

        yield open_agent


@pytest.fixture(params=["websocket", "http"])
def open_agent(request: pytest.FixtureRequest) -> Callable[..., Awaitable[Agent]]:
    """Connects an agent over each of the two transports in turn."""
    return request.getfixturevalue("open_ws" if request.param == "websocket" else "open_http")
