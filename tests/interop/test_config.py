"""Configurations pushed to a supervised collector: applied, failed with its own words, or refused before."""

import pytest
from interop_agents import Fleet
from interop_configs import UNPARSABLE, UNSTARTABLE, apply, exporters, good
from interop_flowgate import Api, FlowGate

pytestmark = pytest.mark.interop

STATE_CHANGED = "config.delivery-state-changed"


async def test_pushed_config_is_applied(flowgate: FlowGate, api: Api, fleet: Fleet, transport: str) -> None:
    """202, then pending, offered, applying, applied, each told once; the collector runs with what was pushed."""
    agent = fleet.supervisor(flowgate, transport)
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)

    async with api.listening() as events:
        delivery_id = await apply(api, agent, "first")
        await events.wait_for(instance_id, STATE_CHANGED, state="applied", delivery_id=delivery_id)
        assert events.states(instance_id, STATE_CHANGED) == ["pending", "offered", "applying", "applied"]
        assert [event["previous_state"] for event in events.of(instance_id, STATE_CHANGED)] == [
            None,
            "pending",
            "offered",
            "applying",
        ]
        assert events.of(instance_id, "config.effective-config-changed")

    effective = await api.effective(instance_id)
    assert {"debug/first"} == exporters(effective)
    assert effective["service"]["pipelines"]["metrics"]["processors"] == ["batch/first"]
    config = await api.get(f"/supervisor/ui/agents/{instance_id}/effective-config")
    assert ("applied", None, good("first")) == (config["state"], config["error"], config["assigned"]["config"])
    assert config["assigned"]["config_hash"] == config["reported"]["config_hash"]
    gateway = await api.healthy(instance_id)
    health = await api.get(f"/gateways/{gateway['gateway_id']}/health")
    assert "exporter:debug/first" in health["components"]["pipeline:metrics"]["components"]
    told = [
        one["attributes"]["state"] for one in await api.logs(instance_id) if one["attributes"].get("event") == "config"
    ]
    assert told == ["pending", "offered", "applying", "applied"]
    assert flowgate.offers(instance_id) == 1


async def test_config_that_cannot_start_fails_with_the_agents_words(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """Unchecked by the supervisor, a bad config ends the collector: the API says what the supervisor says of that,
    and the next good config brings it back."""
    agent = fleet.supervisor(flowgate, transport, FG_VALIDATE="false")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    await apply(api, agent, "before")

    async with api.listening() as events:
        delivery_id = await api.push(instance_id, UNSTARTABLE)
        await agent.speak()
        failed = await api.delivery(delivery_id, "failed")
        assert failed["error"] == "Agent exited unexpectedly with exit code 1 while applying configuration"
        await events.wait_for(instance_id, "supervisor.status-changed", collector_state="crashed")
        told = await events.wait_for(instance_id, STATE_CHANGED, state="failed")
        assert failed["error"] == told["error"]
        assert events.states(instance_id, STATE_CHANGED) == ["pending", "offered", "applying", "failed"]

    config = await api.get(f"/gateways/{instance_id}/config")
    assert ("failed", failed["error"]) == (config["state"], config["error"])
    assert ("failed", failed["error"]) == (config["reported"]["status"], config["reported"]["error"])
    health = await api.get(f"/gateways/{instance_id}/health")
    assert health["healthy"] is False
    assert "exited unexpectedly, exit code=1" in health["last_error"]
    assert any(failed["error"] in one["body"] and one["severity"] == "ERROR" for one in await api.logs(instance_id))

    delivery_id = await api.push(instance_id, good("after"))  # the supervisor tries again every 5 s and says so
    await api.delivery(delivery_id, "applied")
    await api.healthy(instance_id)
    assert {"debug/after"} == exporters(await api.effective(instance_id))
    assert flowgate.offers(instance_id) == 3


async def test_config_that_the_supervisor_rejects_leaves_the_collector_alone(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """Checked by the supervisor, a bad config fails with the collector's own words while the good one runs on."""
    agent = fleet.supervisor(flowgate, transport, FG_VALIDATE="true")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    await apply(api, agent, "before")
    collector = await agent.collector()

    delivery_id = await api.push(instance_id, UNSTARTABLE)
    await agent.speak()
    failed = await api.delivery(delivery_id, "failed")
    assert 'unknown type: "no_such_exporter"' in failed["error"]
    await api.healthy(instance_id)
    assert collector == await agent.collector()
    assert {"debug/before"} == exporters(await api.effective(instance_id))
    config = await api.get(f"/gateways/{instance_id}/config")
    assert (config["state"], config["assigned"]["config"]) == ("failed", UNSTARTABLE)

    await apply(api, agent, "after")
    await api.healthy(instance_id)
    assert {"debug/after"} == exporters(await api.effective(instance_id))


async def test_unparsable_config_never_reaches_the_agent(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """422 with line and column; nothing is assigned, and the agent is never sent anything."""
    agent = fleet.supervisor(flowgate, transport)
    instance_id = await agent.instance_id()
    # A restart ordered while opampsupervisor v0.149 restarts its collector for own telemetry leaves it with two, and
    # hanging when it is stopped.
    gateway = await api.settled(instance_id)

    async with api.listening() as events:
        refused = await api.try_push(instance_id, UNPARSABLE)
        assert refused.status_code == 422
        [error] = refused.json()["errors"]
        assert (error["loc"], error["line"], error["column"]) == ("body.config", 4, 8)
        assert error["message"] in refused.json()["detail"]
        # It says something and is answered: whatever waited for it would have come with that.
        ordered = await api.try_restart(instance_id)
        assert ordered.status_code == 202
        await agent.speak()
        await events.wait_for(instance_id, "supervisor.command-state-changed", state="completed")
        assert events.of(instance_id, STATE_CHANGED) == []

    config = await api.get(f"/gateways/{gateway['gateway_id']}/config")
    assert (config["assigned"], config["delivery"], config["reported"]["status"]) == (None, None, "unset")
    assert flowgate.offers(instance_id) == 0
    assert agent.received_config() == ""
