"""Connection settings by policy, on real supervisors."""

import asyncio

import pytest
from interop_agents import Fleet, Supervisor
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def test_an_interval_outlives_the_supervisor(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """It does not store what it was offered of heartbeats, so a new process is offered all of it again; its own
    telemetry is stored, and the same again restarts no collector."""
    agent = fleet.supervisor(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.settled(instance_id)
    await api.label(instance_id, beat="fast")

    async def offered() -> Json:
        settings: Json = (await api.get(f"/supervisor/agents/{instance_id}/status"))["own_telemetry"]
        return settings

    async def beats_fast() -> None:
        """A heartbeat every second; it is one in 30 s otherwise."""
        times: set[str] = set()

        async def seen() -> int:
            times.add((await api.gateway(instance_id))["last_seen_at"])
            return len(times)

        await eventually(seen, seconds=20, until=lambda many: many >= 5)

    policy = {"selector": {"beat": "fast"}, "heartbeat_interval_seconds": 1}
    response = await api.client.put("/supervisor/policies/beat", json=policy)
    assert response.status_code == 200, response.text
    before = await eventually(
        offered, until=lambda one: one["state"] == "offered" and one["heartbeat_interval_seconds"] == 1
    )
    await beats_fast()
    await asyncio.sleep(10)  # an agent that begins anew right after an offer is not offered the same again
    restarts = restarts_for_config(agent)
    assert restarts == 1  # own telemetry
    agent.stop()
    agent.start()
    await eventually(offered, seconds=20, until=lambda one: one["offered_at"] > before["offered_at"])
    await api.healthy(instance_id)
    await beats_fast()
    deleted = await api.client.delete("/supervisor/policies/beat")
    assert deleted.status_code == 200, deleted.text
    back = await eventually(offered, until=lambda one: one["heartbeat_interval_seconds"] == 30)
    assert back["own_logs"]
    assert restarts_for_config(agent) == restarts


def restarts_for_config(agent: Supervisor) -> int:
    """How often the supervisor has restarted its collector for another configuration, by its own log."""
    return agent.log.read_text().count("Config is changed. Signal to restart the agent")
