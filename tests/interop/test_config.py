"""Configurations pushed to a supervised collector: applied, failed with its own words, or refused before."""

import os
import re
import signal

import pytest
from interop_agents import Fleet
from interop_configs import UNPARSABLE, UNSTARTABLE, apply, exporters, good
from interop_flowgate import Api, FlowGate

from flowkit.testing import eventually

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
        states = events.states(instance_id, STATE_CHANGED)
        assert [None, *states[:-1]] == [event["previous_state"] for event in events.of(instance_id, STATE_CHANGED)]
        assert [*states[:3], states[-1]] == ["pending", "offered", "applying", "applied"]
        assert len(states) == 4 or agent.false_alarms()
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
    assert told == states
    assert flowgate.offers(instance_id) == 1 + agent.false_alarms()


async def test_config_that_cannot_start_fails_with_the_agents_words(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """Unchecked by the supervisor, a bad config ends the collector: the API says what the supervisor says of that,
    sent again it is applied no more than before, and the next good config brings it back."""
    agent = fleet.supervisor(flowgate, transport, FG_VALIDATE="false")
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    await apply(api, agent, "before")

    async with api.listening() as events:
        delivery_id = await api.push(instance_id, UNSTARTABLE)
        await agent.speak()
        failed = await api.delivery(delivery_id, "failed")
        if not agent.false_alarms():
            assert failed["error"] == "Agent exited unexpectedly with exit code 1 while applying configuration"
        assert re.search("exited unexpectedly.* exit code[ =]1", failed["error"])
        await events.wait_for(instance_id, "supervisor.status-changed", collector_state="crashed")
        told = await events.wait_for(instance_id, STATE_CHANGED, state="failed")
        assert failed["error"] == told["error"]
        states = events.states(instance_id, STATE_CHANGED)
        assert [*states[:3], states[-1]] == ["pending", "offered", "applying", "failed"]
        assert len(states) == 4 or agent.false_alarms()

    config = await api.get(f"/gateways/{instance_id}/config")
    assert ("failed", failed["error"]) == (config["state"], config["error"])
    if not agent.false_alarms():
        assert ("failed", failed["error"]) == (config["reported"]["status"], config["reported"]["error"])
    health = await api.get(f"/gateways/{instance_id}/health")
    assert health["healthy"] is False
    assert "exited unexpectedly, exit code=1" in health["last_error"]
    assert any(failed["error"] in one["body"] and one["severity"] == "ERROR" for one in await api.logs(instance_id))

    # The supervisor tries again every 5 s and says so. What it has already it calls applied at once.
    again = await api.delivery(await api.push(instance_id, UNSTARTABLE), "failed")
    assert "exited unexpectedly, exit code=1" in again["error"]
    delivery_id = await api.push(instance_id, good("after"))
    await api.delivery(delivery_id, "applied")
    await api.healthy(instance_id)
    assert {"debug/after"} == exporters(await api.effective(instance_id))
    assert flowgate.offers(instance_id) == 4 + agent.false_alarms()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_a_collector_that_somebody_ends_while_it_applies_gets_there(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str, by: signal.Signals
) -> None:
    """The supervisor blames the configuration; it is sent again, and applied when the collector is seen to run."""
    agent = fleet.supervisor(flowgate, transport, FG_VALIDATE="false")  # a check is a process that could be hit as well
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    await apply(api, agent, "before")
    before, offers, alarms = await agent.collector(), flowgate.offers(instance_id), agent.false_alarms()
    async with api.listening() as events:
        await api.push(instance_id, good("ended"))
        await agent.speak()
        [ended] = await eventually(agent.collectors, until=lambda found: len(found) == 1 and found != [before])
        if agent.false_alarms() == alarms:  # else the supervisor has seen an end by itself, where there was none
            os.kill(ended, by)
        await events.wait_for(instance_id, STATE_CHANGED, seconds=20, state="applied")
        states = events.states(instance_id, STATE_CHANGED)
        assert [state for state in states if state != "applying"] == [
            "pending",
            "offered",
            "pending",
            "offered",
            "applied",
        ]
    await api.healthy(instance_id)
    assert {"debug/ended"} == exporters(await api.effective(instance_id))
    assert flowgate.offers(instance_id) == offers + 2


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
