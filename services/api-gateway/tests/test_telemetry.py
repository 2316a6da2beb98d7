"""Log records and metrics of agents, over owners in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from httpx2 import AsyncClient

from api_gateway.live import Hub
from api_gateway.routers import telemetry as routers
from api_gateway.schemas.agent import AgentStatusResponse
from api_gateway.schemas.telemetry import LogsResponse, MetricsResponse, TailFilters
from api_gateway.testing import MemoryOwners, make_gateway
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.testing import eventually

EXTENSION = make_gateway(1).gateway
SUPERVISED = make_gateway(2, supervised=True).gateway
LOGS = f"/api/v1/supervisor/agents/{SUPERVISED.instance_id}/logs"


def add(owners: MemoryOwners, body: str, uid: str = SUPERVISED.instance_id) -> None:
    record = telemetry.AgentLogRecord(severity="INFO", severity_number=9, source="collector", body=body)
    record.timestamp.FromJsonString("2026-11-02T08:15:30.125Z")
    owners.records.setdefault(uid, []).insert(0, record)


async def test_logs_are_records(client: AsyncClient, owners: MemoryOwners) -> None:
    """Newest first, attributes as JSON; all filters reach the owner, and a time without a zone is UTC."""
    query = "limit=1&since=2026-11-02T08:00:00&until=2026-11-02T09:00:00%2B01:00&severity=warn&q=broke&source=collector"
    response = await client.get(f"{LOGS}?{query}")
    body = response.json()
    LogsResponse.model_validate(body)
    (item,) = body["items"]
    assert (item["severity"], item["severity_number"], item["source"]) == ("ERROR", 17, "collector")
    assert (item["body"], item["attributes"]) == ("it broke", {"code": 1})
    question = owners.asked[-1]
    assert isinstance(question, telemetry.ListLogsRequest)
    assert (question.limit, question.since.ToJsonString()) == (1, "2026-11-02T08:00:00Z")
    assert (question.until.ToJsonString(), question.min_severity_number) == ("2026-11-02T08:00:00Z", 13)
    assert (question.q, question.source, question.follow) == ("broke", "collector", False)


async def test_pages_of_logs_follow_one_another(client: AsyncClient) -> None:
    """next_cursor leads on and is null at the end."""
    first = (await client.get(f"{LOGS}?limit=1")).json()
    second = (await client.get(f"{LOGS}?limit=1&cursor={first['next_cursor']}")).json()
    assert [first["items"][0]["body"], second["items"][0]["body"]] == ["it broke", "it connected"]
    assert second["next_cursor"] is None


async def test_logs_of_an_agent_in_extension_mode_are_under_its_gateway(
    client: AsyncClient, owners: MemoryOwners
) -> None:
    """The same answer for both modes."""
    add(owners, "by itself", EXTENSION.instance_id)
    body = (await client.get(f"/api/v1/gateways/{EXTENSION.gateway_id}/logs")).json()
    assert [item["body"] for item in body["items"]] == ["by itself"]
    assert (await client.get(f"/api/v1/supervisor/agents/{EXTENSION.instance_id}/logs")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "severity=LOUD",
        "source=nobody",
        "since=yesterday",
        "since=0001-01-01T00:00:00",
        "cursor=%00",
        "cursor=bad",
        "q=%00",
        "nonsense=1",
        "q=" + "a" * 201,
    ],
)
async def test_what_is_no_filter_is_422(client: AsyncClient, query: str) -> None:
    """With a problem document that says where."""
    response = await client.get(f"{LOGS}?{query}")
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert response.json()["errors"]


@pytest.fixture
async def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for new records without a pause."""
    monkeypatch.setattr(routers, "_POLL_SECONDS", 0.01)


async def taken(tail: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(tail) for _ in range(count)]


@pytest.mark.usefixtures("fast")
async def test_the_tail_gives_what_comes(owners: MemoryOwners, hub: Hub) -> None:
    """From the end on, in order; with a cursor from behind its record, and nothing twice."""
    tail = routers.follow(owners, hub, TailFilters(), SUPERVISED.instance_id, "")
    (begin,) = await taken(tail, 1)
    for body in ("one", "two"):
        add(owners, body)
    one, two = await taken(tail, 2)
    assert (begin, one.body, two.body) == ("2", "one", "two")
    await tail.aclose()
    again = routers.follow(owners, hub, TailFilters(), SUPERVISED.instance_id, one.cursor)
    cursor, record = await taken(again, 2)
    assert (cursor, record.body) == (one.cursor, "two")
    await again.aclose()


@pytest.mark.usefixtures("fast")
async def test_the_tail_begins_with_the_past_if_asked(owners: MemoryOwners, hub: Hub) -> None:
    """`since` gives what there is, oldest first, then what comes."""
    filters = TailFilters.model_validate({"since": "2026-11-02T08:00:00Z"})
    tail = routers.follow(owners, hub, filters, SUPERVISED.instance_id, "")
    _, *past = await taken(tail, 3)
    add(owners, "now")
    (record,) = await taken(tail, 1)
    assert [one.body for one in (*past, record)] == ["it connected", "it broke", "now"]
    await tail.aclose()


