"""Own telemetry over OTLP/HTTP, with a real NATS behind the ingress."""

import asyncio
import gzip
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flowgate.uplink.v1 import telemetry_pb2
from flowkit import tokens
from flowkit.embedded import EmbeddedNats
from flowkit.testing import eventually

OpenAgent = Callable[..., Awaitable]
KEY = b"a key of a test with enough characters"
JSON = "application/json"


def logs(records: int = 1, uid: bytes | None = None, text: str = "text") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    if uid is not None:
        resource.resource.attributes.add(key="service.instance.id").value.string_value = str(uuid.UUID(bytes=uid))
    found = resource.scope_logs.add().log_records
    for n in range(records):
        found.add(time_unix_nano=n + 1).body.string_value = text
    return request


def is_status(response, code: int) -> bool:
    """Whether the body is a google.rpc.Status with this code and some words, in the content type of the request."""
    if response.headers["content-type"] == JSON:
        said = json.loads(response.body)
        return said["code"] == code and bool(said["message"])
    return response.body[:3] == bytes((8, code, 18)) and len(response.body) > 4


@pytest.fixture
def uid() -> bytes:
    return os.urandom(16)


@pytest.fixture
async def client(gateway, open_http: OpenAgent, uid: bytes):
    """An HTTP connection with the telemetry token of the agent `uid`."""
    return (await open_http(gateway, token=tokens.telemetry_token(KEY, uid))).http


@pytest.fixture
async def enrolled(gateway, open_http: OpenAgent):
    """An HTTP connection with an enrollment token."""
    return (await open_http(gateway)).http


@pytest.mark.parametrize(
    ("path", "kind", "request_type"),
    [
        ("/v1/logs", telemetry_pb2.SIGNAL_LOGS, ExportLogsServiceRequest),
        ("/v1/metrics", telemetry_pb2.SIGNAL_METRICS, ExportMetricsServiceRequest),
        ("/v1/traces", telemetry_pb2.SIGNAL_TRACES, ExportTraceServiceRequest),
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_a_request_is_on_the_stream_when_it_is_answered(
    client, heard_telemetry, uid: bytes, path: str, kind: int, request_type: type, coding: str
) -> None:
    """Each signal, as it came, under the agent of the token."""
    request = request_type()
    (field,) = request.DESCRIPTOR.fields
    getattr(request, field.name).add().resource.attributes.add(key="host.name").value.string_value = "h"
    body = request.SerializeToString()
    response = await client.request(
        gzip.compress(body) if coding == "gzip" else body, path=path, content_encoding=coding
    )
    assert (response.status, response.body, response.headers["content-type"]) == (200, b"", "application/x-protobuf")
    (entry,) = await eventually(lambda: heard_telemetry.of(uid))
    assert (entry.signal, entry.export_request) == (kind, body)
    assert entry.received_at_unix_nano > 0


async def test_json_is_on_the_stream_as_protobuf(client, heard_telemetry, uid: bytes) -> None:
    record = {"timeUnixNano": "5", "traceId": bytes(range(16)).hex(), "body": {"stringValue": "x"}}
    said = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    response = await client.request(gzip.compress(said), path="/v1/logs", content_type=JSON, content_encoding="gzip")
    assert (response.status, response.body, response.headers["content-type"]) == (200, b"{}", JSON)
    (entry,) = await eventually(lambda: heard_telemetry.of(uid))
    (found,) = ExportLogsServiceRequest.FromString(entry.export_request).resource_logs[0].scope_logs[0].log_records
    assert (found.time_unix_nano, found.trace_id, found.body.string_value) == (5, bytes(range(16)), "x")


async def test_the_token_says_whose_it_is(client, heard_telemetry, uid: bytes) -> None:
    """A telemetry token speaks for its agent alone, whatever the resource says."""
    other = os.urandom(16)
    assert (await client.request(logs(uid=other).SerializeToString(), path="/v1/logs")).status == 200
    await eventually(lambda: heard_telemetry.of(uid))
    assert heard_telemetry.of(other) == []


async def test_with_an_enrollment_token_the_resource_says_whose_it_is(enrolled, heard_telemetry) -> None:
    """Split by agent; a resource that names none is rejected with the word that helps."""
    one, two = os.urandom(16), os.urandom(16)
    request = logs(1, one)
    for part in (logs(2, two), logs(3), logs(4, one)):
        request.MergeFrom(part)
    response = await enrolled.request(request.SerializeToString(), path="/v1/logs")
    partial = ExportLogsServiceResponse.FromString(response.body).partial_success
    assert (response.status, partial.rejected_log_records) == (200, 3)
    assert "service.instance.id" in partial.error_message
    (mine,) = await eventually(lambda: heard_telemetry.of(one))
    expected = logs(1, one)
    expected.MergeFrom(logs(4, one))
    assert ExportLogsServiceRequest.FromString(mine.export_request) == expected
    (theirs,) = await eventually(lambda: heard_telemetry.of(two))
    assert ExportLogsServiceRequest.FromString(theirs.export_request) == logs(2, two)


async def test_partial_success_in_json(enrolled) -> None:
    said = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}]}]}).encode()
    response = await enrolled.request(said, path="/v1/logs", content_type="application/json; charset=utf-8")
    assert response.status == 200
    assert json.loads(response.body)["partialSuccess"]["rejectedLogRecords"] == "2"


