"""Own telemetry of agents: stores what comes, and answers what is asked about it."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from math import nan
from typing import TypeVar
from uuid import UUID

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from flowgate.rpc.v1 import telemetry_pb2 as rpc
from flowgate.uplink.v1 import telemetry_pb2
from flowkit import opamp
from flowkit.errors import InvalidError, NotFoundError
from flowkit.exports import Export
from flowkit.opamp import timestamp
from flowkit.outbox import Effect
from flowkit.telemetry import get_log
from supervisor_control.domain import metrics, telemetry
from supervisor_control.domain.metrics import Point, Steps
from supervisor_control.domain.paging import StoredRecord, within
from supervisor_control.domain.telemetry import LogRow, Place, Wanted
from supervisor_control.handlers.control import Control

log = get_log()

Item = TypeVar("Item")

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_NAMES = 100
MAX_PAGE_SIZE = 4 * 2**20  # bytes; long records make a page shorter
_SLICE = 200  # records parsed and written, 3 ms, before others have their turn


async def exported(control: Control, exports: Sequence[Export], now: datetime) -> Sequence[Effect]:
    """A batch of export requests. Spans are accepted and dropped."""
    points: dict[UUID, list[Point]] = {}
    for export in exports:
        signal, payload = export.entry.signal, export.entry.export_request
        if signal == telemetry_pb2.SIGNAL_LOGS:
            for rows in _slices(_log_rows(export, payload), _SLICE):
                await control.telemetry.add(rows)
                await asyncio.sleep(0)
        elif signal == telemetry_pb2.SIGNAL_METRICS:
            request = ExportMetricsServiceRequest.FromString(payload)
            found = metrics.points(request, export.received_at, control.settings.metric_prefixes)
            points.setdefault(export.uid, []).extend(found)
            await asyncio.sleep(0)
    if points:
        left_out = await control.metrics.add(points, now, control.settings.metric_series_per_agent)
        if left_out:
            log.warning("telemetry.too_many_series", points=left_out, agents=[str(uid) for uid in points][:5])
    await control.telemetry.received({export.uid: export.received_at for export in exports})
    return []


def _log_rows(export: Export, payload: bytes) -> Iterator[tuple[UUID, LogRow]]:
    request = ExportLogsServiceRequest.FromString(payload)
    return ((export.uid, row) for row in telemetry.log_rows(request, export.received_at))


def _slices(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece


async def list_logs(control: Control, request: rpc.ListLogsRequest, now: datetime) -> rpc.ListLogsResponse:
    """A page of an agent's log records, newest first, or what was stored behind the cursor."""
    uid = _uuid(request.instance_id)
    if request.limit > MAX_LIMIT:
        raise InvalidError(f"limit is {request.limit}; the most is {MAX_LIMIT}")
    wanted = Wanted(
        since=opamp.moment(request.since) if request.HasField("since") else None,
        until=opamp.moment(request.until) if request.HasField("until") else None,
        min_severity_number=request.min_severity_number,
        q=request.q.replace("\0", ""),
        source=request.source,
    )
    behind = Place.of(request.cursor) if request.cursor else None
    limit = request.limit or DEFAULT_LIMIT
    store = control.telemetry
    if request.follow and behind is None:
        return rpc.ListLogsResponse(next_cursor=(await store.horizon()).text())
    if request.follow and behind is not None:
        page = await store.oldest_first(uid, wanted, behind, limit)
    else:
        page = await store.newest_first(uid, wanted, behind, limit)
    page = within(page, MAX_PAGE_SIZE)
    return rpc.ListLogsResponse(
        records=[_record(one) for one in page.records], next_cursor=page.next.text() if page.next else ""
    )


async def get_metrics(control: Control, request: rpc.GetMetricsRequest, now: datetime) -> rpc.GetMetricsResponse:
    """Time series of an agent's metrics: counters as rates, gauges with the last value of each step."""
    uid = _uuid(request.instance_id)
    if len(request.names) > MAX_NAMES:
        raise InvalidError(f"{len(request.names)} names; the most is {MAX_NAMES}")
    steps = Steps.of(
        opamp.moment(request.since) if request.HasField("since") else None,
        opamp.moment(request.until) if request.HasField("until") else None,
        request.step_seconds,
        now,
    )
    found = await control.metrics.series(uid, request.names or metrics.OVERVIEW, steps)
    begins = steps.begins
    return rpc.GetMetricsResponse(
        series=[
            rpc.MetricSeries(
                name=one.name,
                unit=one.unit if one.kind == metrics.GAUGE else metrics.rate_unit(one.unit),
                attributes=metrics.labels(one.attributes_json),
                kind="gauge" if one.kind == metrics.GAUGE else "rate",
                source=one.source,
                timestamps=begins,
                values=[one.values.get(step, nan) for step in range(len(begins))],
            )
            for one in found
        ],
        step_seconds=steps.seconds,
        names=await control.metrics.names(uid, steps.since),
    )


async def keep_logs(control: Control, now: datetime) -> Sequence[Effect]:
    """End and drop partitions of log records."""
    settings = control.settings
    await control.telemetry.keep(settings.log_retention_seconds, settings.log_retention_bytes, now)
    await control.telemetry.forget_former(now - timedelta(seconds=2 * settings.log_retention_seconds))
    return []


async def keep_metrics(control: Control, now: datetime) -> Sequence[Effect]:
    """End and drop partitions of metrics, and series that have none left."""
    settings = control.settings
    await control.metrics.keep(settings.metric_retention_seconds, settings.metric_retention_bytes, now)
    await control.metrics.forget_unseen(now - timedelta(seconds=settings.metric_retention_seconds))
    return []


def _record(stored: StoredRecord) -> rpc.AgentLogRecord:
    return rpc.AgentLogRecord(
        timestamp=timestamp(stored.place.timestamp),
        severity_number=stored.severity_number,
        severity=telemetry.severity(stored.severity_number),
        source=stored.source,
        body=stored.body,
        attributes_json=stored.attributes_json,
        cursor=stored.place.text(),
        scope=stored.scope,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"there is no agent {text!r}") from None
