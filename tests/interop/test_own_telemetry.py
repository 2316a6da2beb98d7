"""Own telemetry of real supervisors and collectors: offered once, received, and read through the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from interop_agents import Fleet, GatewaySupervisor
from interop_configs import good
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop

SOURCES = {"supervisor", "collector", "flowgate"}
READY = "Everything is ready"


async def records(api: Api, agent: str, **query: str | int) -> list[Json]:
    """Log records, newest first."""
    response = await api.client.get(f"/supervisor/agents/{agent}/logs", params={"limit": 1000, **query})
    assert response.status_code == 200, response.text
    items: list[Json] = response.json()["items"]
    return items


async def exports(api: Api, agent: str, signal: str = "logs") -> bool:
    """Whether the agent says that it sends this signal here."""
    return f"/v1/{signal}" in json.dumps((await api.effective(agent)).get("service", {}))


def changes(agent: GatewaySupervisor) -> int:
    """How often what the server sent made the supervisor change its running collector's configuration."""
    return agent.log.read_text().count("Config is changed. Signal to restart the agent")


async def test_logs_of_supervisor_and_collector_arrive(
    flowgate: FlowGate, api: Api, fleet: Fleet, transport: str
) -> None:
    """Both sources, by the configuration of the collector image and the offer; filters and pages fit the whole."""
    agent = fleet.gateway(flowgate, transport)
    instance_id = await agent.instance_id()
    assert instance_id == agent.uid
    await api.healthy(instance_id)

    async def sources() -> set[str]:
        return {record["source"] for record in await records(api, instance_id)}

    # over HTTP the offer comes with the answer to the second report at the earliest, or to the next poll
    await eventually(sources, seconds=45, until=SOURCES.issubset)
    everything = await eventually(
        lambda: records(api, instance_id), until=lambda found: says(found, "collector", READY)
    )
    assert says(everything, "supervisor", "Agent process started")
    assert everything == sorted(everything, key=lambda record: record["timestamp"], reverse=True)

    ready = await records(api, instance_id, source="collector", q=READY.upper())
    assert ready and all(READY in record["body"] for record in ready)

    async def pages_fit() -> bool:
        """Unless more comes in between."""
        whole = await records(api, instance_id)
        return [record["body"] async for record in paged(api, instance_id)] == [record["body"] for record in whole]

    await eventually(pages_fit)


def says(found: list[Json], source: str, text: str) -> bool:
    return any(record["source"] == source and text in record["body"] for record in found)


async def paged(api: Api, agent: str) -> AsyncIterator[Json]:
    """Log records page by page."""
    cursor: str | None = None
    while True:
        query = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        page = (await api.client.get(f"/supervisor/agents/{agent}/logs", params=query)).json()
        for record in page["items"]:
            yield record
        cursor = page["next_cursor"]
        if not cursor:
            return