async def test_an_empty_request_is_fine(client) -> None:
    assert (await client.request(b"", path="/v1/logs")).status == 200


async def test_a_token_of_the_bucket_will_do_and_a_revoked_one_not(
    gateway, enrollment, heard_telemetry, open_http: OpenAgent, uid: bytes
) -> None:
    token = tokens.mint(tokens.ENROLLMENT)
    token_id = await enrollment.add(token)
    http = (await open_http(gateway, token=token)).http
    body = logs(uid=uid).SerializeToString()

    async def status() -> int:
        return (await http.request(body, path="/v1/logs")).status

    await eventually(status, until=lambda status: status == 200)
    await enrollment.revoke(token_id)
    await eventually(status, until=lambda status: status == 401)


async def test_a_telemetry_token_opens_nothing_else(gateway, client) -> None:
    """Item 150: neither transport of OpAMP takes it."""
    assert (await client.request(b"")).status == 401
    head = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_version": "13"}
    response = await client.request(b"", method="GET", content_type=None, sec_websocket_key="x" * 22 + "==", **head)
    assert response.status == 401


@pytest.mark.parametrize("content_type", ["application/x-protobuf", JSON])
async def test_without_a_credential_it_is_401(gateway, open_http: OpenAgent, uid: bytes, content_type: str) -> None:
    """Item 150: none, an unknown one, one of another key, and one that was tampered with."""
    http = (await open_http(gateway)).http
    good = tokens.telemetry_token(KEY, uid)
    for credential in (
        None,
        "Bearer wrong",
        f"Bearer {tokens.telemetry_token(b'another key', uid)}",
        f"Bearer {tokens.telemetry_token(KEY, os.urandom(16))[:20]}{good[20:]}",
        good,
    ):
        response = await http.request(b"", path="/v1/logs", authorization=credential, content_type=content_type)
        assert response.status == 401 and is_status(response, 16)
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_own_telemetry_ends_with_the_token_that_the_agent_came_with(
    gateway, enrollment, open_http: OpenAgent, uid: bytes
) -> None:
    """Items 117, 152: a revoked enrollment token takes with it what its agents were given."""
    token_id = await enrollment.add(enrollment_token := tokens.mint(tokens.ENROLLMENT))
    http = (await open_http(gateway, token=enrollment_token)).http
    own = f"Bearer {tokens.telemetry_token(KEY, uid, token_id)}"

    async def status() -> int:
        return (await http.request(b"", path="/v1/logs", authorization=own)).status

    await eventually(status, until=lambda code: code == 200)
    await enrollment.revoke(token_id)
    await eventually(status, until=lambda code: code == 401)


async def test_what_is_no_export_request(client) -> None:
    """400 for what does not decode, 405, 415; the connection goes on where it can."""
    response = await client.request(b"\xff\xff", path="/v1/logs")
    assert response.status == 400 and is_status(response, 3)
    response = await client.request(b"{", path="/v1/metrics", content_type=JSON)
    assert response.status == 400 and is_status(response, 3)
    response = await client.request(b"", path="/v1/logs", method="GET")
    assert (response.status, response.headers["allow"]) == (405, "POST")
    for content_type in (None, "text/plain", "application/grpc"):
        assert (await client.request(b"", path="/v1/logs", content_type=content_type)).status == 415
    assert (await client.request(b"", path="/v1/logs", content_encoding="zstd")).status == 415
    assert (await client.request(b"", path="/v1/profiles")).status == 404
    response = await client.request(b"no gzip", path="/v1/logs", content_encoding="gzip")
    assert response.status == 400 and is_status(response, 3)


