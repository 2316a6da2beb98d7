"""Spans by the SDK's own exporter in memory."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from flowgate.config.v1 import events_pb2 as facts
from flowgate.uplink.v1 import desired_pb2
from flowkit import outbox, tracing
from flowkit.outbox import Desired
from flowkit.tracing import Traced

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-2] + "00"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)
    provider.shutdown()


def test_a_span_goes_on_with_the_trace_that_it_is_given(spans: InMemorySpanExporter) -> None:
    """And what is done within it goes on with the span."""
    with tracing.span("work", SpanKind.SERVER, SAMPLED, rpc__method="x"):
        within = tracing.traceparent()
    (one,) = spans.get_finished_spans()
    assert one.attributes == {"rpc.method": "x"}
    assert one.parent is not None and f"{one.parent.span_id:016x}" in SAMPLED
    assert within == f"00-{SAMPLED.split('-')[1]}-{one.context.span_id:016x}-01"
    assert tracing.traceparent() == ""


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-01"])
def test_a_damaged_traceparent_begins_a_trace(spans: InMemorySpanExporter, parent: str) -> None:
    """It comes from outside."""
    with tracing.span("work", SpanKind.SERVER, parent):
        assert tracing.traceparent()
    assert spans.get_finished_spans()[0].parent is None


def test_what_nobody_keeps_is_not_recorded(spans: InMemorySpanExporter) -> None:
    """Facts that agents' reports bring about have a made-up traceparent."""
    with tracing.span("work", SpanKind.CONSUMER, UNSAMPLED):
        assert tracing.traceparent().endswith("-00")
    assert tracing.record("outcome", UNSAMPLED, 1, 2, SpanKind.INTERNAL) == UNSAMPLED
    assert spans.get_finished_spans() == ()


def test_an_outcome_is_a_span_of_its_order(spans: InMemorySpanExporter) -> None:
    """From the state before to this one; what the fact brings about goes on with it."""
    fact = facts.DeliveryStateChanged(instance_uid="a")
    traced = Traced(fact, SAMPLED, "delivery applied", NOW, NOW + timedelta(seconds=3))
    row = outbox.outgoing(traced, "config-push", UNSAMPLED)
    (one,) = spans.get_finished_spans()
    assert (one.name, one.end_time - one.start_time) == ("delivery applied", 3_000_000_000)
    assert one.parent is not None and f"{one.parent.span_id:016x}" in SAMPLED
    assert row.headers["traceparent"] == f"00-{SAMPLED.split('-')[1]}-{one.context.span_id:016x}-01"
    assert row.headers["ce-type"] == "flowgate.config.v1.DeliveryStateChanged"


def test_clocks_that_differ_make_no_span_of_negative_length(spans: InMemorySpanExporter) -> None:
    """The times are of two machines."""
    tracing.told(Traced(None, SAMPLED, "late", NOW, NOW - timedelta(seconds=1)))
    (one,) = spans.get_finished_spans()
    assert one.end_time == one.start_time


def test_off_an_order_keeps_its_traceparent() -> None:
    """A service without traces hands on those of others."""
    assert tracing.record("send config", SAMPLED, 1, 2, SpanKind.PRODUCER) == SAMPLED
    assert tracing.traceparent() == ""
    wish = Desired("uid", "config", desired_pb2.DesiredState(id="1"))
    assert outbox.outgoing(wish, "config-push", SAMPLED).headers == {}


PROGRAM = """
import sys
from flowkit import tracing
tracing.configure("example")
print(tracing.is_on(), "opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "True True"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, "True True"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "False False"),
    ],
)
def test_the_environment_switches_traces_on(environment: dict[str, str], expected: str) -> None:
    """Off, the SDK is not even imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split("\n")[-2] == expected
