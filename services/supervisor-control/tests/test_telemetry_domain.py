"""Log records from OTLP to what is stored, and pages of them, without any I/O."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from flowkit import tokens
from flowkit.errors import InvalidError
from supervisor_control.domain import telemetry as domain
from supervisor_control.domain.paging import Page, StoredRecord, merged
from supervisor_control.domain.telemetry import LogRow, Place

NOW = datetime(2026, 11, 2, 8, 15, 30, tzinfo=UTC)
TOKEN = tokens.mint(tokens.TELEMETRY)


def nanos(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def make_request(*records: LogRecord, service: str = "fgcol", scope: str = "x") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = service
    of_scope = of_resource.scope_logs.add()
    of_scope.scope.name = scope
    of_scope.scope.attributes.add(key="otelcol.component.id").value.string_value = "otlp_http"
    of_scope.log_records.extend(records)
    return request


def stored(record: LogRecord, **names: str) -> LogRow:
    (row,) = domain.log_rows(make_request(record, **names), NOW)
    return row


def test_a_record_keeps_what_it_says() -> None:
    """Time, severity, body, attributes of its own and of its scope."""
    record = LogRecord(
        time_unix_nano=nanos(NOW) - 10**9,
        severity_number=17,
        body=text("Exporting failed. Dropping data."),
        attributes=[
            KeyValue(key="error", value=text("refused")),
            KeyValue(key="dropped_items", value=AnyValue(int_value=12)),
            KeyValue(key="is_final", value=AnyValue(bool_value=False)),
            KeyValue(key="nothing", value=AnyValue()),
        ],
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        event_name="drop",
    )
    row = stored(record, scope="go.opentelemetry.io/collector/service")
    assert (row.timestamp, row.received_at, row.severity_number) == (NOW - timedelta(seconds=1), NOW, 17)
    assert (row.body, row.scope) == ("Exporting failed. Dropping data.", "go.opentelemetry.io/collector/service")
    assert orjson.loads(row.attributes) == {
        "otelcol.component.id": "otlp_http",
        "error": "refused",
        "dropped_items": 12,
        "is_final": False,
        "nothing": None,
        "event.name": "drop",
        "trace_id": "01" * 16,
        "span_id": "02" * 8,
    }


@pytest.mark.parametrize(
    ("service", "scope", "source"),
    [
        ("fgcol", "go.opentelemetry.io/collector/service", "collector"),
        ("otelcol-contrib", "", "collector"),
        ("opamp-supervisor", "supervisor", "supervisor"),
        ("opampsupervisor", "anything", "supervisor"),
        ("named-otherwise", "supervisor", "supervisor"),
        ("named-otherwise", "supervisor.opamp-client", "supervisor"),
        ("x", "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor", "supervisor"),
        ("opamp-supervisor", "supervisor.collector", "collector"),
    ],
)
def test_supervisor_and_collector_are_told_apart(service: str, scope: str, source: str) -> None:
    """By resource or logger, as opampsupervisor v0.149.0 names them; a configuration may rename the resource."""
    assert stored(LogRecord(body=text("x")), service=service, scope=scope).source == source


@pytest.mark.parametrize(
    ("time", "observed", "expected"),
    [
        (0, 0, NOW),
        (0, nanos(NOW) - 10**9, NOW - timedelta(seconds=1)),
        (nanos(NOW) + 30 * 10**9, 0, NOW + timedelta(seconds=30)),
        (nanos(NOW) + 3600 * 10**9, 0, NOW),
        (2**64 - 1, 0, NOW),
        (1, 0, NOW),
        (nanos(NOW) - 86400 * 10**9, 0, NOW - timedelta(days=1)),
    ],
)
def test_an_absurd_time_is_that_of_receipt(time: int, observed: int, expected: datetime) -> None:
    """0, far ahead or long ago; a clock that is a bit ahead, or a late record, keeps its own."""
    assert stored(LogRecord(time_unix_nano=time, observed_time_unix_nano=observed)).timestamp == expected


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [(9, "", 9), (24, "", 24), (0, "warn", 13), (0, "Error", 17), (0, "loud", 0), (25, "", 0), (-1, "info", 9)],
)
def test_the_severity_comes_from_number_or_text(number: int, words: str, expected: int) -> None:
    """The number counts; what is out of range was not said."""
    record = LogRecord(severity_text=words)
    record.severity_number = number  # type: ignore[assignment]
    assert stored(record).severity_number == expected


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "INFO"), (1, "TRACE"), (4, "TRACE"), (5, "DEBUG"), (9, "INFO"), (13, "WARN"), (24, "FATAL")],
)
def test_severities_have_names(number: int, name: str) -> None:
    """Four numbers each."""
    assert domain.severity(number) == name


def test_a_structured_body_is_json() -> None:
    """Maps and lists as JSON, other values as text, nothing as nothing."""
    entries = KeyValueList(values=[KeyValue(key="a", value=AnyValue(array_value=ArrayValue(values=[text("b")])))])
    assert stored(LogRecord(body=AnyValue(kvlist_value=entries))).body == '{"a":["b"]}'
    assert stored(LogRecord(body=AnyValue(int_value=7))).body == "7"
    assert stored(LogRecord(body=text(""))).body == ""
    assert stored(LogRecord()).body == ""


def test_values_that_json_lacks_are_text() -> None:
    """As everywhere in the API."""
    values = {
        "nan": AnyValue(double_value=float("nan")),
        "inf": AnyValue(double_value=float("-inf")),
        "big": AnyValue(int_value=2**60),
        "raw": AnyValue(bytes_value=b"\x00\xff"),
    }
    record = LogRecord(attributes=[KeyValue(key=key, value=value) for key, value in values.items()])
    found = orjson.loads(stored(record).attributes)
    del found["otelcol.component.id"]
    assert found == {"nan": "NaN", "inf": "-Infinity", "big": str(2**60), "raw": {"bytesValue": "AP8="}}


def test_issued_tokens_are_masked() -> None:
    """In the body, in a structured one, in attributes, names and the scope."""
    kv = KeyValue(key=TOKEN, value=AnyValue(array_value=ArrayValue(values=[text(f"Bearer {TOKEN}")])))
    plain = stored(LogRecord(body=text(f"got {TOKEN}"), attributes=[kv]), scope=TOKEN)
    structured = stored(LogRecord(body=AnyValue(kvlist_value=KeyValueList(values=[kv]))))
    for row in (plain, structured):
        assert TOKEN[6:] not in repr(row)
    assert plain.body == "got fgt_" + "*" * (len(TOKEN) - 4)


def test_what_postgresql_refuses_is_replaced() -> None:
    """NUL characters in the body, in names and values of attributes, however deep."""
    inner = KeyValueList(values=[KeyValue(key="k\0", value=text("v\0"))])
    record = LogRecord(body=text("a\0b"), attributes=[KeyValue(key="x", value=AnyValue(kvlist_value=inner))])
    row = stored(record, scope="s\0")
    assert (row.body, row.scope) == ("a\ufffdb", "s\ufffd")
    assert orjson.loads(row.attributes)["x"] == {"k\ufffd": "v\ufffd"}
    kept = stored(LogRecord(attributes=[KeyValue(key="x", value=text(r"\u0000"))]))
    assert orjson.loads(kept.attributes)["x"] == r"\u0000"


def test_long_records_are_cut() -> None:
    """At 64 KiB of body and 16 KiB of attributes, with a mark; never within a character."""
    body = stored(LogRecord(body=text("ä" * 40_000))).body
    assert body == "ä" * 32_768 + domain.TRUNCATED
    many = [KeyValue(key=f"k{n}", value=text("v" * 5000)) for n in range(10)]
    many.append(KeyValue(key="last", value=text("x" * 100_000)))
    row = stored(LogRecord(attributes=many))
    found = orjson.loads(row.attributes)
    assert len(row.attributes) <= domain.MAX_ATTRIBUTES + 100
    assert found["flowgate.truncated"] is True
    assert found["k0"] == "v" * 1024 + domain.TRUNCATED
    assert "last" in found


def test_a_cursor_is_a_place() -> None:
    """There and back, to the microsecond."""
    place = Place(NOW + timedelta(microseconds=7), 12, 2**40)
    assert Place.of(place.text()) == place


@pytest.mark.parametrize("cursor", ["", "x", "1-2", "1-2-3-4", "1-2-z", "-1-2-3", "1-2-" + "f" * 17, "f" * 15 + "-1-1"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """Whatever it is."""
    with pytest.raises(InvalidError):
        Place.of(cursor)


def at(number: int) -> StoredRecord:
    return StoredRecord(Place(NOW + timedelta(seconds=number), number, number), 9, "collector", "", str(number), "{}")


def place(number: int) -> Place:
    return at(number).place


def numbers(page: Page) -> list[str]:
    return [one.body for one in page.records]


def test_pages_of_several_places_are_joined_as_far_as_all_were_looked_at() -> None:
    """What lies behind the nearest end waits for the next page, so that the order holds."""
    pages = [Page([at(9), at(5)], place(5)), Page([at(8), at(7), at(2)], None)]
    newest = merged(pages, 10, key=lambda one: (one.timestamp, one.id), is_descending=True)
    assert (numbers(newest), newest.next) == (["9", "8", "7", "5"], place(5))
    pages = [Page([at(1), at(4)], place(4)), Page([at(2), at(3), at(6)], None)]
    oldest = merged(pages, 10, key=lambda one: (one.transaction_id, one.id), is_descending=False)
    assert (numbers(oldest), oldest.next) == (["1", "2", "3", "4"], place(4))


def test_a_joined_page_holds_no_more_than_asked() -> None:
    """And leads on from its last one; without a rest it is the end."""
    pages = [Page([at(9), at(5)], None), Page([at(8)], None)]
    page = merged(pages, 2, key=lambda one: (one.timestamp, one.id), is_descending=True)
    assert (numbers(page), page.next) == (["9", "8"], place(8))
    page = merged(pages, 3, key=lambda one: (one.timestamp, one.id), is_descending=True)
    assert (numbers(page), page.next) == (["9", "8", "5"], None)
