"""Own telemetry of agents: log records, metrics as series, and the latest of both in a status."""

from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from api_gateway.schemas.values import ApiModel, stamp
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.opamp import timestamp

Severity = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
Source = Literal["supervisor", "collector", "flowgate"]

_LOWEST = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
_CURSOR = r"^[0-9a-f-]{0,64}$"


def _in_utc(value: datetime) -> datetime:
    at = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not 1970 <= at.year < 3000:
        raise ValueError("the year is out of range")
    return at


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character is in no log record")
    return text


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""RFC 3339; UTC where it has no zone."""


class TailFilters(ApiModel):
    """Which log records. A parameter that does not exist is refused."""

    since: Moment | None = None
    """Only records that are not older; RFC 3339."""
    until: Moment | None = None
    """Only older records; RFC 3339."""
    severity: Annotated[Severity | None, BeforeValidator(lambda value: str(value).upper() if value else None)] = None
    """Only records of this severity or above."""
    q: Annotated[str, Field(max_length=200), AfterValidator(_no_nul)] = ""
    """Only records whose body holds this text; case does not count."""
    source: Source | None = None
    """Only records of the supervisor, of the collector, or of FlowGate itself."""

    def question(self, instance_id: str, **more: Any) -> telemetry.ListLogsRequest:
        """The same for the owner."""
        return telemetry.ListLogsRequest(
            instance_id=instance_id,
            since=timestamp(self.since),
            until=timestamp(self.until),
            min_severity_number=_LOWEST[self.severity] if self.severity else 0,
            q=self.q,
            source=self.source or "",
            **more,
        )


class StreamFilters(TailFilters):
    """Which log records, and where their stream begins."""

    behind: Annotated[str, StringConstraints(pattern=_CURSOR)] = ""
    """`tail` of a page or `id` of a record: what was stored after it is sent first. For those who cannot send
    Last-Event-ID, which goes before."""


class LogFilters(TailFilters):
    """Which log records, and which page of them."""

    limit: int = Field(100, ge=1, le=1000)
    """Records at most."""
    cursor: Annotated[str, StringConstraints(pattern=_CURSOR)] = ""
    """`next_cursor` of the page before."""


class MetricFilters(ApiModel):
    """Which metrics, from when until when."""

    names: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=100)] = Field([])
    """Names as the collector gives them; may be given several times. Without any: those of the overview."""
    since: Moment | None = None
    """Begin; RFC 3339. An hour ago if left out."""
    until: Moment | None = None
    """End; RFC 3339. Now if left out."""
    step: int = Field(0, ge=0, le=7 * 86400)
    """Seconds between two values; 0: so that about 120 come."""

    def question(self, instance_id: str) -> telemetry.GetMetricsRequest:
        """The same for the owner."""
        return telemetry.GetMetricsRequest(
            instance_id=instance_id,
            names=self.names,
            since=timestamp(self.since),
            until=timestamp(self.until),
            step_seconds=self.step,
        )


_RECORD: dict[str, Any] = {
    "id": "642a7f1b3c5d0-3e9-2f1",
    "timestamp": "2026-11-02T08:16:03.411Z",
    "severity": "ERROR",
    "severity_number": 17,
    "source": "collector",
    "scope": "go.opentelemetry.io/collector/service",
    "body": "Exporting failed. Dropping data.",
    "attributes": {"otelcol.component.id": "otlp_http", "error": "connection refused", "dropped_items": 12},
}


class LogRecordBody(ApiModel):
    """A log record of an agent, or something that FlowGate knows of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECORD]})

    id: str
    """Names it, and its place in a stream."""
    timestamp: str | None
    """When it happened."""
    severity: Severity
    """TRACE, DEBUG, INFO, WARN, ERROR or FATAL; INFO where nothing was said."""
    severity_number: int
    """SeverityNumber of OTLP, 1 to 24; 0 where nothing was said."""
    source: str
    """supervisor, collector or flowgate."""
    scope: str
    """Who logs: the instrumentation scope."""
    body: str
    """What happened."""
    attributes: dict[str, Any]
    """More on it."""


