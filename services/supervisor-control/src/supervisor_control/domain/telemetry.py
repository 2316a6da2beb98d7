"""Log records of agents: from OTLP to what is stored, and places among them for going on from there."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from flowkit import tokens
from flowkit.errors import InvalidError
from flowkit.opamp import EPOCH

SUPERVISOR, COLLECTOR, FLOWGATE = SOURCES = ("supervisor", "collector", "flowgate")

MAX_BODY = 64 * 1024  # bytes; what is beyond is cut off
MAX_ATTRIBUTES = 16 * 1024  # bytes of JSON a record
TRUNCATED = " […truncated]"
_MAX_VALUE = 1024  # bytes of one attribute where they are too many
_FUTURE = timedelta(minutes=1)  # a clock may be that much ahead
_PAST = timedelta(days=30)
_LARGEST_EXACT = 2**53 - 1  # beyond it JSON readers that use doubles lose digits

# How the real opampsupervisor v0.149.0 names itself: its resource (unless supervisor.yaml says otherwise), and its
# loggers. What its collector prints, with `passthrough_logs`, comes by a logger of its own.
_SUPERVISOR_NAMES = ("opamp-supervisor", "opampsupervisor")
_SUPERVISOR_SCOPES = (*_SUPERVISOR_NAMES, "supervisor")
_PASSED_THROUGH = "supervisor.collector"

_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SEVERITY_TEXTS = {name: 4 * n + 1 for n, name in enumerate(_SEVERITIES)} | {"WARNING": 13, "DPANIC": 21, "PANIC": 21}

Row = TypeVar("Row")


class LogRow(NamedTuple):
    """A log record as it is stored; the columns of `agent_logs` by their names. `attributes` is JSON text."""

    timestamp: datetime
    received_at: datetime
    severity_number: int
    source: str
    scope: str
    body: str
    attributes: bytes


class Place(NamedTuple):
    """Where a record lies: newest first by (timestamp, id), in the order of commits by (transaction_id, id)."""

    timestamp: datetime
    id: int
    transaction_id: int

    def text(self) -> str:
        """As a cursor."""
        microseconds = (self.timestamp - EPOCH) // timedelta(microseconds=1)
        return f"{max(microseconds, 0):x}-{self.id:x}-{self.transaction_id:x}"

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """The place that a cursor names.

        Raises:
            InvalidError: it is no cursor.
        """
        if not re.fullmatch(r"[0-9a-f]{1,14}-[0-9a-f]{1,15}-[0-9a-f]{1,15}", cursor):
            raise InvalidError("the cursor is none of this list")
        microseconds, number, transaction_id = (int(part, 16) for part in cursor.split("-"))
        return cls(EPOCH + timedelta(microseconds=microseconds), number, transaction_id)


@dataclass(frozen=True)
class Wanted:
    """Which records; what is None or empty does not matter."""

    since: datetime | None = None
    until: datetime | None = None
    min_severity_number: int = 0
    q: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidError: there is no such source."""
        if self.source and self.source not in SOURCES:
            raise InvalidError(f"source is {self.source!r}; it is one of {', '.join(SOURCES)}")


