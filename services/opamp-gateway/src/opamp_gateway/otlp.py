"""OTLP/HTTP as far as an ingress needs it: export requests read, told apart by agent and cut to size, and the answers.

No I/O and no clock. What each answer has to look like: OTLP specification, section OTLP/HTTP Response.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from flowgate.uplink.v1 import telemetry_pb2
from opamp_gateway.shards import varint

PROTOBUF, JSON = "application/x-protobuf", "application/json"
INSTANCE_ID = "service.instance.id"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_IDS = frozenset(("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"))
_CODES = {400: 3, 401: 16, 403: 7, 405: 12, 413: 3, 415: 3, 503: 14}  # google.rpc.Code by HTTP status
_UNKNOWN = 2
_MAX_DEPTH = 90  # of JSON: protobuf's own parser takes 100, and a conversion here walks it by recursion


class UndecodableError(Exception):
    """The body is no export request."""


@dataclass(frozen=True)
class Signal:
    """One of the three: its types, and where in a request its records are."""

    number: telemetry_pb2.Signal
    request: type[Message]
    response: type[Message]
    resources: str
    scopes: str
    records: str
    rejected: str
    noun: str
    name: str


LOGS = Signal(
    telemetry_pb2.SIGNAL_LOGS,
    logs_service_pb2.ExportLogsServiceRequest,
    logs_service_pb2.ExportLogsServiceResponse,
    "resource_logs",
    "scope_logs",
    "log_records",
    "rejected_log_records",
    "log records",
    "logs",
)
METRICS = Signal(
    telemetry_pb2.SIGNAL_METRICS,
    metrics_service_pb2.ExportMetricsServiceRequest,
    metrics_service_pb2.ExportMetricsServiceResponse,
    "resource_metrics",
    "scope_metrics",
    "metrics",
    "rejected_data_points",
    "data points",
    "metrics",
)
TRACES = Signal(
    telemetry_pb2.SIGNAL_TRACES,
    trace_service_pb2.ExportTraceServiceRequest,
    trace_service_pb2.ExportTraceServiceResponse,
    "resource_spans",
    "scope_spans",
    "spans",
    "rejected_spans",
    "spans",
    "traces",
)
SIGNALS = {"/v1/logs": LOGS, "/v1/metrics": METRICS, "/v1/traces": TRACES}


def decode(signal: Signal, body: bytes, is_json: bool) -> Message:
    """The export request in a body. Raises UndecodableError."""
    try:
        if not is_json:
            return signal.request.FromString(body)
        said = json.loads(body)
        if not isinstance(said, dict):
            raise ValueError("no JSON object")
        _convert_ids(said, 0)
        return json_format.ParseDict(said, signal.request(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UndecodableError(f"not an {signal.request.DESCRIPTOR.name}: {str(error)[:200]}") from None


def _convert_ids(value: Any, depth: int) -> None:
    """OTLP's JSON has trace and span ids in hex, protobuf's has bytes in base64."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _IDS and isinstance(inner, str):
                value[key] = base64.b64encode(bytes.fromhex(inner)).decode()
            elif isinstance(inner, dict | list):
                _convert_ids(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                _convert_ids(inner, depth + 1)


def by_agent(signal: Signal, request: Any) -> tuple[dict[bytes, Any], int]:
    """The request told apart by the agents that its resources name, and how many records name none.

    The request itself when all of it is of one agent.
    """
    resources = getattr(request, signal.resources)
    owners = [_instance_uid(resource.resource) for resource in resources]
    if len(set(owners)) == 1 and owners[0] is not None:
        return {owners[0]: request}, 0
    parts: dict[bytes, Any] = {}
    rejected = 0
    for owner, resource in zip(owners, resources, strict=True):
        if owner is None:
            rejected += _count(signal, resource)
        else:
            part = parts.setdefault(owner, signal.request())
            getattr(part, signal.resources).append(resource)
    return parts, rejected


def _instance_uid(resource: Any) -> bytes | None:
    for attribute in resource.attributes:
        if attribute.key == INSTANCE_ID:
            text = attribute.value.string_value
            return UUID(text).bytes if _UUID.fullmatch(text) else None
    return None


def pieces(signal: Signal, request: Any, limit: int) -> tuple[list[bytes], int]:
    """The request serialized in pieces of at most `limit` bytes, and how many records are too large for any."""
    found: list[bytes] = []
    rejected = 0
    waiting = [request]
    while waiting:
        part = waiting.pop()
        data = part.SerializeToString()
        if len(data) <= limit:
            found.append(data)
            continue
        parts = list(_parts(signal, part, len(data) * 5 // (limit * 4) + 2))
        if parts:
            waiting += reversed(parts)  # the first is next
        else:
            rejected += sum(_count(signal, resource) for resource in getattr(part, signal.resources))
    return found, rejected


def _parts(signal: Signal, request: Any, count: int) -> Iterator[Any]:
    """The request cut: between resources, else between scopes, else between records; nothing for one record."""
    resources = getattr(request, signal.resources)
    if len(resources) > 1:
        for some in _cut(resources, count):
            part = signal.request()
            getattr(part, signal.resources).extend(some)
            yield part
        return
    (resource,) = resources
    scopes = getattr(resource, signal.scopes)
    if len(scopes) > 1:
        for some in _cut(scopes, count):
            part, empty = _same_resource(signal, resource)
            getattr(empty, signal.scopes).extend(some)
            yield part
    elif scopes and len(getattr(scopes[0], signal.records)) > 1:
        for some in _cut(getattr(scopes[0], signal.records), count):
            part, empty = _same_resource(signal, resource)
            scope = getattr(empty, signal.scopes).add(schema_url=scopes[0].schema_url)
            scope.scope.CopyFrom(scopes[0].scope)
            getattr(scope, signal.records).extend(some)
            yield part


def _cut(items: Any, count: int) -> Iterator[Any]:
    """At least two runs of the items, of nearly the same length."""
    length = max(1, len(items) // count)
    return (items[start : start + length] for start in range(0, len(items), length))


def _same_resource(signal: Signal, resource: Any) -> tuple[Any, Any]:
    """A request for the same resource, and the place in it for scopes."""
    part = signal.request()
    empty = getattr(part, signal.resources).add(schema_url=resource.schema_url)
    empty.resource.CopyFrom(resource.resource)
    return part, empty


def count(signal: Signal, request: Any) -> int:
    """Log records, spans or metrics of a request; to look into each metric for its data points would cost more than
    to decode it."""
    scopes = (scope for resource in getattr(request, signal.resources) for scope in getattr(resource, signal.scopes))
    return sum(len(getattr(scope, signal.records)) for scope in scopes)


def _count(signal: Signal, resource: Any) -> int:
    """Records of a resource; of metrics the data points."""
    records = [record for scope in getattr(resource, signal.scopes) for record in getattr(scope, signal.records)]
    if signal is not METRICS:
        return len(records)
    return sum(len(getattr(metric, kind).data_points) for metric in records if (kind := metric.WhichOneof("data")))


def success(signal: Signal, is_json: bool, rejected: int = 0, reason: str = "") -> bytes:
    """The body of status 200: partial when records were rejected, or when there is something to say."""
    response: Any = signal.response()
    if rejected or reason:
        setattr(response.partial_success, signal.rejected, rejected)
        response.partial_success.error_message = reason
    if is_json:
        return json.dumps(json_format.MessageToDict(response)).encode()
    return response.SerializeToString()  # type: ignore[no-any-return]


def failure(status: int, reason: str, is_json: bool) -> bytes:
    """The body of any other status: a google.rpc.Status."""
    code = _CODES.get(status, _UNKNOWN)
    if is_json:
        return json.dumps({"code": code, "message": reason}).encode()
    text = reason.encode()
    return b"\x08" + varint(code) + b"\x12" + varint(len(text)) + text
