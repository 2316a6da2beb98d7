"""The status of a real supervisor and its collector in one answer."""

import pytest
from interop_agents import Fleet
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def test_a_healthy_one_is_fine(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """Nothing is made up; its status tells connection, supervisor, collector and own telemetry."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)

    async def status() -> Json:
        return await api.get(f"/supervisor/agents/{instance_id}/status")

    known = await eventually(status, seconds=20, until=lambda one: bool(one["own_telemetry"]["last_received_at"]))
    # After the offer the supervisor tells an error that means nothing.
    harmless = f"/supervisor/agents/{instance_id}/logs?q=Could not report OpAMP remote config status"
    await eventually(lambda: api.get(harmless), seconds=20, until=lambda answer: bool(answer["items"]))
    await api.healthy(instance_id)
    told = await api.get(f"/gateways/{instance_id}/diagnosis")
    assert (told["state"], told["findings"]) == ("ok", []), told
    assert known["connection"]["is_connected"] is True
    assert known["connection"]["transport"] == "websocket"
    assert known["connection"]["ingress"] and known["connection"]["remote_address"] and known["connection"]["since"]
    assert known["supervisor"]["is_running"] and known["supervisor"]["started_at"]
    assert known["supervisor"]["logs_path"] == str(agent.storage / "supervisor.log")
    assert known["collector"]["is_running"] and known["collector"]["started_at"]
    assert known["collector"]["is_crash_looping"] is False
    assert known["own_telemetry"]["state"] == "offered"
    allowed = {one["name"]: one["allowed"] for one in known["capabilities"]}
    assert allowed["AcceptsRemoteConfig"] is True
    assert allowed["AcceptsPackages"] is False