async def test_the_limit_of_a_request(start_gateway, open_http: OpenAgent, uid: bytes) -> None:
    """413 by its length, chunked, and inflated, with words; not to be sent again."""
    gateway = await start_gateway(max_telemetry_bytes=100_000)

    async def connection():
        return (await open_http(gateway, token=tokens.telemetry_token(KEY, uid))).http

    response = await (await connection()).request(bytes(100_001), path="/v1/logs")
    assert response.status == 413 and is_status(response, 3)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (100_001, bytes(100_001))
    response = await (await connection()).request(
        chunked, path="/v1/logs", transfer_encoding="chunked", content_length=None
    )
    assert response.status == 413
    response = await (await connection()).request(
        gzip.compress(bytes(50_000_000)), path="/v1/logs", content_encoding="gzip"
    )
    assert response.status == 413
    assert (await (await connection()).request(logs(900).SerializeToString(), path="/v1/logs")).status == 200


async def test_a_large_request_goes_in_pieces(client, heard_telemetry, uid: bytes) -> None:
    """Every message stays below NATS' limit; answered when all of it is durable; one record that is too large is not
    taken."""
    request = logs(3000, text="x" * 1000)
    request.MergeFrom(logs(1, text="y" * 600_000))
    response = await client.request(request.SerializeToString(), path="/v1/logs")
    partial = ExportLogsServiceResponse.FromString(response.body).partial_success
    assert (response.status, partial.rejected_log_records) == (200, 1)
    assert "limit" in partial.error_message

    def records() -> int:
        parts = [ExportLogsServiceRequest.FromString(entry.export_request) for entry in heard_telemetry.of(uid)]
        return sum(len(part.resource_logs[0].scope_logs[0].log_records) for part in parts)

    await eventually(records, until=lambda count: count == 3000)
    assert len(heard_telemetry.of(uid)) > 5
    assert max(len(message.data) for message in heard_telemetry.messages) < 1_000_000


async def test_issued_tokens_are_masked(client, bus, heard_telemetry, uid: bytes) -> None:
    """What a collector logs of its own headers does not travel."""
    seen: list[bytes] = []

    async def take(message: Msg) -> None:
        seen.append(message.data)

    await bus.connection.subscribe(">", cb=take)
    await bus.jetstream.account_info()
    text = f"sent with Bearer {client.token}"
    record = {"body": {"stringValue": text}}
    said = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    for body, content_type in ((logs(text=text).SerializeToString(), None), (said, JSON)):
        headers = {"content_type": content_type} if content_type else {}
        assert (await client.request(body, path="/v1/logs", **headers)).status == 200
    entries = await eventually(lambda: heard_telemetry.of(uid), until=lambda entries: len(entries) == 2)
    for entry in entries:
        (record,) = ExportLogsServiceRequest.FromString(entry.export_request).resource_logs[0].scope_logs[0].log_records
        assert record.body.string_value.startswith("sent with Bearer fgt_****")
    assert seen and [data for data in seen if tokens.redact_bytes(data) != data] == []


async def test_pipelined_requests_are_answered_in_order(client, heard_telemetry, uid: bytes) -> None:
    bodies = [logs(n + 1).SerializeToString() for n in range(30)]
    for number, body in enumerate(bodies):
        path, token = ("/v1/logs", client.token) if number % 3 else ("/v1/nowhere", client.token)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: application/x-protobuf\r\nAuthorization: Bearer {token}\r\n\r\n"
        client.writer.write(head.encode() + body)
    statuses = [(await client.response()).status for _ in bodies]
    assert statuses == [200 if number % 3 else 404 for number in range(30)]
    entries = await eventually(lambda: heard_telemetry.of(uid), until=lambda entries: len(entries) == 20)
    assert [entry.export_request for entry in entries] == [body for n, body in enumerate(bodies) if n % 3]


async def test_one_connection_may_carry_both(gateway, open_http: OpenAgent, heard_telemetry) -> None:
    """OpAMP and OTLP with the same enrollment token, request by request."""
    agent = await (await open_http(gateway)).start()
    for _ in range(3):
        response = await agent.http.request(logs(uid=agent.uid).SerializeToString(), path="/v1/logs")
        assert response.status == 200
        await agent.healthy()
    await eventually(lambda: heard_telemetry.of(agent.uid), until=lambda entries: len(entries) == 3)


# -- when it cannot be taken


async def test_without_a_key_own_telemetry_is_off(start_gateway, open_http: OpenAgent, uid: bytes) -> None:
    http = (await open_http(await start_gateway(telemetry_key=None))).http
    response = await http.request(logs(uid=uid).SerializeToString(), path="/v1/logs")
    assert response.status == 503 and is_status(response, 14) and int(response.headers["retry-after"]) >= 1


