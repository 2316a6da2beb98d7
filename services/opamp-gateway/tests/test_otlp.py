"""OTLP/HTTP as pure functions: JSON as OTLP has it, requests told apart by agent, large ones cut to size."""

import json
import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from opamp_gateway import otlp

TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))


def logs(records: int = 1, uid: bytes | None = None, body: str = "text", scopes: int = 1) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="https://schema")
    if uid is not None:
        resource.resource.attributes.add(key=otlp.INSTANCE_ID).value.string_value = str(uuid.UUID(bytes=uid))
    for number in range(scopes):
        scope = resource.scope_logs.add(schema_url="https://scope")
        scope.scope.name = f"scope-{number}"
        for n in range(records):
            scope.log_records.add(time_unix_nano=n).body.string_value = body
    return request


def test_json_has_ids_in_hex_and_enums_as_numbers() -> None:
    """OTLP JSON Protobuf Encoding; 64-bit numbers as text or number; fields that are not known are ignored."""
    record = {
        "timeUnixNano": "1700000000000000000",
        "observedTimeUnixNano": 1700000000000000001,
        "severityNumber": 17,
        "body": {"kvlistValue": {"values": [{"key": "traceId", "value": {"stringValue": "zz"}}]}},
        "traceId": TRACE_ID.hex().upper(),
        "spanId": SPAN_ID.hex(),
        "addedIn": "2030",
    }
    said = {"resourceLogs": [{"resource": {"new": {}}, "scopeLogs": [{"logRecords": [record]}]}]}
    request = otlp.decode(otlp.LOGS, json.dumps(said).encode(), True)
    (found,) = request.resource_logs[0].scope_logs[0].log_records
    assert (found.trace_id, found.span_id, found.severity_number) == (TRACE_ID, SPAN_ID, 17)
    assert (found.time_unix_nano, found.observed_time_unix_nano) == (1700000000000000000, 1700000000000000001)
    assert found.body.kvlist_value.values[0].key == "traceId"


def test_json_ids_of_spans_links_and_exemplars() -> None:
    span = {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex(), "parentSpanId": "", "kind": 2}
    span["links"] = [{"traceId": TRACE_ID.hex(), "spanId": SPAN_ID.hex()}]
    said = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    found = otlp.decode(otlp.TRACES, json.dumps(said).encode(), True).resource_spans[0].scope_spans[0].spans[0]
    assert (found.trace_id, found.links[0].span_id, found.parent_span_id, found.kind) == (TRACE_ID, SPAN_ID, b"", 2)
    point = {"asInt": "7", "exemplars": [{"traceId": TRACE_ID.hex()}]}
    metric = {"name": "m", "sum": {"dataPoints": [point], "aggregationTemporality": 2}}
    said = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    found = otlp.decode(otlp.METRICS, json.dumps(said).encode(), True).resource_metrics[0].scope_metrics[0].metrics[0]
    assert found.sum.data_points[0].exemplars[0].trace_id == TRACE_ID
    assert found.sum.aggregation_temporality == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"7",
        b"\xff\xfe",
        b'{"resourceLogs": {}}',
        b'{"resourceLogs": [7]}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "zz"}]}]}]}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "\\ud800"}}]}]}]}',
        b"[" * 100_000,
        b'{"resourceLogs":' + b'[{"x":' * 200 + b"1" + b"}]" * 200 + b"}",
    ],
)
def test_json_that_is_no_request_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(otlp.UndecodableError):
        otlp.decode(otlp.LOGS, body, True)


@given(st.binary(max_size=200), st.sampled_from(list(otlp.SIGNALS.values())), st.booleans())
def test_any_bytes_are_a_request_or_undecodable(body: bytes, signal: otlp.Signal, is_json: bool) -> None:
    try:
        otlp.decode(signal, body, is_json)
    except otlp.UndecodableError:
        return


def test_a_request_of_one_agent_stays_what_it_is() -> None:
    uid = os.urandom(16)
    request = logs(uid=uid)
    assert otlp.by_agent(otlp.LOGS, request) == ({uid: request}, 0)


