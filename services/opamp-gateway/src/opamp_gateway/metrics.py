"""What the ingress tells at /metrics: read at a scrape from what its parts count anyway."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from opamp_gateway import otlp
from opamp_gateway.connections import Connections
from opamp_gateway.delivery import Delivery
from opamp_gateway.desired import Desired
from opamp_gateway.handlers import Handlers
from opamp_gateway.listener import Listener
from opamp_gateway.telemetry import Telemetry
from opamp_gateway.uplink import Uplink


def figures(
    listener: Listener,
    connections: Connections,
    handlers: Handlers,
    uplink: Uplink,
    delivery: Delivery,
    desired: Desired,
    telemetry: Telemetry,
) -> Iterable[Metric]:
    """Everything, as it is now."""
    polling = len(connections.polling)
    sockets = {"websocket": len(listener.websockets), "http": len(listener.http)}
    yield _gauge("flowgate_opamp_connections", "Open connections of the agent plane", "transport", sockets)
    agents = {"websocket": len(connections.agents) - polling, "http": polling}
    yield _gauge("flowgate_opamp_agents", "Agents that are connected here", "transport", agents)

    counts = handlers.counts
    answers = ("stored", "current", "refused", "malformed", "renamed", "failed")
    yield _counter(
        "flowgate_opamp_messages",
        "Messages of agents by their answer: stored (durable), current (a heartbeat: nothing to store), refused"
        " (UNAVAILABLE), malformed, renamed (another uid), failed",
        ("outcome",),
        {(name,): getattr(counts, name) for name in answers},
    )
    yield CounterMetricFamily(
        "flowgate_opamp_sessions_restored",
        "Sessions that went on where another replica had left them",
        value=counts.restored,
    )
    yield CounterMetricFamily(
        "flowgate_opamp_full_state_requests", "Agents asked for their full state", value=delivery.full_state_requests
    )
    yield _counter(
        "flowgate_opamp_deliveries",
        "Offers and commands, by facet of the desired state and outcome: sent, failed",
        ("facet", "outcome"),
        {**dict.fromkeys(_DELIVERIES, 0), **delivery.sent},
    )
    yield GaugeMetricFamily(
        "flowgate_opamp_desired_agents", "Agents of which something is wished", value=len(desired.wishes)
    )
    yield _counter(
        "flowgate_opamp_http_rejections",
        "Requests refused before they were taken, by protocol (opamp, otlp) and HTTP status",
        ("protocol", "code"),
        {
            **dict.fromkeys(_UNAUTHORIZED, 0),
            **{(protocol, str(status)): count for (protocol, status), count in listener.rejections.items()},
        },
    )

    shards = uplink.shards
    waiters, size = shards.waiting
    yield shards.sizes.family("flowgate_uplink_batch_entries", "Entries of each batch that JetStream has stored")
    yield shards.latency.family(
        "flowgate_uplink_reply_duration_seconds", "From the first report of a batch until all of it is answered"
    )
    yield CounterMetricFamily(
        "flowgate_uplink_batch_retries", "Batches sent again: JetStream did not confirm them", value=shards.retries
    )
    yield GaugeMetricFamily("flowgate_uplink_waiting_reports", "Reports that wait for JetStream", value=waiters)
    yield GaugeMetricFamily("flowgate_uplink_waiting_bytes", "Bytes that wait for JetStream", value=size)

    yield _counter(
        "flowgate_telemetry_requests",
        "Export requests of own telemetry, by signal and HTTP status",
        ("signal", "code"),
        {
            **dict.fromkeys(product(_SIGNALS, ("200", "503")), 0),
            **{(signal, str(status)): count for (signal, status), count in telemetry.requests.items()},
        },
    )
    yield _counter(
        "flowgate_telemetry_records",
        "Log records, metrics and spans of own telemetry, by the outcome of their request: taken, refused",
        ("signal", "outcome"),
        {**dict.fromkeys(product(_SIGNALS, ("taken", "refused")), 0), **telemetry.records},
    )
    yield _counter(
        "flowgate_telemetry_rejected_records",
        "Log records, data points and spans that a request was taken without: no agent is named, or they are too large",
        ("signal",),
        {(signal,): telemetry.rejected[signal] for signal in _SIGNALS},
    )
    yield GaugeMetricFamily(
        "flowgate_telemetry_waiting_bytes",
        "Bytes of export requests that come in or wait for their answer",
        value=telemetry.held,
    )


# What is counted from 0 on, though it has not come: an increase is seen only of what was there before.
_DELIVERIES = tuple(product(("config", "connection", "command"), ("sent", "failed")))
_UNAUTHORIZED = tuple(product(("opamp", "otlp"), ("401",)))
_SIGNALS = tuple(signal.name for signal in otlp.SIGNALS.values())


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for keys, value in sorted(values.items()):
        family.add_metric(keys, value)
    return family