def test_a_short_key_is_refused(start_gateway) -> None:
    from opamp_gateway.settings import OpampGatewaySettings

    with pytest.raises(ValueError, match="at least 32"):
        OpampGatewaySettings(enrollment_token_sha256="0" * 64, telemetry_key="short")


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A nats-server of the test's own, which it may freeze."""
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


async def test_what_is_not_durable_in_time_is_told_so(own_nats, start_gateway, open_http: OpenAgent, uid) -> None:
    """503 with Retry-After and words; taken again when the bus is back."""
    gateway = await start_gateway(own_nats.url, telemetry_deadline_seconds=0.3, telemetry_retry_after_seconds=7)
    http = (await open_http(gateway, token=tokens.telemetry_token(KEY, uid))).http
    body = logs().SerializeToString()
    os.kill(own_nats.pid, signal.SIGSTOP)
    response = await http.request(body, path="/v1/logs")
    assert response.status == 503 and is_status(response, 14) and 7 <= int(response.headers["retry-after"]) <= 14
    response = await http.request(b"{}", path="/v1/logs", content_type=JSON)
    assert response.status == 200, "nothing in it needs the bus"
    os.kill(own_nats.pid, signal.SIGCONT)

    async def status() -> int:
        return (await http.request(body, path="/v1/logs")).status

    await eventually(status, until=lambda status: status == 200)


async def test_what_waits_is_bounded_apart_from_the_reports(
    own_nats, start_gateway, open_http: OpenAgent, uid: bytes
) -> None:
    """At once 503 when too much waits, also in the middle of a body; room again when those have left."""
    gateway = await start_gateway(own_nats.url, telemetry_deadline_seconds=2.0, max_telemetry_waiting_bytes=200_000)

    async def connection():
        return (await open_http(gateway, token=tokens.telemetry_token(KEY, uid))).http

    first, second, third = [await connection() for _ in range(3)]
    large = logs(1, text="x" * 250_000).SerializeToString()
    third.writer.write(
        b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        + f"Authorization: Bearer {third.token}\r\nContent-Length: {len(large)}\r\n\r\n".encode()
    )
    os.kill(own_nats.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(first.request(large, path="/v1/logs"))

    async def status() -> int:
        return (await second.request(logs().SerializeToString(), path="/v1/logs")).status

    await eventually(lambda: not first.writer.transport.get_write_buffer_size())  # type: ignore[attr-defined]
    await heard_by_now(second)
    assert await status() == 503 and not waiting.done()
    third.writer.write(large[:1000])
    assert (await third.response()).status == 503
    assert (await waiting).status == 503
    os.kill(own_nats.pid, signal.SIGCONT)
    await eventually(status, until=lambda status: status == 200)


async def heard_by_now(other: Any) -> None:
    """The ingress runs on this loop: when it has answered a few requests, it has read what was sent before them."""
    for _ in range(5):
        assert (await other.request(path="/nowhere")).status == 404


async def test_a_client_that_leaves_frees_its_room(start_gateway, open_http: OpenAgent, uid: bytes) -> None:
    """Half a body and gone, again and again."""
    gateway = await start_gateway(max_telemetry_waiting_bytes=100_000)
    token = tokens.telemetry_token(KEY, uid)
    for _ in range(5):
        http = (await open_http(gateway, token=token)).http
        http.writer.write(
            b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            + f"Authorization: Bearer {token}\r\nContent-Length: 95000\r\n\r\n".encode()
            + bytes(90_000)
        )
        await http.writer.drain()
        await http.close()
    http = (await open_http(gateway, token=token)).http

    async def status() -> int:
        return (await http.request(logs().SerializeToString(), path="/v1/logs")).status

    await eventually(status, until=lambda status: status == 200)


async def test_a_drain_answers_what_it_took(start_gateway, heard_telemetry, open_http: OpenAgent, uid: bytes) -> None:
    """Requests that are under way when the ingress stops are durable and answered, or were never taken."""
    gateway = await start_gateway(flush_seconds=0.3)
    http = [(await open_http(gateway, token=tokens.telemetry_token(KEY, uid))).http for _ in range(5)]
    for connection in http:
        await connection.request(logs().SerializeToString(), path="/v1/logs")
    pending = [
        asyncio.create_task(connection.request(logs(2).SerializeToString(), path="/v1/logs")) for connection in http
    ]
    await heard_by_now((await open_http(gateway)).http)
    await gateway.stop()
    statuses = [response.status for response in await asyncio.gather(*pending)]
    assert statuses == [200] * 5
    await eventually(lambda: heard_telemetry.of(uid), until=lambda entries: len(entries) == 10)
