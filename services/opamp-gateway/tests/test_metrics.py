"""What the ingress counts, by what happened to it."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from flowkit.embedded import EmbeddedNats
from flowkit.testing import SUPERVISOR, eventually

OpenAgent = Callable[..., Awaitable]
MESSAGES = "flowgate_opamp_messages_total"


async def figures(gateway) -> dict[str, float]:
    """Samples by name and labels, as the text has them."""
    _, page = await gateway.metrics.page()
    samples = (line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def answered(found: dict[str, float]) -> dict[str, int]:
    """Messages by outcome, those that there are."""
    counts = {name.split('"')[1]: int(value) for name, value in found.items() if name.startswith(MESSAGES)}
    return {outcome: count for outcome, count in counts.items() if count}


async def test_every_message_is_counted_by_its_answer(gateway, open_agent: OpenAgent) -> None:
    """Reports when they are durable, heartbeats at once, what is no message as such; the sum is what was sent."""
    agent = await (await open_agent(gateway)).start()
    for _ in range(3):
        await agent.healthy()
    for _ in range(5):
        await agent.report()
    agent.uid = b"short"
    await agent.report()
    found = await figures(gateway)
    assert answered(found) == {"stored": 4, "current": 5, "malformed": 1}
    assert found["flowgate_uplink_batch_entries_sum"] == found["flowgate_uplink_batch_entries_count"] == 4
    assert found['flowgate_uplink_batch_entries_bucket{le="1"}'] == 4
    assert found["flowgate_uplink_reply_duration_seconds_count"] == 4
    assert 0 < found["flowgate_uplink_reply_duration_seconds_sum"] < 60
    assert found["flowgate_uplink_waiting_reports"] == found["flowgate_uplink_waiting_bytes"] == 0


async def test_connections_and_agents_are_told_by_transport(gateway, open_ws: OpenAgent, open_http: OpenAgent) -> None:
    """An agent that polls is there between its polls; one that leaves is not, and its end is no answer."""
    socket, poller = await (await open_ws(gateway)).start(), await (await open_http(gateway)).start()
    found = await figures(gateway)
    for name in ("flowgate_opamp_agents", "flowgate_opamp_connections"):
        assert found[f'{name}{{transport="websocket"}}'] == found[f'{name}{{transport="http"}}'] == 1
    await socket.close()
    await eventually(
        lambda: figures(gateway),
        until=lambda now: (
            now['flowgate_opamp_agents{transport="websocket"}'] == 0
            and now['flowgate_opamp_agents{transport="http"}'] == 1
            and now["flowgate_uplink_batch_entries_sum"] == 3  # two first reports and an end
        ),
    )
    assert answered(await figures(gateway)) == {"stored": 2}
    assert poller.uid


async def test_what_is_sent_to_agents_is_counted_by_facet(gateway, wishes, open_ws: OpenAgent) -> None:
    """An offer, a command, and what is asked for."""
    agent = await (await open_ws(gateway, capabilities=SUPERVISOR)).start()
    await wishes.config(agent.uid, b"a: 1")
    await agent.receive()
    await wishes.restart(agent.uid)
    await agent.receive()
    await wishes.full_state(agent.uid)
    await agent.receive()
    found = await eventually(
        lambda: figures(gateway),
        until=lambda now: now['flowgate_opamp_deliveries_total{facet="command",outcome="sent"}'] == 1,
    )
    assert found['flowgate_opamp_deliveries_total{facet="config",outcome="sent"}'] == 1
    assert found['flowgate_opamp_deliveries_total{facet="config",outcome="failed"}'] == 0
    assert found["flowgate_opamp_full_state_requests_total"] == 1
    assert found["flowgate_opamp_desired_agents"] >= 1


async def test_an_agents_session_that_goes_on_elsewhere_is_counted(start_gateway, open_ws: OpenAgent) -> None:
    """The other replica handed it over; nobody is asked for a full state."""
    first = await start_gateway()
    agent = await (await open_ws(first)).start()
    await first.stop()
    second = await start_gateway()
    other = await open_ws(second, uid=agent.uid, sequence_num=agent.sequence_num)
    await other.report()
    found = await figures(second)
    assert found["flowgate_opamp_sessions_restored_total"] == 1
    assert found["flowgate_opamp_full_state_requests_total"] == 0


async def test_refusals_are_counted(start_gateway, open_ws: OpenAgent, tmp_path: Path) -> None:
    """NATS stands still: the report waits, is refused, and its batch is still tried."""
    with EmbeddedNats(tmp_path / "nats") as server:
        gateway = await start_gateway(server.url, reply_deadline_seconds=0.3)
        agent = await (await open_ws(gateway)).start()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            reply = await agent.healthy()
            assert reply.HasField("error_response")
            assert answered(await figures(gateway)) == {"stored": 1, "refused": 1}
            found = await eventually(
                lambda: figures(gateway), until=lambda now: now["flowgate_uplink_batch_retries_total"] >= 1
            )
            assert found["flowgate_uplink_waiting_bytes"] > 0
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: figures(gateway), until=lambda now: now["flowgate_uplink_waiting_bytes"] == 0)
        await gateway.stop()


@pytest.mark.parametrize(
    ("token", "path", "status", "protocol"),
    [("wrong", "/v1/opamp", 401, "opamp"), ("wrong", "/v1/logs", 401, "otlp"), (None, "/elsewhere", 404, "opamp")],
)
async def test_requests_refused_at_the_door_are_counted(gateway, open_http, token, path, status, protocol) -> None:
    """By protocol and status, never by address."""
    agent = await open_http(gateway)
    agent.http.token = token or agent.http.token
    headers = {"content_type": "application/x-protobuf"}
    assert (await agent.http.request(b"", path=path, **headers)).status == status
    found = await figures(gateway)
    assert found[f'flowgate_opamp_http_rejections_total{{code="{status}",protocol="{protocol}"}}'] == 1


async def test_own_telemetry_is_counted_by_signal(gateway, open_http) -> None:
    """What was taken, and what a request was taken without."""
    request = ExportLogsServiceRequest()
    for uid in ("00000000-0000-0000-0000-000000000001", ""):
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key="service.instance.id").value.string_value = uid
        resource.scope_logs.add().log_records.add().body.string_value = "x"
    agent = await open_http(gateway)
    headers = {"content_type": "application/x-protobuf"}
    assert (await agent.http.request(request.SerializeToString(), path="/v1/logs", **headers)).status == 200
    assert (await agent.http.request(b"\xff", path="/v1/logs", **headers)).status == 400
    found = await figures(gateway)
    assert found['flowgate_telemetry_requests_total{code="200",signal="logs"}'] == 1
    assert found['flowgate_telemetry_requests_total{code="400",signal="logs"}'] == 1
    assert found['flowgate_telemetry_records_total{outcome="taken",signal="logs"}'] == 2
    assert found['flowgate_telemetry_rejected_records_total{signal="logs"}'] == 1
    assert found["flowgate_telemetry_waiting_bytes"] == 0
