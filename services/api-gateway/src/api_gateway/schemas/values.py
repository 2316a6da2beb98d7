"""How single values look in JSON: times, enum values, ids, attributes. The same in every answer and event."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict

from flowkit.opamp import capability_names
from opamp.v1.anyvalue_pb2 import AnyValue, KeyValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_EXACT = 2**53 - 1  # beyond it JSON readers that use doubles lose digits


class ApiModel(BaseModel):
    """A body of the API. Field docstrings become the descriptions in OpenAPI; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@lru_cache(maxsize=8192)
def _second(seconds: int) -> str | None:
    """A whole second since 1970 as RFC 3339 without zone. Rows of a list share most of theirs."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    except OverflowError:
        return None


def stamp(message: Any, field: str) -> str | None:
    """A message's timestamp field as RFC 3339 in UTC, to the millisecond; None when it is unset or out of range."""
    if not message.HasField(field):
        return None
    at: Timestamp = getattr(message, field)
    second = _second(at.seconds)
    return second and f"{second}.{at.nanos // 1_000_000:03d}Z"


def nano_time(unix_nano: int) -> str | None:
    """A time in nanoseconds since 1970 likewise; None for 0, which OpAMP uses for "does not run"."""
    second = _second(unix_nano // 1_000_000_000) if unix_nano else None
    return second and f"{second}.{unix_nano // 1_000_000 % 1000:03d}Z"


def enum_text(enum: EnumTypeWrapper, number: int, prefix: str) -> str | None:
    """A contract's enum value in lower case without its prefix: STATE_APPLIED is `applied`; None when unspecified."""
    return _enum_names(enum, prefix).get(number)


@lru_cache(maxsize=32)
def _enum_names(enum: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}


@lru_cache(maxsize=1024)
def _capabilities(bits: int) -> tuple[str, ...]:
    return tuple(capability_names(bits))


def capabilities(bits: int) -> tuple[str, ...]:
    """Names of the capabilities, such as ReportsStatus; bits unknown to OpAMP v0.20 as hex numbers."""
    return _capabilities(bits)


def exact_number(number: int) -> int | str:
    """An integer; as decimal text where a JSON reader with doubles would lose digits."""
    return number if -_LARGEST_EXACT <= number <= _LARGEST_EXACT else str(number)


def any_value(value: AnyValue) -> Any:
    """An attribute value as JSON.

    Text, truth values, lists, maps and null are themselves. Integers beyond 2^53 - 1 either way are decimal text.
    Numbers that JSON lacks are the text NaN, Infinity, -Infinity. Bytes are `{"bytesValue": "<base64>"}`, as in
    OTLP/JSON.
    """
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return {"bytesValue": b64encode(value.bytes_value).decode()}
    if kind == "int_value":
        return exact_number(value.int_value)
    if kind == "double_value" and not isfinite(value.double_value):
        number = value.double_value
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
    return getattr(value, kind)


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes by name; the last one wins where a name comes twice."""
    return {pair.key: any_value(pair.value) for pair in pairs}
