"""What waits for an agent on HTTP comes with its regular poll, every 30 s, without anything that wakes it.

These agents have waited since the session began, beside the other tests; so this file comes last.
"""

import pytest
from interop_agents import Pollers
from interop_configs import exporters
from interop_flowgate import Api

pytestmark = pytest.mark.interop

POLL_SECONDS = 45.0


async def test_waiting_config_comes_with_the_next_regular_poll(api: Api, pollers: Pollers) -> None:
    """The configuration is offered in the answer to the poll, once, and applied."""
    poller = pollers.for_config
    await api.delivery(poller.order_id, "applied", seconds=POLL_SECONDS)
    assert {"debug/polled"} == exporters(await api.effective(poller.instance_id))
    history = await api.history(poller.instance_id, "config.delivery-state-changed", {"state": "applied"})
    assert [event["state"] for event in history] == ["pending", "offered", "applying", "applied"]


async def test_waiting_restart_comes_with_the_next_regular_poll(api: Api, pollers: Pollers) -> None:
    """The command comes in the answer to the poll: one restart, seen by the newer start of another process."""
    poller = pollers.for_restart
    command = await api.command(poller.order_id, "completed", seconds=POLL_SECONDS)
    assert command["type"] == "restart"
    gateway = await api.healthy(poller.instance_id)
    assert poller.started_at < gateway["started_at"]
    assert poller.collector != await poller.agent.collector()
    assert poller.starts + 1 == poller.agent.starts_of_collector()
    history = await api.history(poller.instance_id, "supervisor.command-state-changed", {"state": "completed"})
    assert [event["state"] for event in history] == ["pending", "delivered", "completed"]
    status = await api.get(f"/supervisor/agents/{poller.instance_id}/status")
    assert (status["collector_state"], status["collector_starts"]) == ("running", 3)  # own telemetry took one