def test_a_request_of_several_agents_is_told_apart() -> None:
    """Resources without a UUID are counted, whatever else they say."""
    one, two = os.urandom(16), os.urandom(16)
    request = ExportLogsServiceRequest()
    for part in (logs(1, one), logs(2, two), logs(3, one), logs(4), logs(5, b"0" * 16)):
        request.MergeFrom(part)
    request.resource_logs[4].resource.attributes[0].value.string_value = "host-7"
    parts, rejected = otlp.by_agent(otlp.LOGS, request)
    assert rejected == 9
    expected = logs(1, one)
    expected.MergeFrom(logs(3, one))
    assert parts == {one: expected, two: logs(2, two)}


@pytest.mark.parametrize("text", ["{%s}", "urn:uuid:%s", " %s", "%s\n"])
def test_only_the_canonical_form_is_an_instance_uid(text: str) -> None:
    request = logs(uid=os.urandom(16))
    value = request.resource_logs[0].resource.attributes[0].value
    value.string_value = text % value.string_value
    assert otlp.by_agent(otlp.LOGS, request) == ({}, 1)


@pytest.mark.parametrize(("records", "scopes", "resources"), [(100, 1, 1), (1, 100, 1), (1, 1, 100), (10, 4, 3)])
def test_a_large_request_is_cut_between_records(records: int, scopes: int, resources: int) -> None:
    """Nothing is lost, in order, and each piece says whose it is."""
    uid = os.urandom(16)
    request = ExportLogsServiceRequest()
    for _ in range(resources):
        request.MergeFrom(logs(records, uid, "x" * 500, scopes))
    texts = []
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                record.body.string_value += str(len(texts))
                texts.append(record.body.string_value)
    pieces, rejected = otlp.pieces(otlp.LOGS, request, 5000)
    assert rejected == 0 and len(pieces) > 1 and max(map(len, pieces)) <= 5000
    found = []
    for piece in pieces:
        part = ExportLogsServiceRequest.FromString(piece)
        assert otlp.by_agent(otlp.LOGS, part)[0] == {uid: part}
        for resource in part.resource_logs:
            assert resource.schema_url == "https://schema"
            for scope in resource.scope_logs:
                assert scope.scope.name.startswith("scope-") and scope.schema_url == "https://scope"
                found += [record.body.string_value for record in scope.log_records]
    assert found == texts


def test_a_record_that_is_too_large_is_counted() -> None:
    request = logs(2)
    request.MergeFrom(logs(1, body="x" * 6000))
    pieces, rejected = otlp.pieces(otlp.LOGS, request, 5000)
    assert rejected == 1 and [ExportLogsServiceRequest.FromString(piece) for piece in pieces] == [logs(2)]


def test_of_metrics_the_data_points_count() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for _ in range(3):
        metrics.add(name="a").gauge.data_points.add(as_int=1)
    metrics.add(name="b").histogram.data_points.add()
    metrics.add(name="nothing")
    assert otlp.by_agent(otlp.METRICS, request) == ({}, 4)


def test_answers() -> None:
    """Empty for success, partial_success with what was rejected, google.rpc.Status for failure."""
    assert (otlp.success(otlp.LOGS, False), otlp.success(otlp.LOGS, True)) == (b"", b"{}")
    partial = ExportLogsServiceResponse.FromString(otlp.success(otlp.LOGS, False, 3, "because")).partial_success
    assert (partial.rejected_log_records, partial.error_message) == (3, "because")
    said = json.loads(otlp.success(otlp.METRICS, True, 3, "because"))
    assert said == {"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "because"}}
    assert json.loads(otlp.failure(400, "ä", True)) == {"code": 3, "message": "ä"}
    assert otlp.failure(503, "no", False) == b"\x08\x0e\x12\x02no"
    assert otlp.by_agent(otlp.TRACES, ExportTraceServiceRequest()) == ({}, 0)