async def test_the_tail_tells_of_what_comes(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """Server-sent records of a restart, each with a cursor."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await eventually(lambda: exports(api, instance_id), seconds=20)
    await api.healthy(instance_id)
    heard: list[str] = []

    async def listen() -> None:
        async with api.client.stream("GET", f"/supervisor/agents/{instance_id}/logs/stream") as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                heard.append(line)

    listening = asyncio.create_task(listen())
    try:
        await eventually(lambda: bool(heard), seconds=10)
        ordered = await api.try_restart(instance_id)
        assert ordered.status_code == 202, ordered.text
        for text in (READY, "Agent process started"):
            await eventually(lambda text=text: any(text in line for line in heard), seconds=20)  # type: ignore[misc]
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_metrics_arrive(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """A collector sends its metrics every minute, and what it has when it stops."""
    agent = fleet.gateway(flowgate, "ws")
    instance_id = await agent.instance_id()
    await eventually(lambda: exports(api, instance_id, "metrics"), seconds=20)
    await api.healthy(instance_id)
    delivery_id = await api.push(instance_id, good("measured"))  # the collector that runs is stopped for it
    await api.delivery(delivery_id, "applied")

    async def known() -> Json:
        return await api.get(f"/gateways/{instance_id}/metrics")

    found = await eventually(known, seconds=20, until=lambda answer: bool(answer["series"]))
    memory = [series for series in found["series"] if "process" in series["name"] and "memory" in series["name"]]
    assert memory and all(any(value and value > 1e6 for value in series["values"]) for series in memory)
    assert any("process" in name and "cpu" in name for name in found["names"]), "a rate needs two exports"
    status = await api.get(f"/gateways/{instance_id}/status")
    assert status["metrics"]


async def restart(api: Api, instance_id: str) -> None:
    """Restart the collector by command: the supervisor has dealt with whatever it was sent before."""
    ordered = await api.try_restart(instance_id)
    assert ordered.status_code == 202, ordered.text
    await api.command(ordered.json()["command_id"], "completed")


async def test_an_offer_is_made_once(tmp_path: Path, binaries: Path) -> None:
    """Neither a reconnection, nor a restart of FlowGate or of the supervisor, offers again what the agent has."""
    with FlowGate(tmp_path / "flowgate") as flowgate, Fleet(binaries, tmp_path / "agents") as fleet:
        agent = fleet.gateway(flowgate, "ws")
        instance_id = await agent.instance_id()
        async with flowgate.api() as api:
            await eventually(lambda: exports(api, instance_id), seconds=20)
            await restart(api, instance_id)
        assert changes(agent) == 1
        flowgate.stop()
        flowgate.start()
        async with flowgate.api() as api:
            await api.healthy(instance_id)
            await restart(api, instance_id)
            agent.stop()
            await api.with_status(instance_id, "offline")
            agent.start()
            await api.healthy(instance_id)
            await restart(api, instance_id)
            assert changes(agent) == 1
            assert await exports(api, instance_id)


async def test_policy_switches_logs_off_and_says_what_restarts(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """By label: the dry run tells one restart, the change makes it, and the heartbeat alone restarts nothing."""
    agent, other = fleet.gateway(flowgate, "ws"), fleet.gateway(flowgate, "ws")
    instance_id, other_id = await agent.instance_id(), await other.instance_id()
    for one in (instance_id, other_id):
        await eventually(lambda one=one: exports(api, one), seconds=20)  # type: ignore[misc]
        await api.healthy(one)
    await api.label(instance_id, quiet="yes")
    policy = {"selector": {"quiet": "yes"}, "own_logs": False, "own_metrics": False}

    async def put(*, dry_run: bool, **more: object) -> Json:
        path = f"/supervisor/policies/quiet?dry_run={str(dry_run).lower()}"
        response = await api.client.put(path, json=policy | more)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def told() -> int:
        restarts: int = (await put(dry_run=True))["effect"]["restarts"]
        return restarts

    assert await eventually(told, seconds=10) == 1
    starts, starts_of_other = agent.starts_of_collector(), other.starts_of_collector()
    assert (await put(dry_run=False))["effect"]["restarts"] == 1
    await eventually(lambda: exports(api, instance_id), seconds=20, until=lambda is_sent: not is_sent)
    await api.healthy(instance_id)
    assert agent.starts_of_collector() == starts + 1
    assert other.starts_of_collector() == starts_of_other

    changed = await put(dry_run=False, heartbeat_interval_seconds=1)
    assert (changed["effect"]["offers"], changed["effect"]["restarts"]) == (1, 0)

    times: set[str] = set()

    async def beats() -> int:
        times.add((await api.gateway(instance_id))["last_seen_at"])
        return len(times)

    await eventually(beats, seconds=15, until=lambda many: many >= 5)  # it was one in 30 s before
    assert agent.starts_of_collector() == starts + 1
    assert (await api.gateway(instance_id))["status"] == "online"
    deleted = await api.client.delete("/supervisor/policies/quiet")
    assert deleted.status_code in (200, 204), deleted.text
