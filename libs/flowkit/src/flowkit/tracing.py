"""Traces of OpenTelemetry: from a request over the bus to what became of it.

They are on when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says where to, and go there by
OTLP/HTTP; the other OTEL_* mean what they mean to the SDK. Off, nothing is imported and nothing made.

A traceparent (W3C Trace Context) travels as a header of rpc and events, and inside of what outlives its message: the
wish for an agent, the entry that tells of its delivery, the row of the delivery or command.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowkit.telemetry import get_log

log = get_log()

HEADER = "traceparent"
_PROTOCOL = "http/protobuf"
_STOP_SECONDS = 2.0  # what is not exported by then at the end of a service is lost
_propagator = TraceContextTextMapPropagator()
_tracer: trace.Tracer | None = None  # OpenTelemetry's own provider is one for the process as well
_provider: Any = None


@dataclass(frozen=True)
class Traced:
    """An effect that goes on with an earlier trace: what became of an order, told by an agent among many others.

    Attributes:
        effect: what is said.
        traceparent: of the order, or of what was done for it last.
        span: name of the span from the state before to this one.
        since: when the state before was reached.
        until: when this one was.
    """

    effect: Any
    traceparent: str
    span: str
    since: datetime
    until: datetime


def configure(component: str) -> None:
    """Switch traces on if the environment says where they go."""
    environment = os.environ.get
    endpoint = environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment("OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = environment("OTEL_TRACES_EXPORTER", "otlp")
    if not endpoint or exporter == "none" or environment("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    protocol = environment("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter != "otlp" or protocol not in (None, "", _PROTOCOL):
        log.error("tracing.off", reason=f"traces leave by OTLP over {_PROTOCOL} only", exporter=exporter)
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = Resource.create({"service.name": component, "service.namespace": "flowgate", "service.version": _version()})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    use(provider)
    log.info("tracing.on", endpoint=endpoint)


def use(provider: Any) -> None:
    """Make spans with this provider of the SDK; None switches them off."""
    global _tracer, _provider
    _provider = provider
    _tracer = provider.get_tracer("flowgate", _version()) if provider is not None else None


def stop() -> None:
    """Export what is left, for a bounded time: a collector that does not answer must not hold up the end."""
    if _provider is not None:
        last = threading.Thread(target=_provider.shutdown, daemon=True)
        last.start()
        last.join(_STOP_SECONDS)


def is_on() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def is_sampled(traceparent: str) -> bool:
    """Whether a trace is kept."""
    return _tracer is not None and traceparent[-2:] in ("01", "03")


def traceparent() -> str:
    """The current span; empty without one."""
    return _text(trace.get_current_span()) if _tracer is not None else ""


@contextmanager
def span(name: str, kind: SpanKind, parent: str | None = None, **attributes: str | int) -> Iterator[Span]:
    """A span around what is done now.

    Args:
        name: of few values.
        kind: its role.
        parent: a traceparent; empty for a trace of its own, None for the current span.
        attributes: with `__` in place of dots.
    """
    if _tracer is None:
        yield trace.INVALID_SPAN
        return
    context = None if parent is None else _context(parent)
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with _tracer.start_as_current_span(name, context, kind, named, record_exception=False) as one:
        yield one


def failed(one: Span, why: str) -> None:
    """The span is of something that went wrong on this side."""
    one.set_status(Status(StatusCode.ERROR, why))


def record(name: str, parent: str, since: int, until: int, kind: SpanKind, **attributes: str | int) -> str:
    """A span of what is over, times in nanoseconds since 1970; its traceparent, or that of the parent when it is not
    kept."""
    if _tracer is None or not is_sampled(parent):
        return parent
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    one = _tracer.start_span(name, _context(parent), kind, named, start_time=min(since, until))
    one.end(until)
    return _text(one)


def told(effect: Traced) -> str:
    """The span of a traced effect; what follows from the effect goes on with it."""
    since, until = (int(moment.timestamp() * 1e9) for moment in (effect.since, effect.until))
    return record(effect.span, effect.traceparent, since, until, SpanKind.INTERNAL)


def _context(parent: str) -> Context:
    return _propagator.extract({HEADER: parent}, Context())


def _text(one: Span) -> str:
    context = one.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _version() -> str:
    try:
        return version("flowkit")
    except PackageNotFoundError:
        return ""
