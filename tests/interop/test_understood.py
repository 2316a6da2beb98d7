"""What an operator sees of a real collector without logging in to its host: status, diagnosis, bulk operations."""

import socket

import pytest
from interop_agents import Fleet
from interop_configs import UNSTARTABLE, good
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


def listening_on(port: int) -> str:
    """A configuration whose receiver listens on this port."""
    return f"""\
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  nop:
service:
  pipelines:
    logs:
      receivers: [otlp]
      exporters: [nop]
"""


async def diagnosis(api: Api, agent: str) -> Json:
    """Why it does not do well."""
    return await api.get(f"/gateways/{agent}/diagnosis")


async def test_a_healthy_one_is_fine(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """Nothing is made up; its status tells connection, supervisor, collector and own telemetry."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)

    async def status() -> Json:
        return await api.get(f"/supervisor/agents/{instance_id}/status")

    known = await eventually(status, seconds=20, until=lambda one: bool(one["own_telemetry"]["last_received_at"]))
    await api.healthy(instance_id)
    told = await diagnosis(api, instance_id)
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


async def test_a_refused_configuration_is_explained(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """The probable cause names the component, in the collector's words."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    delivery_id = await api.push(instance_id, UNSTARTABLE)
    await api.delivery(delivery_id, "failed")
    told = await diagnosis(api, instance_id)
    first = told["findings"][0]
    assert first["is_probable_cause"]
    assert "no_such_exporter" in first["statement"]
    assert (first["component"], first["config_key"]) == ("exporter:no_such_exporter", "exporters.no_such_exporter")
    assert any("no_such_exporter" in one["text"] for one in first["evidence"])
    assert told["state"] == "attention"  # the collector runs on with what it had


async def test_a_crash_loop_is_seen_and_explained(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """A port in use passes the validation and stops the collector at each start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = fleet.gateway(flowgate, "ws")
        instance_id = await agent.instance_id()
        await api.healthy(instance_id)
        delivery_id = await api.push(instance_id, listening_on(port))
        await api.delivery(delivery_id, "failed")

        async def is_looping() -> bool:
            known = await api.get(f"/supervisor/agents/{instance_id}/status")
            return bool(known["collector"]["is_crash_looping"])

        await eventually(is_looping, seconds=40)  # it is tried again every 5 s
        told = await diagnosis(api, instance_id)
        assert told["state"] == "failing"
        first = told["findings"][0]
        assert first["is_probable_cause"]
        assert str(port) in first["statement"]
        assert first["component"] == "receiver:otlp"
        assert any("address already in use" in one["text"] for one in first["evidence"])
        assert any("configuration" in change["text"] for change in told["changes_before"])
    await api.delivery(await api.push(instance_id, good("recovered")), "applied")
    await api.healthy(instance_id)


async def test_one_that_went_away_is_explained(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """A goodbye is told from a lost connection."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    agent.stop()
    await api.with_status(instance_id, "offline")
    told = await diagnosis(api, instance_id)
    assert told["state"] == "gone"
    assert "stopped" in told["summary"] or "goodbye" in told["summary"]


async def test_bulk_operations_reach_real_collectors(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """One at a time, each with its outcome; the extension is skipped, with why."""
    agents = [fleet.supervisor(flowgate, "ws") for _ in range(2)]
    ids = [await agent.instance_id() for agent in agents]
    extension = fleet.extension(flowgate, "ws")
    seen = await api.on_host(extension.host)
    for one in ids:
        await api.healthy(one)

    async def done(operation: Json) -> Json:
        path = f"/supervisor/operations/{operation['operation_id']}"
        return await eventually(lambda: api.get(path), seconds=40, until=lambda one: bool(one["is_over"]))

    begun = await api.client.post(
        "/supervisor/operations",
        json={"action": "push_config", "instance_ids": [*ids, seen["instance_id"]], "config": good("bulk")},
    )
    assert begun.status_code == 202, begun.text
    ended = await done(begun.json())
    outcomes = {target["instance_id"]: (target["state"], target["reason"]) for target in ended["targets"]}
    assert [outcomes[one] for one in ids] == [("succeeded", None)] * 2
    state, reason = outcomes[seen["instance_id"]]
    assert state == "skipped" and "AcceptsRemoteConfig" in reason
    for one in ids:
        assert "debug/bulk" in (await api.effective(one))["exporters"]

    begun = await api.client.post("/supervisor/operations", json={"action": "restart", "instance_ids": ids})
    ended = await done(begun.json())
    assert (ended["state"], ended["succeeded"]) == ("succeeded", 2)
