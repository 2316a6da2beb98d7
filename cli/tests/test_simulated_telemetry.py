"""Own telemetry of simulated agents, without any I/O."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from flowgate_cli.simulated_telemetry import Sender
from flowgate_cli.simulation import Profile, SimulatedAgent
from opamp.v1 import opamp_pb2

NOW = 1_800_000_000.0


@pytest.fixture
def sender() -> Sender:
    """Of an agent whose collector runs and was not told to send anything."""
    agent = SimulatedAgent(Profile(uid=b"u" * 16, mode="supervisor", host_name="h"), NOW - 100)
    agent.next_message(NOW - 50)
    assert agent.is_running
    return Sender(agent)


def offer(sender: Sender, at: float) -> None:
    """Logs and metrics are wanted; the collector restarts for it."""
    message = opamp_pb2.ServerToAgent()
    for signal in ("logs", "metrics"):
        settings = getattr(message.connection_settings, f"own_{signal}")
        settings.destination_endpoint = f"http://flowgate.test/v1/{signal}"
        settings.headers.headers.add(key="Authorization", value="Bearer fgt_x")
    message.connection_settings.own_traces.SetInParent()
    sender.agent.receive(message, at)
    assert not sender.agent.is_running
    sender.agent.next_message(at + 30)
    assert sender.agent.is_running


def test_nothing_is_sent_that_was_not_asked_for(sender: Sender) -> None:
    """However long it runs."""
    assert [sender.due(NOW + seconds) for seconds in (0, 100, 200)] == [[], [], []]


def test_logs_and_metrics_go_where_the_offer_says(sender: Sender) -> None:
    """With its headers, as OTLP; the start is told at once, metrics every minute."""
    offer(sender, NOW)
    ((url, headers, body),) = sender.due(NOW + 30)
    assert (url, headers) == ("http://flowgate.test/v1/logs", (("Authorization", "Bearer fgt_x"),))
    logs = Parse(body, ExportLogsServiceRequest())
    record = logs.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.severity_number, record.body.string_value[:20]) == (9, "Everything is ready.")
    named = {one.key: one.value.string_value for one in logs.resource_logs[0].resource.attributes}
    assert named["service.instance.id"] == "75757575-7575-7575-7575-757575757575"
    sent = [one for seconds in range(31, 31 + 180) for one in sender.due(NOW + seconds)]
    metrics = [Parse(body, ExportMetricsServiceRequest()) for url, _, body in sent if url.endswith("/metrics")]
    assert len(metrics) == 3
    names = {one.name for one in metrics[0].resource_metrics[0].scope_metrics[0].metrics}
    assert {"otelcol_process_memory_rss", "otelcol_receiver_accepted_spans", "otelcol_exporter_queue_size"} <= names


def test_counters_grow_until_the_collector_starts_again(sender: Sender) -> None:
    """A restart is told in the log, and begins them anew."""
    offer(sender, NOW)
    sent = [one for seconds in range(30, 300) for one in sender.due(NOW + seconds)]
    totals = [total(json.loads(body)) for url, _, body in sent if url.endswith("/metrics")]
    assert len(totals) >= 4 and totals == sorted(totals)
    sender.agent.receive(opamp_pb2.ServerToAgent(command=opamp_pb2.ServerToAgentCommand()), NOW + 300)
    assert sender.due(NOW + 300) == []
    sender.agent.next_message(NOW + 310)
    sent = [one for seconds in range(310, 400) for one in sender.due(NOW + seconds)]
    assert "Everything is ready" in sent[0][2]
    assert total(json.loads(next(body for url, _, body in sent if url.endswith("/metrics")))) < totals[1]


def total(body: dict[str, Any]) -> float:
    """The spans that were accepted so far."""
    metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    (found,) = [one for one in metrics if one["name"] == "otelcol_receiver_accepted_spans"]
    value: float = found["sum"]["dataPoints"][0]["asDouble"]
    return value
