"""What supervisor-control tells at /metrics of its own."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from flowgate.supervisor.v1 import events_pb2 as facts
from flowkit.metrics import FactCounter
from supervisor_control.domain.supervisors import STATES
from supervisor_control.handlers.control import Control

_NAMES = {number: name for name, number in STATES.items()}

COMMANDS = FactCounter(
    facts.CommandStateChanged,
    "flowgate_command_changes",
    "Commands that reached a state: pending, delivered, completed, failed, expired",
    {"type": lambda fact: fact.type, "state": lambda fact: _NAMES.get(fact.state, "unspecified")},
    {"type": ("restart",), "state": STATES},
)


async def figures(control: Control, now: datetime) -> Iterable[Metric]:
    """Bulk operations under way; each replica tells the whole of it."""
    operations, waiting, running = await control.operations.sizes()
    targets = GaugeMetricFamily(
        "flowgate_operation_targets",
        "Agents of bulk operations without an outcome yet, the same from every replica, by state: waiting, running",
        labels=["state"],
    )
    targets.add_metric(["waiting"], waiting)
    targets.add_metric(["running"], running)
    return [
        GaugeMetricFamily(
            "flowgate_operations_running",
            "Bulk operations that are not over, the same from every replica",
            value=operations,
        ),
        targets,
    ]
