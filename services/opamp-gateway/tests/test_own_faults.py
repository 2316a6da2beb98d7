"""A fault of the ingress's own is answered as one, told in the log, and concerns nothing but its message."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from structlog.testing import capture_logs

from flowkit import tokens
from opamp.v1 import opamp_pb2
from opamp_gateway.delivery import Delivery
from opamp_gateway.handlers import Handlers
from opamp_gateway.telemetry import Telemetry

OpenAgent = Callable[..., Awaitable[Any]]


def stumble(*_: object, **__: object) -> None:
    raise RuntimeError("a fault with a secret in it")


@pytest.mark.parametrize(
    ("owner", "name", "event"),
    [(Handlers, "_agent_reported", "report.failed"), (Delivery, "_say", "answer.failed")],
)
async def test_of_a_report(
    gateway, open_agent: OpenAgent, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, event: str
) -> None:
    """UNKNOWN without the inside of it; the next message is answered as ever."""
    agent = await open_agent(gateway)
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(owner, name, stumble)
        reply = await agent.send(agent.full())
    assert reply.error_response.type == opamp_pb2.ServerErrorResponseType_Unknown
    assert (reply.instance_uid, reply.error_response.error_message) == (agent.uid, "internal error")
    assert [one["event"] for one in logged if one["log_level"] == "error"] == [event]
    assert not (await agent.send(agent.full())).HasField("error_response")


async def test_of_an_export(gateway, open_http: OpenAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 without the inside of it; the next request is taken."""
    token = tokens.telemetry_token(gateway.settings.telemetry_key_bytes, uuid4().bytes)
    http = (await open_http(gateway, token=token)).http
    body = ExportLogsServiceRequest().SerializeToString()
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(Telemetry, "_put", stumble)
        response = await http.request(body, path="/v1/logs")
    assert (response.status, b"secret" in response.body) == (500, False)
    assert [one["event"] for one in logged if one["log_level"] == "error"] == ["telemetry.failed"]
    assert (await http.request(body, path="/v1/logs")).status == 200
