"""Kill -9 of any service while agents report and configurations are pushed: what was answered is stored, once."""

import asyncio
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
import httpx2
import pytest
from counting import CountingAgent, backlog, outboxes, read_stream

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowkit.testing import eventually

pytestmark = pytest.mark.system

AGENTS = 200
PAUSE = (0.2, 0.5)  # s between two reports of an agent
PUSHED_TO = 20  # agents that get configurations
SERVICES = ("opamp-gateway", "agent-registry", "config-push", "supervisor-control", "api-gateway")
CONFIG = (
    "receivers: {nop: {}}\nexporters: {nop: {}}\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n"
)


async def push_until(stop: asyncio.Event, agents: list[CountingAgent], running: Any, accepted: list[str]) -> None:
    """Push configurations to some agents again and again; adds the deliveries that were accepted."""
    urls = running.connection.get("api_urls") or [running.connection["api_url"]]
    headers = {"Authorization": f"Bearer {running.connection['admin_token']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=5) as client:
        for round_, agent in ((round_, agent) for round_ in itertools.count() for agent in agents[:PUSHED_TO]):
            if stop.is_set():
                return
            url = f"{urls[round_ % len(urls)]}/api/v1/supervisor/ui/agents/{agent.uid}/config"
            with suppress(httpx2.HTTPError):
                answer = await client.post(url, json={"config": f"{CONFIG}# {round_}\n"})
                if answer.status_code == 202:
                    accepted.append(answer.json()["delivery_id"])
            await asyncio.sleep(0.05)


async def kill_one(running: Any, service: str) -> None:
    """Kill -9 one process of a service and wait until another one has taken its place and is ready."""
    victim = running.pids(service)[0]
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: victim not in running.pids(service) and all(running.pids(service)), seconds=20)


async def more_of(accepted: list[str]) -> None:
    """Wait until some more pushes were accepted."""
    wanted = len(accepted) + PUSHED_TO // 2
    await eventually(lambda: len(accepted) >= wanted, seconds=60)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_killed_services_lose_nothing_and_double_nothing(flowgate_up: Callable[..., Any], replicas: int) -> None:
    """Every report that was answered is one fact, every accepted push has its outcome, no fact is there twice."""
    running = await asyncio.to_thread(flowgate_up, "--replicas", str(replicas))
    database, bus = running.connection["database_url"], running.connection["nats_url"]
    stop = asyncio.Event()
    agents = [CountingAgent(number, running.opamp_urls, running.agent_headers, PAUSE) for number in range(AGENTS)]
    fleet = [asyncio.create_task(agent.run(stop)) for agent in agents]
    await eventually(lambda: all(agent.answered for agent in agents), seconds=60)
    accepted: list[str] = []
    pushing = asyncio.create_task(push_until(stop, agents, running, accepted))
    for service in SERVICES:
        await more_of(accepted)
        await kill_one(running, service)
    await more_of(accepted)
    before = [len(agent.answered) for agent in agents]
    await eventually(
        lambda: all(len(agent.answered) > many + 2 for agent, many in zip(agents, before, strict=True)), seconds=60
    )
    stop.set()
    await pushing
    await asyncio.gather(*fleet)
    await eventually(lambda: backlog(bus), seconds=120, until=lambda left: left == 0)
    await eventually(lambda: outboxes(database), seconds=60, until=lambda left: left == 0)

    facts = await read_stream(bus, "AGENT_EVENTS")
    assert [one for one, many in Counter(id_ for id_, _ in facts).items() if many > 1] == []
    told = Counter(
        (fact.instance_uid, fact.last_error) for _, fact in facts if isinstance(fact, agent_facts.AgentHealthChanged)
    )
    expected = {(str(agent.uid), str(number)) for agent in agents for number in agent.answered}
    assert len(expected) > 10 * AGENTS
    assert sorted(expected - told.keys()) == []
    assert [key for key, many in told.items() if many > 1] == []
    registered = Counter(fact.instance_uid for _, fact in facts if isinstance(fact, agent_facts.AgentRegistered))
    assert registered == dict.fromkeys((str(agent.uid) for agent in agents), 1)

    moves = Counter(
        (fact.delivery_id, fact.state)
        for _, fact in await read_stream(bus, "CONFIG_EVENTS")
        if isinstance(fact, config_facts.DeliveryStateChanged)
    )
    assert [key for key, many in moves.items() if many > 1] == []
    done = (config_facts.DELIVERY_STATE_APPLIED, config_facts.DELIVERY_STATE_SUPERSEDED)
    assert [one for one in accepted if not any((one, state) in moves for state in done)] == []
    connection = await asyncpg.connect(database)
    stored = await connection.fetch("SELECT delivery_id, state FROM config_push.deliveries WHERE is_latest")
    lines = await connection.fetch(
        "SELECT instance_uid, body, count(*) FROM supervisor_control.agent_logs WHERE source = 'supervisor'"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    await connection.close()
    assert {row["state"] for row in stored} == {"applied"}
    assert [(str(row["instance_uid"]), row["body"]) for row in lines if row["body"].isdigit()] == []
