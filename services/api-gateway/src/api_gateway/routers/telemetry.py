"""Own telemetry of agents: log records by pages and as they come, and metrics."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.live import Hub
from api_gateway.owners import Owners, OwnersDep, find, find_supervised
from api_gateway.schemas.telemetry import (
    LogFilters,
    LogRecordBody,
    LogsResponse,
    MetricFilters,
    MetricsResponse,
    StreamFilters,
    TailFilters,
    logs_json,
    metrics_json,
    record_json,
)
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.errors import InvalidError, UnavailableError

router = APIRouter(prefix="/api/v1", responses=refusals(401, 404, 422, 503))

_POLL_SECONDS = 1.0  # between two looks for new records
_PATIENCE = 10  # looks in a row that the owner may leave unanswered
_PAGE = 500  # records fetched at once
_RETRY_MILLISECONDS = 2000  # how long a browser waits before it comes back

Tail = AsyncGenerator[telemetry.AgentLogRecord | str, None]
"""Records, and first of all the cursor at which it begins."""


@router.get(
    "/supervisor/agents/{instance_id}/logs",
    operation_id="listSupervisorLogs",
    response_model=LogsResponse,
    tags=["supervisor"],
)
async def list_supervisor_logs(
    owners: OwnersDep, instance_id: str, filters: Annotated[LogFilters, Query()]
) -> Response:
    """Log records of the agent, newest first: its supervisor's and its collector's own, and what FlowGate knows of it
    (health transitions, outcomes of configurations and of commands)."""
    return await _page(owners, (await find_supervised(owners, instance_id)).gateway, filters)


@router.get(
    "/gateways/{gateway_id}/logs", operation_id="listGatewayLogs", response_model=LogsResponse, tags=["gateways"]
)
async def list_gateway_logs(owners: OwnersDep, gateway_id: str, filters: Annotated[LogFilters, Query()]) -> Response:
    """The same for an agent in either mode; one in extension mode sends what its own configuration says."""
    return await _page(owners, (await find(owners, gateway_id)).gateway, filters)


async def _page(owners: Owners, gateway: registry.Gateway, filters: LogFilters) -> Response:
    tail = ""
    if not filters.cursor:  # looked up before the page, so that nothing is stored in between
        tail = (await owners.list_logs(filters.question(gateway.instance_id, follow=True))).next_cursor
    question = filters.question(gateway.instance_id, limit=filters.limit, cursor=filters.cursor)
    return answer(logs_json(gateway, await owners.list_logs(question), tail))


@router.get(
    "/gateways/{gateway_id}/metrics",
    operation_id="getGatewayMetrics",
    response_model=MetricsResponse,
    tags=["gateways"],
)
async def get_metrics(owners: OwnersDep, gateway_id: str, filters: Annotated[MetricFilters, Query()]) -> Response:
    """Metrics of the agent, ready for charts: counters as rates, restarts allowed for, gauges with the last value of
    each step. Without `names`: CPU and memory, accepted, refused, sent and failed items per signal and component, and
    the exporters' queues."""
    gateway = (await find(owners, gateway_id)).gateway
    return answer(metrics_json(gateway, await owners.get_metrics(filters.question(gateway.instance_id))))


async def follow(owners: Owners, hub: Hub, filters: TailFilters, instance_id: str, cursor: str) -> Tail:
    """Records behind a cursor as they are stored; without one those since `filters.since`, if that is given, and then
    what comes. Ends when the owner stays away or the service stops: the client comes back with its cursor."""
    earlier: list[telemetry.AgentLogRecord] = []
    if not cursor:
        cursor = (await owners.list_logs(filters.question(instance_id, follow=True))).next_cursor
        if filters.since is not None:
            page = await owners.list_logs(filters.question(instance_id, limit=_PAGE))
            earlier = list(reversed(page.records))
    yield cursor
    shown = {record.cursor for record in earlier}
    for record in earlier:
        yield record
    failures = 0
    while hub.is_running and failures < _PATIENCE:
        try:
            page = await owners.list_logs(filters.question(instance_id, follow=True, cursor=cursor, limit=_PAGE))
        except UnavailableError:
            failures += 1
            await asyncio.sleep(_POLL_SECONDS)
            continue
        failures = 0
        for record in page.records:
            if record.cursor not in shown:
                yield record
        is_more = len(page.records) == _PAGE
        cursor = page.next_cursor
        if not is_more:
            await asyncio.sleep(_POLL_SECONDS)


async def _tail(
    request: Request,
    owners: OwnersDep,
    instance_id: str,
    filters: Annotated[StreamFilters, Query()],
    last_event_id: Annotated[
        str | None, Header(description="Id of the last record that was seen: what was stored after it is sent first.")
    ] = None,
) -> AsyncIterator[Tail]:
    """What is sent; begun before the answer is, so that a refusal is a problem document, and closed at its end."""
    gateway = (await find(owners, instance_id)).gateway
    cursor = (last_event_id or "").strip() or filters.behind
    if cursor:  # an unknown one is refused here and not in the middle of the stream
        try:
            await owners.list_logs(filters.question(gateway.instance_id, follow=True, cursor=cursor, limit=1))
        except InvalidError:
            cursor = ""
    async with aclosing(follow(owners, request.app.state.hub, filters, gateway.instance_id, cursor)) as records:
        first = await anext(records)
        async with aclosing(_with_first(first, records)) as tail:
            yield tail


async def _with_first(first: telemetry.AgentLogRecord | str, records: Tail) -> Tail:
    yield first
    async for record in records:
        yield record


@router.get(
    "/supervisor/agents/{instance_id}/logs/stream",
    operation_id="streamLogs",
    response_class=EventSourceResponse,
    tags=["supervisor"],
)
async def stream_logs(tail: Annotated[Tail, Depends(_tail)]) -> AsyncIterable[LogRecordBody | ServerSentEvent]:
    """Log records of an agent in either mode as they are stored. `event` is log, `data` a LogRecordBody.

    The first message carries an `id` only: where the stream begins. With Last-Event-ID or `behind` it begins there,
    with `since` at the records since then (500 at most), else with what comes from now on. A comment comes every 15 s
    without records.
    """
    async for record in tail:
        if isinstance(record, str):
            yield ServerSentEvent(id=record, retry=_RETRY_MILLISECONDS, comment="connected")
        else:
            data = orjson.dumps(record_json(record)).decode()
            yield ServerSentEvent(raw_data=data, event="log", id=record.cursor)
