"""Traces of all services as processes, as a collector of traces receives them by OTLP/HTTP."""

import http.server
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from flowkit.testing import eventually

pytestmark = pytest.mark.system

CONFIG = (
    "receivers: {nop: {}}\nexporters: {nop: {}}\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n"
)


@dataclass(frozen=True)
class Span:
    """A span of one service."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int


class Receiver:
    """Takes export requests; `spans` are all that came."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    receiver.take(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            (service,) = (one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        service,
                        one.name,
                        one.trace_id.hex(),
                        one.span_id.hex(),
                        one.parent_span_id.hex(),
                        one.start_time_unix_nano,
                        one.end_time_unix_nano,
                    )
                    for one in scope.spans
                ]

    def trace(self, trace_id: str) -> list[Span]:
        return [one for one in self.spans if one.trace_id == trace_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def require_a_tree(spans: list[Span], root: str) -> None:
    """Every span hangs on another one of the trace, up to the caller's, and ends after it begins."""
    ids = {one.span_id for one in spans}
    assert [one for one in spans if one.parent_id not in ids | {root}] == []
    assert [one.name for one in spans if one.parent_id == root] == [
        one.name for one in spans if one.service == "api-gateway" and one.parent_id == root
    ]
    assert [one for one in spans if one.end < one.start] == []


async def test_an_order_is_one_trace_from_the_request_to_its_outcome(
    flowgate_up: Callable[..., Any], receiver: Receiver
) -> None:
    """A push and a restart, each with the caller's trace: over rpc, outbox, wish, offer and report to the outcome."""
    endpoint = f"http://127.0.0.1:{receiver.server.server_address[1]}"
    running = flowgate_up(
        "--demo", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    )

    async def order(path: str, body: dict[str, str] | None) -> tuple[str, str]:
        trace_id, root = secrets.token_hex(16), secrets.token_hex(8)
        with running.api() as api:
            answer = api.post(path, json=body, headers={"traceparent": f"00-{trace_id}-{root}-01"})
        assert answer.status_code == 202, answer.text
        return trace_id, root

    def supervised() -> str:
        with running.api() as api:
            items = api.get("/gateways", params={"management_mode": "supervisor", "status": "online"}).json()["items"]
        return items[0]["instance_id"] if items else ""

    agent = await eventually(supervised, seconds=30)
    trace_id, root = await order(f"/supervisor/ui/agents/{agent}/config", {"config": CONFIG})
    expected = {
        ("api-gateway", "POST /api/v1/supervisor/ui/agents/{instance_id}/config"),
        ("api-gateway", "config-push/assign-config"),
        ("config-push", "config-push/assign-config"),
        ("config-push", "publish agent_desired"),
        ("config-push", "publish config.delivery-state-changed"),
        ("opamp-gateway", "send config"),
        ("config-push", "delivery offered"),
        ("config-push", "delivery applied"),
        ("supervisor-control", "process config.delivery-state-changed"),
    }

    def seen(names: set[tuple[str, str]], trace_id: str) -> set[tuple[str, str]]:
        return names - {(one.service, one.name) for one in receiver.trace(trace_id)}

    await eventually(lambda: seen(expected, trace_id), seconds=30, until=lambda missing: not missing)
    spans = await eventually(lambda: settled(receiver, trace_id), seconds=30)
    require_a_tree(spans, root)
    by_name = {(one.service, one.name): one for one in spans}
    sent, applied = by_name["opamp-gateway", "send config"], by_name["config-push", "delivery applied"]
    assert sent.parent_id == by_name["config-push", "config-push/assign-config"].span_id
    assert applied.parent_id == sent.span_id
    assert by_name["config-push", "delivery offered"].parent_id == sent.span_id

    trace_id, root = await order(f"/supervisor/agents/{agent}/restart", None)
    expected = {
        ("api-gateway", "supervisor-control/request-restart"),
        ("supervisor-control", "supervisor-control/request-restart"),
        ("supervisor-control", "publish agent_desired"),
        ("opamp-gateway", "send command"),
        ("supervisor-control", "restart delivered"),
        ("supervisor-control", "restart completed"),
    }
    await eventually(lambda: seen(expected, trace_id), seconds=30, until=lambda missing: not missing)
    require_a_tree(await eventually(lambda: settled(receiver, trace_id), seconds=30), root)


def settled(receiver: Receiver, trace_id: str) -> list[Span]:
    """The trace once every parent in it has come; services export on their own."""
    spans = list(receiver.trace(trace_id))
    ids = {one.span_id for one in spans}
    open_ends = [one for one in spans if one.parent_id not in ids]
    return spans if len(open_ends) == 1 else []
