"""A plain extension is only looked at: it is never told to do anything."""

import pytest
from interop_agents import Fleet
from interop_configs import good
from interop_flowgate import Api, FlowGate

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def test_extension_is_never_given_orders(flowgate: FlowGate, api: Api, fleet: Fleet, transport: str) -> None:
    """Config and restart are refused with the capability that is lacking, and nothing of it reaches the agent."""
    agent = fleet.extension(flowgate, transport)
    gateway = await api.healthy((await api.on_host(agent.host))["gateway_id"])
    instance_id = gateway["instance_id"]
    before = await eventually(lambda: api.effective(instance_id))

    async with api.listening() as events:
        for one in (instance_id, gateway["gateway_id"]):
            refused = await api.try_push(one, good("unwanted"))
            assert refused.status_code == 409
            assert refused.json()["capability"] == "AcceptsRemoteConfig"
            assert "AcceptsRemoteConfig" in refused.json()["detail"]
            refused = await api.try_restart(one)
            assert refused.status_code == 409
            assert refused.json()["capability"] == "AcceptsRestartCommand"
            assert "AcceptsRestartCommand" in refused.json()["detail"]
        # It goes on, says something, and is answered: whatever waited for it would have come by then.
        await eventually(
            lambda: api.gateway(instance_id),
            until=lambda now: transport == "ws" or now["last_seen_at"] > gateway["last_seen_at"],
        )
        agent.stop()
        await events.wait_for(instance_id, "agent.health-changed", healthy=False)
        assert events.of(instance_id, "config.delivery-state-changed") == []
        assert events.of(instance_id, "supervisor.command-state-changed") == []

    assert flowgate.offers(instance_id) == 0
    config = await api.get(f"/gateways/{instance_id}/config")
    assert (config["assigned"], config["delivery"], config["state"]) == (None, None, None)
    assert before == await api.effective(instance_id)
