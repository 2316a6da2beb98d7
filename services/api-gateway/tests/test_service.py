"""The service on a real nats-server: owners asked over the bus, events from real streams, the process itself."""

import asyncio
import gc
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf.message import Message
from httpx2 import AsyncClient, ConnectError
from nats.js.api import StreamInfo

from api_gateway.app import create_app, serve
from api_gateway.event_log import JetStreamEventLog
from api_gateway.live import STREAMS, Hub
from api_gateway.owners import RpcOwners
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners, make_gateway
from flowgate.agent.v1.events_pb2 import AgentConnected
from flowgate.config.v1.events_pb2 import DeliveryStateChanged
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowkit import contracts
from flowkit.bus import Bus, Outgoing
from flowkit.embedded import EmbeddedNats
from flowkit.errors import UnavailableError
from flowkit.rpc import RpcClient, RpcServer
from flowkit.testing import connected_bus, eventually

EXTENSION = make_gateway(1).gateway
SUPERVISED = make_gateway(2, supervised=True).gateway


class NoDatabase:
    """Transactions of owners that keep everything in memory."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Nothing to begin or commit."""
        yield


@asynccontextmanager
async def answering(bus: Bus, owners: MemoryOwners, *services: str) -> AsyncIterator[None]:
    """These owners answer on the bus by flowkit's own server, from memory."""

    def handler(name: str) -> Any:
        async def handle(store: MemoryOwners, question: Message, now: datetime) -> Message:
            answer: Message = await getattr(store, name.replace("-", "_"))(question)
            return answer

        return handle

    async with AsyncExitStack() as stack:
        for service in services:
            methods = [(kind, one) for kind, one in contracts.rpc_methods().items() if one.service == service]
            handlers = {kind: handler(one.name) for kind, one in methods}
            server = RpcServer(bus, NoDatabase(), None, service, lambda connection: owners, handlers)  # type: ignore[arg-type]
            await server.start()
            stack.push_async_callback(server.stop)
        yield


@asynccontextmanager
async def api(bus: Bus, token: str, **changes: Any) -> AsyncIterator[AsyncClient]:
    """A replica of the api-gateway on this bus, and a client of it."""
    settings = ApiGatewaySettings(admin_token_sha256=sha256(token.encode()).hexdigest(), **changes)
    hub = Hub(JetStreamEventLog(bus), settings.events_queue)
    await hub.start()
    app = create_app(RpcOwners(RpcClient(bus, settings.rpc_timeout_seconds)), hub, settings)
    await app.state.streams.join(bus)
    async with serve(app, "127.0.0.1", 0) as port:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10) as client:
                yield client
        finally:
            await hub.stop()


@asynccontextmanager
async def event_stream(client: AsyncClient, query: str = "", cursor: str | None = None) -> AsyncIterator[Any]:
    """Server-sent events as (id, event, data); the first has an id only."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with client.stream("GET", f"/api/v1/events{query}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _parsed(response)


async def _parsed(response: Any) -> AsyncIterator[tuple[str, str | None, Any]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            data = json.loads(fields["data"]) if "data" in fields else None
            if "id" in fields:
                yield fields["id"], fields.get("event"), data
            fields = {}


async def publish(bus: Bus, fact: Message, message_id: str) -> None:
    """Store a fact as an owner's outbox does."""
    await bus.publish(Outgoing(contracts.subject_of(fact), message_id, fact.SerializeToString(), {}))


async def following(stream: Any, count: int) -> list[tuple[str, str | None, Any]]:
    """The next events of a stream."""
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


@pytest.fixture
async def bus(fresh_nats_url: str) -> AsyncIterator[Bus]:
    """A bus of the test's own with all streams made."""
    async with connected_bus(fresh_nats_url) as bus:
        yield bus


