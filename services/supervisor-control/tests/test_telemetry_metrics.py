"""Metrics: points of export requests, series on a real PostgreSQL, rates and their resets."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    Metric,
)

from flowgate.rpc.v1 import telemetry_pb2 as rpc
from flowgate.uplink.v1 import telemetry_pb2
from flowkit import tokens
from flowkit.errors import InvalidError
from flowkit.exports import Export
from flowkit.opamp import timestamp
from flowkit.testing import rolled_back
from supervisor_control.domain import metrics as domain
from supervisor_control.domain.metrics import Point, Steps
from supervisor_control.handlers import telemetry as handlers
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID, OTHER = UUID(int=1), UUID(int=2)
PREFIXES = Settings().metric_prefixes
CPU, RSS, SENT = "otelcol_process_cpu_seconds", "otelcol_process_memory_rss", "otelcol_exporter_sent_spans"


@pytest.fixture
async def control(database_url: Callable[[str], str]) -> AsyncIterator[Control]:
    async with rolled_back(database_url("supervisor_control")) as connection:
        yield Control.on(connection, Settings(metric_series_per_agent=6))


def nanos(seconds: float) -> int:
    return int((NOW + timedelta(seconds=seconds)).timestamp() * 10**9)


def counter(name: str, value: float, at: float = 0, *, delta: bool = False, **attributes: str) -> Metric:
    metric = Metric(name=name, unit="{span}")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA if delta else AGGREGATION_TEMPORALITY_CUMULATIVE
    point = metric.sum.data_points.add(time_unix_nano=nanos(at), as_int=int(value))
    for key, text in attributes.items():
        point.attributes.add(key=key).value.string_value = text
    return metric


def gauge(name: str, value: float, at: float = 0) -> Metric:
    metric = Metric(name=name, unit="By")
    metric.gauge.data_points.add(time_unix_nano=nanos(at), as_double=value)
    return metric


def make_request(*metrics: Metric, service: str = "fgcol") -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = service
    of_resource.scope_metrics.add().metrics.extend(metrics)
    return request


def points(*metrics: Metric) -> list[Point]:
    return list(domain.points(make_request(*metrics), NOW, PREFIXES))


async def export(
    control: Control, *metrics: Metric, uid: UUID = UID, service: str = "fgcol", now: datetime = NOW
) -> None:
    entry = telemetry_pb2.TelemetryEntry(
        instance_uid=uid.bytes,
        signal=telemetry_pb2.SIGNAL_METRICS,
        received_at_unix_nano=nanos(0),
        export_request=make_request(*metrics, service=service).SerializeToString(),
    )
    await handlers.exported(control, [Export(entry)], now)


async def asked(control: Control, *names: str, uid: UUID = UID, **wanted: Any) -> rpc.GetMetricsResponse:
    wanted = {"since": timestamp(NOW - timedelta(minutes=5)), "until": timestamp(NOW), "step_seconds": 60, **wanted}
    request = rpc.GetMetricsRequest(instance_id=str(uid), names=names, **wanted)
    return await handlers.get_metrics(control, request, NOW)


async def values(control: Control, *names: str, uid: UUID = UID, **wanted: Any) -> list[list[float | None]]:
    answer = await asked(control, *names, uid=uid, **wanted)
    return [[None if isnan(one) else one for one in series.values] for series in answer.series]


def test_points_of_every_kind() -> None:
    """Gauges and sums that may fall are gauges, monotonic sums counters, histograms two counters."""
    up_down = Metric(name="otelcol_exporter_queue_size")
    up_down.sum.data_points.add(as_int=3)
    histogram = Metric(name="otelcol_processor_batch_batch_send_size", unit="{unit}")
    histogram.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    histogram.histogram.data_points.add(count=4, sum=10.5)
    found = points(
        gauge(RSS, 1.5), counter(SENT, 7), counter("otelcol_x", 1, delta=True), up_down, histogram, gauge("mine", 1)
    )
    assert [(one.series.name, one.series.kind, one.value) for one in found] == [
        (RSS, "gauge", 1.5),
        (SENT, "counter", 7),
        ("otelcol_x", "delta", 1),
        ("otelcol_exporter_queue_size", "gauge", 3),
        ("otelcol_processor_batch_batch_send_size_count", "counter", 4),
        ("otelcol_processor_batch_batch_send_size_sum", "counter", 10.5),
    ]


def test_points_without_a_value_are_left_out() -> None:
    """Not a number, or said to be none."""
    silent = gauge(RSS, 1)
    silent.gauge.data_points[0].flags = 1
    assert points(gauge(RSS, nan), gauge(RSS, float("inf")), silent) == []


def test_a_series_is_told_by_its_attributes_in_any_order() -> None:
    """And tokens in them are masked."""
    (one,) = points(counter(SENT, 1, exporter="otlp", signal="a"))
    (two,) = points(counter(SENT, 2, signal="a", exporter="otlp"))
    (three,) = points(counter(SENT, 2, signal="b", exporter=tokens.mint(tokens.ADMIN)))
    assert one.series.digest == two.series.digest != three.series.digest
    assert b"fga_***" in three.series.attributes


def test_steps_lie_at_multiples_of_their_width() -> None:
    """About 120 of them over the last hour where nothing is said."""
    usual = Steps.of(None, None, 0, NOW + timedelta(seconds=7))
    assert (usual.seconds, len(usual.begins), usual.begins[0] % 30) == (30, 121, 0)
    assert len(Steps.of(NOW - timedelta(minutes=5), NOW, 60, NOW).begins) == 5
    with pytest.raises(InvalidError, match="not before"):
        Steps.of(NOW, NOW, 60, NOW)
    with pytest.raises(InvalidError, match="longer"):
        Steps.of(NOW - timedelta(days=7), NOW, 1, NOW)


async def test_a_counter_comes_as_rate_per_step(control: Control) -> None:
    """The first step is measured from the point before it; a step without a point has no value."""
    for at, value in ((-330, 0), (-270, 60), (-210, 660), (-90, 900)):
        await export(control, counter(SENT, value, at, exporter="otlp"))
    answer = await asked(control, SENT)
    assert await values(control, SENT) == [[1, 10, None, 2, None]]
    (series,) = answer.series
    assert (series.name, series.unit, series.kind, series.source) == (SENT, "{span}/s", "rate", "collector")
    assert dict(series.attributes) == {"exporter": "otlp"}
    assert list(series.timestamps) == [(NOW - timedelta(minutes=n)).timestamp() for n in (5, 4, 3, 2, 1)]


async def test_a_counter_that_appears_with_its_first_count_shows_it(control: Control) -> None:
    """It was 0 when it began, which its sender says; one that began long ago tells nothing of the step."""
    recent, old = counter(SENT, 120, -180), counter("otelcol_old", 120, -180)
    recent.sum.data_points[0].start_time_unix_nano = nanos(-240)
    old.sum.data_points[0].start_time_unix_nano = nanos(-7200)
    await export(control, recent, old)
    assert await values(control, SENT) == [[None, None, 2, None, None]]
    assert await values(control, "otelcol_old") == []


async def test_a_restart_of_the_collector_makes_no_negative_rate(control: Control) -> None:
    """A counter that begins anew has grown by what it has now."""
    for at, value in ((-330, 6000), (-270, 6060), (-210, 30), (-150, 90)):
        await export(control, counter(SENT, value, at))
    assert await values(control, SENT) == [[1, 0.5, 1, None, None]]


async def test_several_points_of_a_step_are_one_value(control: Control) -> None:
    """Rates over all of them, of a gauge the last one; delta sums add up."""
    for at, value in ((-310, 0), (-290, 20), (-270, 60), (-250, 120)):
        await export(control, counter(SENT, value, at), gauge(RSS, value, at))
        await export(control, counter("otelcol_delta", value, at, delta=True))
    assert await values(control, SENT) == [[2, None, None, None, None]]
    assert await values(control, RSS) == [[120, None, None, None, None]]
    assert (await values(control, "otelcol_delta"))[0][0] == pytest.approx(200 / 60)
    (series,) = (await asked(control, RSS)).series
    assert (series.kind, series.unit) == ("gauge", "By")


async def test_the_overview_is_what_is_asked_for_without_names(control: Control) -> None:
    """And every name that there is, is told."""
    for at in (-120, -60):
        await export(control, counter(CPU, at, at), gauge(RSS, 5, at), gauge("otelcol_process_uptime", 1, at))
    answer = await asked(control)
    assert [one.name for one in answer.series] == [CPU, RSS]
    assert list(answer.names) == [CPU, RSS, "otelcol_process_uptime"]
    assert list((await asked(control, "otelcol_process_uptime")).series[0].values)[-1] == 1


async def test_an_agent_has_a_bounded_number_of_series(control: Control) -> None:
    """What is known goes on; others have their own."""
    await export(control, *(gauge(f"otelcol_{n}", 1, -30) for n in range(4)))
    await export(control, *(gauge(f"otelcol_{n}", 2, -10) for n in range(10)))
    await export(control, gauge("otelcol_9", 3, -10), uid=OTHER)
    assert len((await asked(control)).names) == 6
    assert (await values(control, "otelcol_0"))[0][-1] == 2
    assert (await values(control, "otelcol_9", uid=OTHER))[0][-1] == 3


async def test_supervisor_and_collector_have_series_of_their_own(control: Control) -> None:
    """Of the same name."""
    await export(control, gauge(RSS, 1, -10))
    await export(control, gauge(RSS, 2, -10), service="opamp-supervisor")
    found = {one.source: one.values[-1] for one in (await asked(control, RSS)).series}
    assert found == {"collector": 1, "supervisor": 2}


async def test_series_go_with_their_agent(control: Control) -> None:
    """To its new uid, where it may have some already; and away with it."""
    await export(control, gauge(RSS, 1, -70), gauge(CPU, 7, -70))
    await export(control, gauge(RSS, 2, -10), uid=OTHER)
    await control.metrics.rename(UID, OTHER)
    assert [one.name for one in (await asked(control, uid=OTHER)).series] == [CPU, RSS]
    assert list((await asked(control)).series) == []
    await control.metrics.forget(OTHER)
    assert list((await asked(control, uid=OTHER)).names) == []


async def test_points_are_dropped_by_age(control: Control) -> None:
    """With their partitions; series without points go too."""
    begin = datetime.now(UTC)
    await export(control, gauge(RSS, 1, -70), now=begin)
    await handlers.keep_metrics(control, begin + timedelta(hours=7))
    assert len((await asked(control, RSS)).series) == 1
    await handlers.keep_metrics(control, begin + timedelta(days=8))
    assert list((await asked(control, RSS)).names) == []
    connection = control.metrics._connection
    assert await connection.fetchval("SELECT count(*) FROM metric_points") == 0
