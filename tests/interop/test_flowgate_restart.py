"""FlowGate is stopped and started again while agents are connected."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from interop_agents import Agent, Fleet, Supervisor
from interop_configs import apply, exporters, good
from interop_flowgate import Api, FlowGate, Json

pytestmark = pytest.mark.interop

AGENTS = ("supervisor-ws", "supervisor-http", "extension-ws", "extension-http")


@dataclass
class Restarted:
    """What was known before the restart, by agent."""

    flowgate: FlowGate
    agents: dict[str, Agent] = field(default_factory=dict)
    before: dict[str, Json] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)
    waiting: str = ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def restarted(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restarted]:
    """A FlowGate that was restarted under agents of both modes on both transports.

    A configuration waits for the supervisor on HTTP meanwhile, and the collector of the other one starts anew.
    """
    folder = tmp_path_factory.mktemp("restarted")
    with FlowGate(folder) as flowgate, Fleet(binaries, folder) as fleet:
        known = Restarted(flowgate)
        for name in AGENTS:
            mode, transport = name.split("-")
            make = fleet.supervisor if mode == "supervisor" else fleet.extension
            known.agents[name] = make(flowgate, transport)
        async with flowgate.api() as api:
            for name, agent in known.agents.items():
                if isinstance(agent, Supervisor):
                    instance_id = await agent.instance_id()
                    await api.healthy(instance_id)
                    known.applied[name] = await apply(api, agent, "before")
                else:
                    instance_id = (await api.on_host(agent.host))["instance_id"]
                await api.label(instance_id, agent=name)
                known.before[name] = await api.healthy(instance_id)
            known.waiting = await api.push(known.before["supervisor-http"]["instance_id"], good("waiting"))
        flowgate.stop()
        os.kill(await known.agents["supervisor-ws"].collector(), signal.SIGHUP)
        flowgate.start()
        yield known


@pytest_asyncio.fixture
async def restarted_api(restarted: Restarted) -> AsyncIterator[Api]:
    """The API after the restart, with all agents back."""
    async with restarted.flowgate.api() as api:
        for before in restarted.before.values():
            await api.healthy(before["instance_id"], seconds=40)
        yield api


async def test_no_gateway_is_lost_or_doubled(restarted: Restarted, restarted_api: Api) -> None:
    """Four agents before, the same four after, each registered once."""
    listed = {one["labels"]["agent"]: one for one in await restarted_api.gateways()}
    assert set(AGENTS) == set(listed)
    for name, before in restarted.before.items():
        for member in ("gateway_id", "instance_id", "name", "labels", "management_mode", "first_seen_at"):
            assert before[member] == listed[name][member]
        assert len(await restarted_api.history(before["instance_id"], "agent.registered", {})) == 1
    assert (await restarted_api.get("/fleet/summary"))["total"] == 4


@pytest.mark.parametrize("name", ["supervisor-ws", "supervisor-http"])
async def test_what_was_applied_is_still_known(restarted: Restarted, restarted_api: Api, name: str) -> None:
    """The delivery and the log records of before are there, and nothing is delivered a second time."""
    instance_id = restarted.before[name]["instance_id"]
    assert (await restarted_api.get(f"/deliveries/{restarted.applied[name]}"))["state"] == "applied"
    history = await restarted_api.history(
        instance_id, "config.delivery-state-changed", {"state": "applied", "delivery_id": restarted.applied[name]}
    )
    told = [event["state"] for event in history if event["delivery_id"] == restarted.applied[name]]
    assert told == ["pending", "offered", "applying", "applied"]
    assert any(one["attributes"].get("state") == "applied" for one in await restarted_api.logs(instance_id))


async def test_change_meanwhile_is_seen(restarted: Restarted, restarted_api: Api) -> None:
    """What an agent could not tell while FlowGate was away it tells when it is back: here a new start."""
    before = restarted.before["supervisor-ws"]
    await restarted_api.restarted(before["instance_id"], before)


async def test_config_that_waited_is_delivered(restarted: Restarted, restarted_api: Api) -> None:
    """A delivery that was pending at the stop goes on after the start."""
    instance_id = restarted.before["supervisor-http"]["instance_id"]
    agent = restarted.agents["supervisor-http"]
    assert isinstance(agent, Supervisor)
    await agent.speak()
    await restarted_api.delivery(restarted.waiting, "applied")
    assert {"debug/waiting"} == exporters(await restarted_api.effective(instance_id))


@pytest.mark.parametrize("name", ["supervisor-ws", "supervisor-http"])
async def test_config_pushed_afterwards_is_applied(restarted: Restarted, restarted_api: Api, name: str) -> None:
    """Agents that stayed while FlowGate went take orders as before."""
    instance_id = restarted.before[name]["instance_id"]
    agent = restarted.agents[name]
    assert isinstance(agent, Supervisor)
    await apply(restarted_api, agent, "afterwards")
    assert {"debug/afterwards"} == exporters(await restarted_api.effective(instance_id))
    await restarted_api.healthy(instance_id)
