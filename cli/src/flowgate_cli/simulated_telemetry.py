"""Own telemetry of simulated agents: what a real collector sends of itself to where it was told, as OTLP/JSON."""

import json
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flowgate_cli.simulation import SimulatedAgent

METRICS_SECONDS = 60.0  # as the real ones' default
NOTES_SECONDS = 45.0  # a collector has something to say about that often
_ITEMS = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
_NOTES = (
    (9, "INFO", "Memory usage after GC.", {"cur_mem_mib": 62}),
    (9, "INFO", "Exporting failed. Will retry the request after interval.", {"interval": "4.2s"}),
    (13, "WARN", "Dropping data because sending_queue is close to its capacity.", {"queue_size": 812}),
)

Body = tuple[str, tuple[tuple[str, str], ...], str]
"""URL, headers and JSON text of one request."""


@dataclass
class Sender:
    """What one agent sends of itself, and when."""

    agent: SimulatedAgent
    metrics_at: float = 0.0
    note_at: float = 0.0
    starts: int = 0  # collector starts that were told
    totals: dict[str, float] = field(default_factory=dict)

    def due(self, now: float) -> list[Body]:
        """Requests to make now; none while the collector does not run or was not told where to."""
        if not self.agent.is_running:
            return []
        telemetry = self.agent.own_telemetry
        found: list[Body] = []
        records: list[dict[str, Any]] = []
        if self.starts != self.agent.collector_starts:
            self.starts = self.agent.collector_starts
            self.totals.clear()
            self.metrics_at = now + random.uniform(1, METRICS_SECONDS / 2)
            self.note_at = now + random.uniform(1, NOTES_SECONDS)
            records.append(_record(now, 9, "INFO", "Everything is ready. Begin running and processing data.", {}))
        if now >= self.note_at:
            self.note_at = now + random.uniform(0.5, 1.5) * NOTES_SECONDS
            records.append(_record(now, *random.choices(_NOTES, (8, 2, 1))[0]))
        if telemetry.logs[0] and records:
            scope = {"scope": {"name": "go.opentelemetry.io/collector/service"}, "logRecords": records}
            body = {"resourceLogs": [{"resource": self._resource(), "scopeLogs": [scope]}]}
            found.append((*telemetry.logs, json.dumps(body)))
        if telemetry.metrics[0] and now >= self.metrics_at:
            self.metrics_at = now + METRICS_SECONDS
            scope = {"scope": {"name": "go.opentelemetry.io/collector/service"}, "metrics": self._metrics(now)}
            body = {"resourceMetrics": [{"resource": self._resource(), "scopeMetrics": [scope]}]}
            found.append((*telemetry.metrics, json.dumps(body)))
        return found

    def _resource(self) -> dict[str, Any]:
        return {"attributes": _attributes({"service.name": "otelcol", "service.instance.id": self._uid})}

    @property
    def _uid(self) -> str:
        return str(UUID(bytes=self.agent.uid))

    def _metrics(self, now: float) -> list[dict[str, Any]]:
        rate = random.uniform(20, 40)  # items a second
        found = [
            _gauge("otelcol_process_memory_rss", "By", now, random.gauss(95e6, 4e6), {}),
            self._sum("otelcol_process_cpu_seconds", "s", now, METRICS_SECONDS * random.uniform(0.01, 0.03), {}),
        ]
        for items in _ITEMS.values():
            count = rate * METRICS_SECONDS * random.uniform(0.8, 1.2)
            receiver, exporter = {"receiver": "otlp"}, {"exporter": "otlp"}
            found.append(self._sum(f"otelcol_receiver_accepted_{items}", f"{{{items}}}", now, count, receiver))
            found.append(self._sum(f"otelcol_exporter_sent_{items}", f"{{{items}}}", now, count, exporter))
        found.append(
            _gauge("otelcol_exporter_queue_size", "{batches}", now, random.randint(0, 40), {"exporter": "otlp"})
        )
        found.append(_gauge("otelcol_exporter_queue_capacity", "{batches}", now, 1000, {"exporter": "otlp"}))
        return found

    def _sum(self, name: str, unit: str, now: float, more: float, attributes: dict[str, Any]) -> dict[str, Any]:
        self.totals[name] = self.totals.get(name, 0.0) + more
        point = {**_point(now, attributes), "asDouble": self.totals[name]}
        return {
            "name": name,
            "unit": unit,
            "sum": {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True},
        }


def _gauge(name: str, unit: str, now: float, value: float, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "unit": unit, "gauge": {"dataPoints": [{**_point(now, attributes), "asDouble": value}]}}


def _point(now: float, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"timeUnixNano": str(int(now * 1e9)), "attributes": _attributes(attributes)}


def _record(now: float, number: int, severity: str, text: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "timeUnixNano": str(int(now * 1e9)),
        "severityNumber": number,
        "severityText": severity.lower(),
        "body": {"stringValue": text},
        "attributes": _attributes(attributes),
    }


def _attributes(pairs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": str(value)}} for key, value in pairs.items()]