async def test_owners_are_asked_over_the_bus(bus: Bus, owners: MemoryOwners, token: str) -> None:
    """Answers and every kind of error come through as the owners gave them."""
    services = ("agent-registry", "config-push", "supervisor-control")
    async with answering(bus, owners, *services), api(bus, token) as client:
        assert (await client.get("/api/v1/gateways")).json()["total"] == 2
        missing = await client.get(f"/api/v1/gateways/{'0' * 32}")
        assert (missing.status_code, missing.json()["title"]) == (404, "Not found")
        path = "/api/v1/supervisor/ui/agents/{}/config"
        refused = await client.post(path.format(EXTENSION.instance_id), json={"config": "a: 1"})
        assert (refused.status_code, refused.json()["capability"]) == (409, "AcceptsRemoteConfig")
        invalid = await client.post(path.format(SUPERVISED.instance_id), json={"config": ":"})
        assert (invalid.status_code, invalid.json()["errors"][0]["line"]) == (422, 1)
        accepted = await client.post(f"/api/v1/supervisor/agents/{SUPERVISED.instance_id}/restart")
        assert accepted.status_code == 202
        assert (await client.get(accepted.headers["location"])).json()["state"] == "pending"
        assert (await client.get(f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}")).json()["partial"] == []


async def test_a_configuration_larger_than_a_message_goes_both_ways(bus: Bus, owners: MemoryOwners, token: str) -> None:
    """What NATS would refuse takes the object store."""
    text = "# " + "x" * 3_000_000
    async with answering(bus, owners, "agent-registry", "config-push"), api(bus, token) as client:
        path = f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}"
        assert (await client.post(path + "/config", json={"config": text})).status_code == 202
        pushed = next(one for one in owners.asked if isinstance(one, configs.AssignConfigRequest))
        assert pushed.config == text
        file = configs.ConfigFile(body=text.encode())
        owners.configs[SUPERVISED.instance_id] = configs.GetAgentConfigResponse(effective=[file], effective_hash="e")
        known = await client.get(path + "/effective-config")
        assert known.json()["effective"]["files"][""]["body"] == text


async def test_an_owner_that_is_not_running_is_503_at_once(bus: Bus, owners: MemoryOwners, token: str) -> None:
    """NATS tells that nobody listens; joined answers go on without it."""
    async with (
        answering(bus, owners, "agent-registry", "supervisor-control"),
        api(bus, token, rpc_timeout_seconds=60) as client,
    ):
        async with asyncio.timeout(30):
            response = await client.get(f"/api/v1/gateways/{SUPERVISED.gateway_id}/config")
        assert (response.status_code, response.json()["service"]) == (503, "config-push")
        detail = await client.get(f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}")
        assert (detail.status_code, detail.json()["partial"]) == (200, ["config-push"])


async def test_an_owner_that_hangs_is_503_after_the_timeout(bus: Bus, owners: MemoryOwners, token: str) -> None:
    """The caller is not kept waiting."""

    released = asyncio.Event()

    async def hang(request: object) -> Any:
        await released.wait()
        raise UnavailableError("too late")

    owners.list_gateways = hang  # type: ignore[method-assign]
    async with answering(bus, owners, "agent-registry"), api(bus, token, rpc_timeout_seconds=0.1) as client:
        response = await client.get("/api/v1/gateways")
        assert (response.status_code, response.json()["service"]) == (503, "agent-registry")
        released.set()


async def test_events_come_as_they_happen_and_resume_at_any_replica(bus: Bus, fresh_nats_url: str, token: str) -> None:
    """The id that one replica gave is good at another: nothing missed, nothing twice."""
    uid = EXTENSION.instance_id
    async with connected_bus(fresh_nats_url) as second, api(bus, token) as here, api(second, token) as there:
        async with event_stream(here) as stream:
            ((place, _, nothing),) = await following(stream, 1)
            assert (place, nothing) == ("0-0-0", None)
            await publish(bus, AgentConnected(instance_uid=uid, transport="http"), "one")
            ((cursor, kind, data),) = await following(stream, 1)
        assert (cursor, kind) == ("1-0-0", "agent.connected")
        assert (data["event_id"], data["instance_id"], data["transport"]) == ("one", uid, "http")
        await publish(bus, DeliveryStateChanged(instance_uid=uid, state="DELIVERY_STATE_APPLIED"), "two")
        await publish(bus, AgentConnected(instance_uid=uid), "three")
        async with event_stream(there, cursor=cursor) as stream:
            (_, *missed) = await following(stream, 3)
            await publish(bus, AgentConnected(instance_uid=uid), "four")
            live = await following(stream, 1)
        assert sorted(data["event_id"] for _, _, data in missed) == ["three", "two"]
        assert (live[0][2]["event_id"], live[0][0]) == ("four", "3-1-0")


