"""The restart of a supervised collector."""

import pytest
from interop_agents import Fleet
from interop_flowgate import Api, FlowGate

pytestmark = pytest.mark.interop

STATE_CHANGED = "supervisor.command-state-changed"


async def test_restart_is_completed_once(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """202, then pending, delivered, completed: the collector is another process with a newer start, started once."""
    agent = fleet.supervisor(flowgate, "ws")
    instance_id = await agent.instance_id()
    before = await api.settled(instance_id)
    seen = (await api.get(f"/supervisor/agents/{instance_id}/status"))["collector_starts"]
    collector, starts = await agent.collector(), agent.starts_of_collector()

    async with api.listening() as events:
        ordered = await api.try_restart(instance_id)
        assert ordered.status_code == 202
        assert ordered.json()["state"] == "pending"
        command_id = ordered.json()["command_id"]
        assert f"/api/v1/commands/{command_id}" == ordered.headers["location"]
        await events.wait_for(instance_id, STATE_CHANGED, state="completed", command_id=command_id)
        after = await api.healthy(instance_id)
        again = await api.try_restart(instance_id)  # is possible as soon as the first one is done
        assert again.status_code == 202
        await events.wait_for(instance_id, STATE_CHANGED, state="completed", command_id=again.json()["command_id"])
        assert events.states(instance_id, STATE_CHANGED) == 2 * ["pending", "delivered", "completed"]

    assert before["started_at"] < after["started_at"]
    assert collector != await agent.collector()
    assert agent.starts_of_collector() - starts == 2
    status = await api.get(f"/supervisor/agents/{instance_id}/status")
    assert (status["collector_state"], status["collector_starts"]) == ("running", seen + 2)
    told = [one["attributes"] for one in await api.logs(instance_id) if one["attributes"].get("event") == "command"]
    assert [attributes["state"] for attributes in told] == 2 * ["pending", "delivered", "completed"]
