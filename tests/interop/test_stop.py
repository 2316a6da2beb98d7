"""Agents that stop, and agents that come back."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import pytest
from interop_agents import Extension, Fleet, Supervisor
from interop_configs import apply, good
from interop_flowgate import Api, FlowGate

from flowkit.testing import eventually

pytestmark = pytest.mark.interop

HEARTBEAT_SECONDS = 1
INACTIVE_SECONDS = 3 * HEARTBEAT_SECONDS  # an agent on HTTP that said nothing for so long is gone
REASONS = {"ws": "agent", "http": "timeout"}  # over WebSocket it says goodbye, or its connection ends


@pytest.fixture(scope="module")
def brisk_flowgate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowGate]:
    """FlowGate that gives up silent agents soon."""
    settings = {"OPAMP_GATEWAY_HEARTBEAT_INTERVAL_SECONDS": str(HEARTBEAT_SECONDS)}
    with FlowGate(tmp_path_factory.mktemp("brisk"), **settings) as running:
        yield running


@pytest.fixture
async def brisk_api(brisk_flowgate: FlowGate) -> AsyncIterator[Api]:
    """Its API."""
    async with brisk_flowgate.api() as client:
        yield client


@pytest.mark.parametrize("mode", ["supervisor", "extension"])
async def test_stopped_agent_is_offline(
    brisk_flowgate: FlowGate, brisk_api: Api, fleet: Fleet, transport: str, mode: str
) -> None:
    """Over WebSocket it is offline at once, over HTTP as soon as it was silent for too long; never healthy then."""
    agent: Supervisor | Extension
    if mode == "supervisor":
        agent = fleet.supervisor(brisk_flowgate, transport)
        instance_id = await agent.instance_id()
    else:
        agent = fleet.extension(brisk_flowgate, transport)
        instance_id = (await brisk_api.on_host(agent.host))["instance_id"]
    await brisk_api.healthy(instance_id)

    async with brisk_api.listening() as events:
        agent.stop()
        gone = await events.wait_for(instance_id, "agent.disconnected", reason=REASONS[transport])
        gateway = await brisk_api.with_status(instance_id, "offline")

    assert (gateway["health"]["state"], gateway["health"]["healthy"]) == ("unknown", None)
    if transport == "ws":  # over HTTP its last words may not get out any more
        assert gateway["health"]["last_known"]["healthy"] is False
    assert instance_id not in [one["instance_id"] for one in await brisk_api.gateways(healthy="true")]
    silent = datetime.fromisoformat(gone["occurred_at"]) - datetime.fromisoformat(gateway["last_seen_at"])
    if transport == "http":
        assert INACTIVE_SECONDS - 0.5 < silent.total_seconds() < INACTIVE_SECONDS + 5
    else:
        assert silent.total_seconds() < INACTIVE_SECONDS - 0.5


async def test_extension_that_starts_again_is_the_same_gateway(
    brisk_flowgate: FlowGate, brisk_api: Api, fleet: Fleet, transport: str
) -> None:
    """It makes up a new instance_uid at each start; gateway_id, name and labels stay."""
    agent = fleet.extension(brisk_flowgate, transport)
    before = await brisk_api.healthy((await brisk_api.on_host(agent.host))["gateway_id"])
    await brisk_api.label(before["gateway_id"], site="south", line="7")
    agent.stop()
    await brisk_api.with_status(before["gateway_id"], "offline")

    async with brisk_api.listening() as events:
        agent.start()
        after = await brisk_api.healthy(before["gateway_id"])
        told = await events.wait_for(before["gateway_id"], "agent.reidentified")
        assert events.of(before["gateway_id"], "agent.registered") == []

    assert before["instance_id"] != after["instance_id"]
    assert (before["instance_id"], after["instance_id"]) == (told["previous_instance_id"], told["instance_id"])
    assert after["labels"] == {"site": "south", "line": "7"}
    assert [before["gateway_id"]] == [one["gateway_id"] for one in await brisk_api.gateways(q=agent.host)]
    assert [before["gateway_id"]] == [
        one["gateway_id"] for one in await brisk_api.gateways(label="line=7", q=agent.host)
    ]


async def test_supervisor_that_starts_again_keeps_its_config(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """It is the same gateway and says that it has its configuration: nothing is delivered a second time."""
    agent = fleet.supervisor(flowgate, transport)
    instance_id = await agent.instance_id()
    before = await api.healthy(instance_id)
    await api.label(instance_id, site="north")
    delivery_id = await apply(api, agent, "kept")
    known = await api.healthy(instance_id)

    async with api.listening() as events:
        agent.stop()
        agent.start()
        after = await api.restarted(instance_id, known)
        assert before["gateway_id"] == after["gateway_id"]
        assert after["labels"] == {"site": "north"}
        # Another round of messages: whatever waited for it would have come by then.
        second = await apply(api, agent, "second")
        await events.wait_for(instance_id, "config.delivery-state-changed", state="applied", delivery_id=second)
        assert {second} == {one["delivery_id"] for one in events.of(instance_id, "config.delivery-state-changed")}

    assert (await api.get(f"/deliveries/{delivery_id}"))["state"] == "applied"
    assert flowgate.offers(instance_id) == 2 + agent.false_alarms()
    assert [before["gateway_id"]] == [one["gateway_id"] for one in await api.gateways(q=instance_id)]


async def test_config_waits_for_an_agent_that_is_away(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """A configuration pushed to a stopped supervisor is what it gets when it is back."""
    agent = fleet.supervisor(flowgate, transport)
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)
    agent.stop()
    if transport == "ws":
        await api.with_status(instance_id, "offline")
    delivery_id = await api.push(instance_id, good("waiting"))
    agent.start()
    known = await eventually(
        lambda: api.get(f"/gateways/{instance_id}/config"),
        until=lambda config: config["delivery"]["state"] in ("applied", "failed"),
    )
    assert (known["delivery"]["delivery_id"], known["delivery"]["state"]) == (delivery_id, "applied")
    assert known["reported"]["config_hash"] == known["assigned"]["config_hash"]
    assert good("waiting") in agent.received_config()
    assert flowgate.offers(instance_id) == 1 + agent.false_alarms()