class LogsResponse(ApiModel):
    """What is known of an agent, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "items": [_RECORD],
                    "next_cursor": "642a7f1b3c5d0-3e9-2f1",
                    "tail": "642a7f1b3ffff-0-2f4",
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    items: list[LogRecordBody]
    """The agent's own records of supervisor and collector, and health transitions, outcomes of configurations and of
    commands."""
    next_cursor: str | None
    """`cursor` of the next page; null on the last one. A page may hold fewer records than `limit`, or none, with more
    to come: a filter that few records pass is followed for a bounded way at a time."""
    tail: str | None
    """On the first page: `behind` of a stream that goes on where it ends. What was stored meanwhile may be in both."""


class MetricSeries(ApiModel):
    """A series of values, one per step."""

    name: str
    """Name as the collector gives it."""
    unit: str
    """Unit (UCUM) of the values."""
    kind: Literal["gauge", "rate"]
    """gauge: last value of each step; rate: increase per second over the step."""
    source: str
    """supervisor or collector."""
    attributes: dict[str, str]
    """What tells it from others of its name, such as the component."""
    values: list[float | None]
    """A value for each of `timestamps`; null where there is none."""


class MetricsResponse(ApiModel):
    """Metrics of an agent, ready for charts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "step_seconds": 60,
                    "timestamps": [1793607360, 1793607420],
                    "series": [
                        {
                            "name": "otelcol_exporter_sent_spans",
                            "unit": "{span}/s",
                            "kind": "rate",
                            "source": "collector",
                            "attributes": {"exporter": "otlp_http"},
                            "values": [None, 117.5],
                        }
                    ],
                    "names": ["otelcol_exporter_sent_spans"],
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    step_seconds: int
    """Width of a step."""
    timestamps: list[float]
    """Beginning of each step, seconds since 1970."""
    series: list[MetricSeries]
    """The series, by name, then attributes."""
    names: list[str]
    """Every name of which the agent has points within the time."""


class LatestMetrics(ApiModel):
    """The latest of an agent's metrics, over all of its components; null where it sends none."""

    at: str | None
    """Until when."""
    cpu: float | None
    """Cores that the collector uses: 0.25 is a quarter of one."""
    memory_bytes: float | None
    """Its resident memory."""
    accepted_per_second: float | None
    """Items (spans, points, log records) that receivers accepted."""
    refused_per_second: float | None
    """Items that receivers refused."""
    sent_per_second: float | None
    """Items that exporters sent."""
    failed_per_second: float | None
    """Items that exporters could not send."""
    queue_size: float | None
    """Batches that wait in the exporters' queues."""


def record_json(record: telemetry.AgentLogRecord) -> dict[str, Any]:
    """A LogRecordBody."""
    return {
        "id": record.cursor,
        "timestamp": stamp(record, "timestamp"),
        "severity": record.severity or "INFO",
        "severity_number": record.severity_number,
        "source": record.source,
        "scope": record.scope,
        "body": record.body,
        "attributes": orjson.loads(record.attributes_json or "{}"),
    }


def logs_json(gateway: registry.Gateway, page: telemetry.ListLogsResponse, tail: str) -> dict[str, Any]:
    """A LogsResponse."""
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "items": [record_json(record) for record in page.records],
        "next_cursor": page.next_cursor or None,
        "tail": tail or None,
    }


def metrics_json(gateway: registry.Gateway, found: telemetry.GetMetricsResponse) -> dict[str, Any]:
    """A MetricsResponse."""
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "step_seconds": found.step_seconds,
        "timestamps": list(found.series[0].timestamps) if found.series else [],
        "series": [
            {
                "name": one.name,
                "unit": one.unit,
                "kind": one.kind,
                "source": one.source,
                "attributes": dict(one.attributes),
                "values": [value if isfinite(value) else None for value in one.values],
            }
            for one in found.series
        ],
        "names": list(found.names),
    }


LATEST = {
    "cpu": ("otelcol_process_cpu_seconds",),
    "memory_bytes": ("otelcol_process_memory_rss",),
    "accepted_per_second": ("otelcol_receiver_accepted_",),
    "refused_per_second": ("otelcol_receiver_refused_",),
    "sent_per_second": ("otelcol_exporter_sent_",),
    "failed_per_second": ("otelcol_exporter_send_failed_", "otelcol_exporter_enqueue_failed_"),
    "queue_size": ("otelcol_exporter_queue_size",),
}
"""Member of LatestMetrics → beginnings of the names that it is the sum of."""


def latest_json(found: telemetry.GetMetricsResponse, now: datetime) -> dict[str, Any] | None:
    """LatestMetrics from series of the overview; None when there are none."""
    if not found.series:
        return None
    latest: dict[str, Any] = {"at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    for member, names in LATEST.items():
        latest[member] = _sum(_last(one.values) for one in found.series if one.name.startswith(names))
    return latest


def _last(values: Iterable[float]) -> float | None:
    return next((value for value in reversed(list(values)) if isfinite(value)), None)


def _sum(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None
