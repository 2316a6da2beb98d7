"""Metrics of agents: from OTLP to points of series, and the steps in which they are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from math import isfinite
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    DataPointFlags,
    Metric,
    NumberDataPoint,
)

from flowkit.errors import InvalidError
from supervisor_control.domain.telemetry import (
    attributes_json,
    attributes_of,
    source_of,
    source_of_scope,
    text_of,
    time_within,
)

GAUGE, COUNTER, DELTA = "gauge", "counter", "delta"

_ITEMS = ("spans", "metric_points", "log_records")
_RECEIVED, _EXPORTED = ("accepted", "refused", "failed"), ("sent", "send_failed", "enqueue_failed")
OVERVIEW = (
    "otelcol_process_cpu_seconds",
    "otelcol_process_memory_rss",
    *(f"otelcol_receiver_{outcome}_{items}" for outcome in _RECEIVED for items in _ITEMS),
    *(
        f"otelcol_exporter_{outcome}_{items}"
        for outcome in ("sent", "send_failed", "enqueue_failed")
        for items in _ITEMS
    ),
    "otelcol_exporter_queue_size",
    "otelcol_exporter_queue_capacity",
)
"""Names of the overview, as a collector v0.149 sends them by OTLP (without the suffixes of Prometheus)."""

MAX_STEPS = 2000
_USUAL_STEPS = 120
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


class Series(NamedTuple):
    """What tells a series of an agent from its others. `attributes` is JSON text."""

    name: str
    unit: str
    kind: str
    source: str
    attributes: bytes

    @property
    def digest(self) -> UUID:
        """The same for the same series."""
        parts = (self.name.encode(), self.kind.encode(), self.source.encode(), self.attributes)
        return UUID(bytes=blake2b(b"\0".join(parts), digest_size=16).digest())


class Point(NamedTuple):
    """A value of a series; of a counter also when it was 0, if its sender says so."""

    series: Series
    timestamp: datetime
    value: float
    began_at: datetime | None = None


@dataclass(frozen=True)
class Steps:
    """The time that is asked for, cut into steps.

    Attributes:
        since: begin of the first step.
        until: end of the last one.
        seconds: width of a step.
    """

    since: datetime
    until: datetime
    seconds: int

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, seconds: int, now: datetime) -> "Steps":
        """Steps of `seconds`, or about 120 of them; the last hour where nothing is said. Steps lie at multiples of
        their width since 1970, so that the same points come the same way a moment later.

        Raises:
            InvalidError: the times are the wrong way round, or there are too many steps.
        """
        end = until or now
        begin = since or end - timedelta(hours=1)
        span = (end - begin).total_seconds()
        if span <= 0:
            raise InvalidError("since is not before until")
        width = seconds or max(1, round(span / _USUAL_STEPS))
        if span / width > MAX_STEPS:
            raise InvalidError(f"a step of {width} s makes more than {MAX_STEPS} points; take a longer one")
        first = datetime.fromtimestamp(begin.timestamp() // width * width, begin.tzinfo)
        return cls(first, end, width)

    @property
    def begins(self) -> list[float]:
        """Beginning of each step, seconds since 1970."""
        begin, end = self.since.timestamp(), self.until.timestamp()
        count = int(-(-(end - begin) // self.seconds))
        return [begin + n * self.seconds for n in range(count)]


def points(request: ExportMetricsServiceRequest, received_at: datetime, prefixes: Sequence[str]) -> Iterator[Point]:
    """The points of an export request that are to be stored: those of names with one of the prefixes."""
    wanted = tuple(prefixes)
    for of_resource in request.resource_metrics:
        resource_source = source_of(of_resource.resource)
        for of_scope in of_resource.scope_metrics:
            source = source_of_scope(resource_source, of_scope.scope.name)
            shared = attributes_of(of_scope.scope.attributes)
            for metric in of_scope.metrics:
                if metric.name.startswith(wanted):
                    yield from _points(metric, source, shared, received_at)


def _points(metric: Metric, source: str, shared: dict[str, Any], received_at: datetime) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    name, unit = text_of(metric.name[:255]), text_of(metric.unit[:63])

    def series(suffix: str, of_unit: str, its_kind: str, point: Any) -> Series:
        attributes = attributes_json(dict(sorted({**shared, **attributes_of(point.attributes)}.items())))
        return Series(name + suffix, of_unit, its_kind, source, attributes)

    if kind in ("gauge", "sum"):
        its_kind = GAUGE
        if kind == "sum" and metric.sum.is_monotonic:
            is_delta = metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
            its_kind = DELTA if is_delta else COUNTER
        for number in (metric.sum if kind == "sum" else metric.gauge).data_points:
            value = _number(number)
            if value is not None:
                at = time_within(number.time_unix_nano, received_at)
                began_at = _began_at(its_kind, number.start_time_unix_nano, at, received_at)
                yield Point(series("", unit, its_kind, number), at, value, began_at)
    elif kind == "histogram":
        is_delta = metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        its_kind = DELTA if is_delta else COUNTER
        for histogram in metric.histogram.data_points:
            if histogram.flags & _NO_VALUE:
                continue
            at = time_within(histogram.time_unix_nano, received_at)
            began_at = _began_at(its_kind, histogram.start_time_unix_nano, at, received_at)
            yield Point(series("_count", "1", its_kind, histogram), at, float(histogram.count), began_at)
            if histogram.HasField("sum") and isfinite(histogram.sum):
                yield Point(series("_sum", unit, its_kind, histogram), at, histogram.sum, began_at)


def _began_at(kind: str, unix_nano: int, at: datetime, received_at: datetime) -> datetime | None:
    if kind != COUNTER or not unix_nano:
        return None
    began_at = time_within(unix_nano, received_at)
    return began_at if began_at < at else None


def _number(point: NumberDataPoint) -> float | None:
    if point.flags & _NO_VALUE:
        return None
    value = point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)
    return value if isfinite(value) else None


def rate_unit(unit: str) -> str:
    """Unit of a rate."""
    return f"{unit or '1'}/s"


def labels(attributes: str) -> dict[str, str]:
    """Attributes of a series as text."""
    return {
        key: value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in orjson.loads(attributes).items()
    }