async def test_a_client_that_is_gone_is_forgotten(app: FastAPI, hub: Hub, token: str) -> None:
    """Its queue goes with its connection, without waiting for the next event."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serve(app, "127.0.0.1", 0) as port,
        AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client,
    ):
        async with event_stream(client) as stream:
            await following(stream, 1)
            assert hub.listeners == 1
        await eventually(lambda: hub.listeners == 0)


async def test_who_comes_at_a_stop_is_let_go(app: FastAPI, hub: Hub, token: str) -> None:
    """With a place to go on from at another replica: a browser that gets a 503 does not come back by itself."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serve(app, "127.0.0.1", 0) as port,
        AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client,
    ):
        await hub.stop()
        async with event_stream(client) as stream, asyncio.timeout(10):
            assert [(cursor, data) async for cursor, _, data in stream] == [("0-0-0", None)]


async def test_clients_leave_their_connections_before_a_stop_closes_them(app: FastAPI, token: str) -> None:
    """A request on a kept connection would meet its close; an answer that closes it sends the client elsewhere."""
    headers = {"Authorization": f"Bearer {token}"}
    stop = asyncio.Event()

    async def run(given: "asyncio.Future[int]") -> None:
        async with serve(app, "127.0.0.1", 0, leave_seconds=0.5) as port:
            given.set_result(port)
            await stop.wait()

    given: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(given))
    async with AsyncClient(base_url=f"http://127.0.0.1:{await given}", headers=headers) as client:
        assert "connection" not in (await client.get("/api/v1/gateways")).headers
        stop.set()
        await eventually(lambda: app.state.is_leaving)
        leaving = await client.get("/api/v1/gateways")
        assert (leaving.status_code, leaving.headers["connection"]) == (200, "close")
        await running
        with pytest.raises(ConnectError):
            await client.get("/api/v1/gateways")


async def test_an_order_that_is_not_answered_may_have_been_taken(bus: Bus, owners: MemoryOwners, token: str) -> None:
    """A 503 on a question is harmless, on an order one has to look; where nobody runs, nothing was taken."""

    released = asyncio.Event()

    async def hang(request: object) -> Any:
        await released.wait()
        raise UnavailableError("too late")

    path = f"/api/v1/supervisor/agents/{SUPERVISED.instance_id}/restart"
    async with answering(bus, owners, "agent-registry"), api(bus, token, rpc_timeout_seconds=0.1) as client:
        assert "all the same" not in (await client.post(path)).json()["detail"]
        owners.request_restart = hang  # type: ignore[method-assign]
        async with answering(bus, owners, "supervisor-control"):
            response = await client.post(path)
            assert response.status_code == 503
            assert "may have taken the order all the same" in response.json()["detail"]
            released.set()


async def test_a_filter_takes_either_id(bus: Bus, token: str) -> None:
    """By domain and by gateway; what is no id is 404."""
    async with api(bus, token) as client:
        query = f"?domain=agent&instance_id={SUPERVISED.gateway_id.upper()}"
        async with event_stream(client, query, cursor="nonsense") as stream:
            await following(stream, 1)
            await publish(bus, AgentConnected(instance_uid=EXTENSION.instance_id), "other")
            await publish(bus, DeliveryStateChanged(instance_uid="u", gateway_id=SUPERVISED.gateway_id), "domain")
            await publish(bus, AgentConnected(instance_uid="u", gateway_id=SUPERVISED.gateway_id), "mine")
            assert [data["event_id"] for _, _, data in await following(stream, 1)] == ["mine"]
        assert (await client.get("/api/v1/events?instance_id=x")).status_code == 404
        assert (await client.get("/api/v1/events?domain=weather")).status_code == 422


