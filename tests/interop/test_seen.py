"""Agents that connect are seen as what they are."""

from typing import Any

import pytest
from interop_agents import Agent, Fleet
from interop_flowgate import Api, FlowGate

from flowkit.testing import eventually

pytestmark = pytest.mark.interop

TRANSPORTS = {"ws": "websocket", "http": "http"}


async def test_supervisor_is_seen_online_and_healthy(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """A supervisor that starts is in the list as `supervisor`, healthy, and the event stream tells of it."""
    async with api.listening() as events:
        agent = fleet.supervisor(flowgate, transport)
        instance_id = await agent.instance_id()
        registered = await events.wait_for(instance_id, "agent.registered")
        connected = await events.wait_for(instance_id, "agent.connected")
        await events.wait_for(instance_id, "agent.health-changed", healthy=True)
        await events.wait_for(instance_id, "supervisor.status-changed", collector_state="running")

    gateway = await api.healthy(instance_id)
    assert "supervisor" == gateway["management_mode"] == registered["management_mode"]
    assert TRANSPORTS[transport] == gateway["transport"] == connected["transport"]
    assert gateway["gateway_id"] == registered["gateway_id"] == connected["gateway_id"]
    assert {"AcceptsRemoteConfig", "AcceptsRestartCommand", "ReportsHealth"} <= set(gateway["capabilities"])
    assert (gateway["agent_type"], gateway["version"]) == ("fgcol", "0.149.0")

    await api.settled(instance_id)
    [listed] = await api.gateways(management_mode="supervisor", status="online", healthy="true", q=instance_id)
    assert instance_id == listed["instance_id"]
    status = await api.get(f"/supervisor/agents/{instance_id}/status")
    assert (status["collector_state"], status["collector_starts"]) == ("running", 2)  # own telemetry took one
    assert status["connection"]["is_connected"] and status["connection"]["transport"] == TRANSPORTS[transport]
    assert status["supervisor"]["started_at"] < status["collector"]["started_at"]
    assert not status["collector"]["is_crash_looping"]
    assert {one["name"] for one in status["capabilities"] if one["allowed"]} == set(gateway["capabilities"])
    description = await api.get(f"/supervisor/agents/{instance_id}/description")
    assert instance_id == description["identifying_attributes"]["service.instance.id"]
    assert description["non_identifying_attributes"]["fg.labels.site"] == "plant-1"


async def test_extension_is_seen_online_and_healthy(flowgate: FlowGate, api: Api, fleet: Fleet, transport: str) -> None:
    """A collector with the plain opampextension is in the list as `extension`, healthy with its components."""
    agent = fleet.extension(flowgate, transport)
    found = await api.on_host(agent.host)
    gateway = await api.healthy(found["gateway_id"])
    assert gateway["management_mode"] == "extension"
    assert TRANSPORTS[transport] == gateway["transport"]
    assert {"ReportsStatus", "ReportsEffectiveConfig", "ReportsHealth", "ReportsAvailableComponents"} == set(
        gateway["capabilities"]
    )

    async def exporter() -> bool:
        parts = (await api.get(f"/gateways/{gateway['gateway_id']}/health"))["components"]
        pipeline = parts.get("pipeline:metrics", {"components": {}})
        return bool(pipeline["components"].get("exporter:debug", {"healthy": False})["healthy"])

    await eventually(exporter)
    config = await eventually(lambda: api.effective(gateway["gateway_id"]))
    assert config["service"]["pipelines"]["metrics"]["receivers"] == ["hostmetrics"]
    assert await api.gateways(management_mode="supervisor", q=agent.host) == []
    refused = await api.client.get(f"/supervisor/agents/{gateway['instance_id']}/status")
    assert refused.status_code == 404


@pytest.mark.parametrize("mode", ["supervisor", "extension"])
async def test_components_are_listed(flowgate: FlowGate, api: Api, fleet: Fleet, transport: str, mode: str) -> None:
    """Agents report the hash of their components and the list only when they are asked for it."""
    if mode == "supervisor":
        instance_id = await fleet.supervisor(flowgate, transport).instance_id()
    else:
        instance_id = (await api.on_host(fleet.extension(flowgate, transport).host))["instance_id"]

    async def components() -> dict[str, Any]:
        parts: dict[str, Any] = (await api.get(f"/gateways/{instance_id}/version"))["components"]
        return parts

    await api.healthy(instance_id)
    listed = await eventually(components)
    assert {"connectors", "exporters", "extensions", "processors", "receivers"} == set(listed)
    assert {"debug", "nop", "otlp_http"} == set(listed["exporters"]["components"])
    module = listed["receivers"]["components"]["hostmetrics"]["metadata"]["code.namespace"]
    assert module.endswith("/receiver/hostmetricsreceiver v0.149.0")


@pytest.mark.parametrize("token", ["wrong", "admin"])
async def test_wrong_token_is_refused(flowgate: FlowGate, api: Api, fleet: Fleet, transport: str, token: str) -> None:
    """Without the enrollment token an agent gets 401 and is never seen; the operators' token is none either."""
    given = "not-the-token" if token == "wrong" else flowgate.connection["admin_token"]
    supervisor = fleet.supervisor(flowgate, transport, token=given)
    extension = fleet.extension(flowgate, transport, token=given)

    def is_refused(agent: Agent) -> bool:
        words = agent.log.read_text()
        return "status=401" in words or "response from server: 401" in words

    await eventually(lambda: is_refused(supervisor) and is_refused(extension), seconds=20)
    assert await api.gateways(q=await supervisor.instance_id()) == []
    assert await api.gateways(q=extension.host) == []
