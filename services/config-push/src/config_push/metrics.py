"""What config-push tells at /metrics of its own."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from config_push import domain
from config_push.handlers import ConfigPush
from flowgate.config.v1 import events_pb2 as facts
from flowkit.metrics import FactCounter

_NAMES = {number: name for name, number in domain.STATES.items()}

DELIVERIES = FactCounter(
    facts.DeliveryStateChanged,
    "flowgate_config_delivery_changes",
    "Deliveries that reached a state: pending, offered, applying, applied, failed, superseded",
    {"state": lambda fact: _NAMES.get(fact.state, "unspecified")},
    {"state": domain.STATES},
)


async def figures(push: ConfigPush, now: datetime) -> Iterable[Metric]:
    """Where the fleet's configurations are; each replica tells the whole of it."""
    agents = GaugeMetricFamily(
        "flowgate_config_agents",
        "Agents by the state of their latest delivery, the same from every replica",
        labels=["state"],
    )
    counts = await push.store.count_by_state()
    for state in domain.STATES:
        agents.add_metric([state], counts.get(state, 0))
    since = await push.store.applying_since()
    return [
        agents,
        GaugeMetricFamily(
            "flowgate_config_longest_applying_seconds",
            "How long the agent has been applying its latest delivery that has been for longest, the same from every"
            " replica; 0 when none is",
            value=(now - since).total_seconds() if since is not None else 0.0,
        ),
    ]