async def test_a_long_replay_is_complete_and_in_order(bus: Bus, token: str) -> None:
    """More than one batch of the reader, and events that come meanwhile."""
    async with api(bus, token) as client:
        await asyncio.gather(*(publish(bus, AgentConnected(instance_uid="u"), str(n)) for n in range(700)))
        async with event_stream(client, cursor="0-0-0") as stream:
            await following(stream, 1)
            writing = asyncio.gather(*(publish(bus, AgentConnected(instance_uid="u"), str(n)) for n in range(700, 800)))
            cursors = [cursor for cursor, _, _ in await following(stream, 800)]
            await writing
        assert cursors == [f"{n}-0-0" for n in range(1, 801)]


async def test_a_replay_ends_where_the_last_events_are_gone(bus: Bus) -> None:
    """It does not wait for a sequence that will never come."""
    for number in range(3):
        await publish(bus, AgentConnected(instance_uid="u"), str(number))
    await bus.jetstream.delete_msg(STREAMS[0], 3)
    async with asyncio.timeout(5):
        assert [event.sequence async for event in JetStreamEventLog(bus).read(0, 0, 3)] == [1, 2]
        assert [event.sequence async for event in JetStreamEventLog(bus).read(1, 0, 3)] == []


async def test_streams_that_choose_a_leader_are_asked_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not answer meanwhile, which takes a moment; a listener is not turned away for that."""
    await publish(bus, AgentConnected(instance_uid="u"), "one")
    answers, tries = bus.jetstream.stream_info, itertools.count(1)

    async def stream_info(name: str) -> StreamInfo:
        if next(tries) <= len(STREAMS) * silent:
            raise TimeoutError
        return await answers(name)

    monkeypatch.setattr(bus.jetstream, "stream_info", stream_info)
    silent = 1
    assert [last for _, last in await JetStreamEventLog(bus).bounds()] == [1, 0, 0]
    tries, silent = itertools.count(1), 2
    with pytest.raises(UnavailableError):
        await JetStreamEventLog(bus).bounds()


async def test_events_are_counted_without_reading_them(bus: Bus) -> None:
    """By the time at which they were stored; the consumer that tells is gone afterwards."""
    log = JetStreamEventLog(bus)
    await publish(bus, AgentConnected(instance_uid="u"), "early")
    await asyncio.sleep(0.05)
    since = time.time()
    for number in range(3):
        await publish(bus, AgentConnected(instance_uid="u"), str(number))
    assert [await log.count(0, since), await log.count(0, 0.0), await log.count(1, since)] == [3, 4, 0]
    assert (await bus.jetstream.stream_info(STREAMS[0])).state.consumer_count == 0


async def test_a_client_that_leaves_within_a_replay_leaves_nothing_behind(bus: Bus, token: str) -> None:
    """Its reader's consumers go at once and in order, not when the garbage collector comes by."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def consumers() -> int:
        infos = await asyncio.gather(*(bus.jetstream.stream_info(name) for name in STREAMS))
        return sum(info.state.consumer_count for info in infos)

    async with api(bus, token) as client:
        large = AgentConnected(instance_uid="u", ingress="x" * 50_000)  # more than the buffers on the way hold
        await asyncio.gather(*(publish(bus, large, str(n)) for n in range(300)))
        followers = await consumers()
        for _ in range(5):
            async with event_stream(client, cursor="0-0-0") as stream:
                await following(stream, 2)
        gc.collect()
        await eventually(consumers, until=lambda count: count == followers)
    assert complaints == []


