"""What agent-registry tells at /metrics of its own."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from agent_registry.registry import Registry


async def figures(registry: Registry, now: datetime) -> Iterable[Metric]:
    """The fleet in numbers; each replica tells the whole of it."""
    gateways = GaugeMetricFamily(
        "flowgate_gateways",
        "Gateways of the fleet, the same from every replica, by management mode, status (online, stale, offline) and"
        " health (healthy, unhealthy, unknown)",
        labels=["management_mode", "status", "health"],
    )
    for row in await registry.store.sizes(registry.stale_before(now)):
        gateways.add_metric([row["mode"], row["status"], row["health"]], row["number"])
    return [gateways]