def severity(number: int) -> str:
    """Name of a SeverityNumber; INFO when nothing was said."""
    return _SEVERITIES[(number - 1) // 4] if 1 <= number <= 24 else "INFO"


def source_of(resource: Resource) -> str:
    """Whose a resource is: the supervisor's, or else the collector's."""
    for pair in resource.attributes:
        if pair.key == "service.name" and pair.value.string_value in _SUPERVISOR_NAMES:
            return SUPERVISOR
    return COLLECTOR


def source_of_scope(source: str, scope: str) -> str:
    """The same where the scope knows better than the resource, which a configuration can rename."""
    if scope == _PASSED_THROUGH:
        return COLLECTOR
    if scope in _SUPERVISOR_SCOPES or scope.startswith("supervisor.") or scope.endswith("/cmd/opampsupervisor"):
        return SUPERVISOR
    return source


def log_rows(request: ExportLogsServiceRequest, received_at: datetime) -> Iterator[LogRow]:
    """The records of an export request, as they are to be stored."""
    for of_resource in request.resource_logs:
        resource_source = source_of(of_resource.resource)
        for of_scope in of_resource.scope_logs:
            scope = text_of(of_scope.scope.name)
            source = source_of_scope(resource_source, scope)
            shared = attributes_of(of_scope.scope.attributes)
            for record in of_scope.log_records:
                body = record.body.string_value
                yield LogRow(
                    time_within(record.time_unix_nano or record.observed_time_unix_nano, received_at),
                    received_at,
                    _severity_number(record),
                    source,
                    scope,
                    body_text(body if body else _structured(record.body)),
                    attributes_json(_record_attributes(record, shared)),
                )


def _record_attributes(record: LogRecord, shared: dict[str, Any]) -> dict[str, Any]:
    attributes = shared.copy()
    for pair in record.attributes:
        value = pair.value
        attributes[pair.key] = value.string_value or any_value(value)
    if record.event_name:
        attributes["event.name"] = record.event_name
    if record.trace_id:
        attributes["trace_id"] = record.trace_id.hex()
        attributes["span_id"] = record.span_id.hex()
    return attributes


def _severity_number(record: LogRecord) -> int:
    number = record.severity_number
    if 1 <= number <= 24:
        return number
    return _SEVERITY_TEXTS.get(record.severity_text.upper(), 0)


def time_within(unix_nano: int, received_at: datetime) -> datetime:
    """The sender's time; when it was received where that is 0, in the future or a month ago."""
    try:
        at = EPOCH + timedelta(microseconds=unix_nano // 1000)
    except OverflowError:
        return received_at
    return at if received_at - _PAST < at < received_at + _FUTURE else received_at


def text_of(text: str) -> str:
    """Text that PostgreSQL takes, without issued tokens."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return tokens.redact(text) if "fg" in text else text


def body_text(text: str) -> str:
    """A body as it is stored: cut at MAX_BODY."""
    return _cut(text_of(text), MAX_BODY)


def _cut(text: str, size: int) -> str:
    if len(text) * 4 <= size or len(encoded := text.encode()) <= size:
        return text
    return encoded[:size].decode(errors="ignore") + TRUNCATED


def _structured(value: AnyValue) -> str:
    found = any_value(value)
    if found is None or found == "":
        return ""
    return found if isinstance(found, str) else orjson.dumps(found).decode()


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes by name, as JSON has them."""
    return {pair.key: any_value(pair.value) for pair in pairs}


def any_value(value: AnyValue) -> Any:
    """A value as JSON, in the API's form: large integers are decimal text, numbers that JSON lacks are text, and bytes
    are `{"bytesValue": "<base64>"}`."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if kind == "bytes_value":
        return {"bytesValue": b64encode(value.bytes_value).decode()}
    found = getattr(value, kind)
    if kind == "int_value":
        return found if -_LARGEST_EXACT <= found <= _LARGEST_EXACT else str(found)
    if kind == "double_value" and not isfinite(found):
        return "NaN" if found != found else "Infinity" if found > 0 else "-Infinity"
    return found


def attributes_json(attributes: dict[str, Any]) -> bytes:
    """Attributes as they are stored: at most MAX_ATTRIBUTES, without issued tokens and NUL characters."""
    if not attributes:
        return b"{}"
    raw = orjson.dumps(attributes)
    if b"\\u0000" in raw:
        raw = orjson.dumps(_without_nul(attributes))
    raw = tokens.redact_bytes(raw)
    return raw if len(raw) <= MAX_ATTRIBUTES else _shortened(orjson.loads(raw))


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _shortened(attributes: dict[str, Any]) -> bytes:
    kept: dict[str, Any] = {"flowgate.truncated": True}
    size = 64
    for key, value in attributes.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        shown = value if len(text) * 4 <= _MAX_VALUE else _cut(text, _MAX_VALUE)
        size += len(orjson.dumps({key: shown}))
        if size > MAX_ATTRIBUTES:
            break
        kept[key] = shown
    return orjson.dumps(kept)