async def test_signing_out_ends_the_streams_of_the_session_on_every_replica(bus: Bus, token: str) -> None:
    """The stream that a program opened by the admin token goes on."""
    async with api(bus, token) as here, api(bus, token) as there, event_stream(there) as kept:
        for client in (here, there):
            del client.headers["Authorization"]
        signed_in = await here.post("/api/v1/session", json={"token": token})
        there.cookies.update(here.cookies)
        async with event_stream(here) as own, event_stream(there) as other:
            for stream in (own, other, kept):
                await anext(stream)
            assert (await here.delete("/api/v1/session")).status_code == 204
            async with asyncio.timeout(10):
                assert [one async for one in own] == [one async for one in other] == []
            assert signed_in.json()["signed_in"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(kept)


async def test_readers_leave_nothing_behind(bus: Bus, token: str) -> None:
    """After a replay and after the stop no consumer stays in the streams."""

    async def consumers() -> int:
        return sum([len(await bus.jetstream.consumers_info(stream)) for stream in contracts.streams()])

    before = await consumers()
    async with api(bus, token) as client:
        await publish(bus, AgentConnected(instance_uid="u"), "one")
        async with event_stream(client, cursor="0-0-0") as stream:
            await following(stream, 2)
        await eventually(consumers, until=lambda count: count == before + 3)
    await eventually(consumers, until=lambda count: count == before)


async def test_events_go_on_after_nats_was_away(tmp_path: Path, token: str) -> None:
    """A reader whose consumer died with the server begins anew behind what it has seen."""
    server = EmbeddedNats(tmp_path / "nats").start()
    try:
        async with connected_bus(server.url) as bus, api(bus, token) as client, event_stream(client) as stream:
            await following(stream, 1)
            await publish(bus, AgentConnected(instance_uid="u"), "before")
            assert (await following(stream, 1))[0][0] == "1-0-0"
            server.stop()
            refused = await client.get("/api/v1/gateways")
            assert refused.status_code == 503
            server.start()
            await eventually(lambda: bus.is_connected)
            await publish(bus, AgentConnected(instance_uid="u"), "after")
            async with asyncio.timeout(20):
                assert (await anext(stream))[0] == "2-0-0"
    finally:
        server.stop()


async def start_process(nats_url: str, token: str, port: int) -> asyncio.subprocess.Process:
    """`python -m api_gateway`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "FLOWGATE_NATS_URL": nats_url,
        "FLOWGATE_API_GATEWAY_PORT": str(port),
        "FLOWGATE_API_GATEWAY_ADMIN_TOKEN_SHA256": sha256(token.encode()).hexdigest(),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api_gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )


async def log_line(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The next log line with this event."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while line := await process.stderr.readline():
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] == event:
                return entry
    raise AssertionError(f"no {event} in the log")


async def log_rest(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """What it logs until its end."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        return [json.loads(line) async for line in process.stderr]


async def test_the_process_serves_and_stops_in_order(fresh_nats_url: str, token: str) -> None:
    """Ready, asked, and gone at SIGTERM within seconds, although a listener of events would stay."""
    process = await start_process(fresh_nats_url, token, 0)
    try:
        port = (await log_line(process, "api.listening"))["port"]
        health = (await log_line(process, "service.ready"))["health_port"]
        async with AsyncClient() as client:
            ready = await client.get(f"http://127.0.0.1:{health}/readyz")
            assert (ready.status_code, ready.text) == (200, "nats ok\nevents ok\n")
            base = f"http://127.0.0.1:{port}"
            assert (await client.get(f"{base}/api/v1/gateways")).status_code == 401
            client.headers["Authorization"] = f"Bearer {token}"
            assert (await client.get(f"{base}/api/v1/openapi.json")).json()["info"]["title"] == "FlowGate"
            assert (await client.get(f"{base}/api/v1/gateways")).json()["service"] == "agent-registry"
            client.base_url = base  # type: ignore[assignment]
            async with event_stream(client) as stream:
                await following(stream, 1)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(StopAsyncIteration):
                    await following(stream, 1)
        rest = await log_rest(process)
        assert await process.wait() == 0
        assert not [one for one in rest if "graceful" in one["event"]]  # the server did not give up waiting
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_port_in_use_is_one_clear_line(fresh_nats_url: str, token: str) -> None:
    """The process ends with 1 and says which port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start_process(fresh_nats_url, token, port)
        assert f"127.0.0.1:{port}" in (await log_line(process, "service.failed"))["error"]
        assert await asyncio.wait_for(process.wait(), 10) == 1