@pytest.mark.usefixtures("fast")
async def test_the_tail_survives_a_short_absence_of_the_owner(owners: MemoryOwners, hub: Hub) -> None:
    """And ends with the service, so that it does not hold up its stop."""
    tail = routers.follow(owners, hub, TailFilters(), SUPERVISED.instance_id, "")
    await taken(tail, 1)
    owners.down.add("supervisor-control")
    waiting = asyncio.create_task(taken(tail, 1))
    await eventually(lambda: len(owners.asked) >= 4)
    owners.down.clear()
    add(owners, "back")
    assert [one.body for one in await waiting] == ["back"]
    await hub.stop()
    with pytest.raises(StopAsyncIteration):
        await taken(tail, 1)


@pytest.mark.usefixtures("fast")
async def test_the_stream_is_server_sent_events(client: AsyncClient, owners: MemoryOwners, hub: Hub) -> None:
    """An id each, Last-Event-ID resumes; the stream ends with the hub."""
    stopping = asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(hub.stop()))
    response = await client.get(f"{LOGS}/stream", headers={"Last-Event-ID": "1"})
    stopping.cancel()
    assert response.headers["content-type"].startswith("text/event-stream")
    first, event, *_ = response.text.split("\n\n")
    assert "id: 1" in first.splitlines()
    lines = dict(line.split(": ", 1) for line in event.splitlines())
    assert (lines["event"], lines["id"], orjson.loads(lines["data"])["body"]) == ("log", "2", "it broke")


@pytest.mark.usefixtures("fast")
async def test_a_stream_goes_on_where_a_page_ends(client: AsyncClient, owners: MemoryOwners, hub: Hub) -> None:
    """What is stored after the page was read comes, under the id that pages give it too."""
    page = (await client.get(LOGS)).json()
    LogsResponse.model_validate(page)
    add(owners, "meanwhile")
    stopping = asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(hub.stop()))
    response = await client.get(f"{LOGS}/stream", params={"behind": page["tail"]})
    stopping.cancel()
    (event,) = [one for one in response.text.split("\n\n") if "event: log" in one]
    record = orjson.loads(dict(line.split(": ", 1) for line in event.splitlines())["data"])
    newest = (await client.get(LOGS, params={"limit": 1})).json()
    assert (record["body"], record["id"]) == ("meanwhile", newest["items"][0]["id"])
    assert (await client.get(LOGS, params={"cursor": newest["next_cursor"]})).json()["tail"] is None
    assert (await client.get(f"{LOGS}/stream", params={"behind": "%"})).status_code == 422


async def test_the_stream_of_an_unknown_agent_is_a_problem(client: AsyncClient, owners: MemoryOwners) -> None:
    """Also when the owner is away: told before the stream begins."""
    missing = await client.get("/api/v1/supervisor/agents/0198e4b0-7c1d-7a3e-9f00-ffffffffffff/logs/stream")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    owners.down.add("supervisor-control")
    assert (await client.get(f"{LOGS}/stream")).status_code == 503


def series(name: str, *values: float, kind: str = "rate", **attributes: str) -> telemetry.MetricSeries:
    return telemetry.MetricSeries(
        name=name,
        unit="1/s",
        kind=kind,
        source="collector",
        attributes=attributes,
        timestamps=[60.0 * n for n in range(len(values))],
        values=values,
    )


async def test_metrics_are_ready_for_charts(client: AsyncClient, owners: MemoryOwners) -> None:
    """One list of times, null where a series has no value."""
    owners.metrics[SUPERVISED.instance_id] = telemetry.GetMetricsResponse(
        series=[series("otelcol_exporter_sent_spans", float("nan"), 2.5, exporter="otlp")],
        step_seconds=60,
        names=["otelcol_exporter_sent_spans"],
    )
    path = f"/api/v1/gateways/{SUPERVISED.gateway_id}/metrics"
    body = (await client.get(f"{path}?names=otelcol_exporter_sent_spans&step=60")).json()
    MetricsResponse.model_validate(body)
    assert (body["timestamps"], body["step_seconds"]) == ([0, 60], 60)
    assert (body["series"][0]["values"], body["series"][0]["attributes"]) == ([None, 2.5], {"exporter": "otlp"})
    question = owners.asked[-1]
    assert isinstance(question, telemetry.GetMetricsRequest)
    assert (list(question.names), question.step_seconds) == (["otelcol_exporter_sent_spans"], 60)
    for query in ("step=-1", "names=", "since=x", "unknown=1"):
        assert (await client.get(f"{path}?{query}")).status_code == 422


async def test_the_status_has_the_latest_metrics(client: AsyncClient, owners: MemoryOwners) -> None:
    """Summed over components, of the last step that has a value; null for an agent that sends none."""
    path = f"/api/v1/gateways/{SUPERVISED.gateway_id}/status"
    assert (await client.get(path)).json()["metrics"] is None
    nan = float("nan")
    owners.metrics[SUPERVISED.instance_id] = telemetry.GetMetricsResponse(
        series=[
            series("otelcol_process_cpu_seconds", 0.5, 0.25),
            series("otelcol_process_memory_rss", 1e8, nan, kind="gauge"),
            series("otelcol_receiver_accepted_spans", 10, 20),
            series("otelcol_receiver_accepted_log_records", 1, 2),
            series("otelcol_exporter_send_failed_spans", 1, 3),
            series("otelcol_exporter_enqueue_failed_spans", 0, 4),
        ]
    )
    body = (await client.get(path)).json()
    AgentStatusResponse.model_validate(body)
    latest = body["metrics"]
    assert (latest["cpu"], latest["memory_bytes"], latest["accepted_per_second"]) == (0.25, 1e8, 22)
    assert (latest["failed_per_second"], latest["sent_per_second"], latest["queue_size"]) == (7, None, None)
