"""Collector configurations for the tests, and pushing them."""

from interop_agents import Supervisor
from interop_flowgate import Api, Json


def good(name: str) -> str:
    """One that runs; its exporter has this name, so that its effect can be seen."""
    return f"""\
# pushed by a test, with a comment
receivers:
  nop:
processors:
  batch/{name}:
exporters:
  debug/{name}:
service:
  pipelines:
    metrics:
      receivers: [nop]
      processors: [batch/{name}]
      exporters: [debug/{name}]
"""


def listening_at(address: str) -> str:
    """One whose collector ends at once when something else listens at that address."""
    return f"""\
receivers:
  otlp:
    protocols:
      http:
        endpoint: {address}
exporters:
  debug:
service:
  pipelines:
    metrics:
      receivers: [otlp]
      exporters: [debug]
"""


UNSTARTABLE = """\
receivers:
  nop:
exporters:
  no_such_exporter:
service:
  pipelines:
    metrics:
      receivers: [nop]
      exporters: [no_such_exporter]
"""

UNPARSABLE = """\
receivers:
  nop:
exporters: [debug
service:
"""


async def apply(api: Api, agent: Supervisor, name: str) -> str:
    """Push a configuration that runs and wait until the agent says that it has applied it; the delivery's id."""
    instance_id = await agent.instance_id()
    delivery_id = await api.push(instance_id, good(name))
    for _ in range(3):  # one that is stopped for own telemetry at that moment says nothing
        await agent.speak()
        if await api.is_taken(delivery_id):
            break
    await api.delivery(delivery_id, "applied")
    return delivery_id


def exporters(config: Json) -> set[str]:
    """Names of the exporters in a collector's configuration."""
    return set(config["exporters"])
