"""Servers that stop for a while: agents that are there all the same are shown so."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from counting import read_stream

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowkit.testing import eventually

pytestmark = pytest.mark.system

OFFLINE_SECONDS = 3
IMPATIENT = {
    "FLOWGATE_AGENT_REGISTRY_STALE_AFTER_SECONDS": "2",
    "FLOWGATE_AGENT_REGISTRY_OFFLINE_AFTER_SECONDS": str(OFFLINE_SECONDS),
    "FLOWGATE_AGENT_REGISTRY_SWEEP_SECONDS": "0.5",
    "FLOWGATE_OPAMP_GATEWAY_PING_INTERVAL_SECONDS": "1",
}


def statuses(running: Any) -> dict[str, int]:
    """How many gateways there are by their status."""
    with running.api() as api:
        answer = api.get("/fleet/summary")
    assert answer.status_code == 200, answer.text
    return {status: number for status, number in answer.json()["by_status"].items() if number}


async def disconnected(running: Any) -> list[str]:
    """Why agents were told to have gone."""
    facts = [fact for _, fact in await read_stream(running.connection["nats_url"], "AGENT_EVENTS")]
    return [fact.reason for fact in facts if isinstance(fact, agent_facts.AgentDisconnected)]


async def paused(pids: list[int], seconds: float) -> None:
    """Stop processes for so long; they go on where they were."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_who_is_silent_because_of_us_is_not_offline(flowgate_up: Callable[..., Any]) -> None:
    """While NATS hangs nobody is heard of, and nobody counts as gone for it. Agents of an ingress that hangs do, and
    are there again when it goes on, whatever they say meanwhile."""
    running = await asyncio.to_thread(flowgate_up, "--demo", environment=IMPATIENT)
    online = {"online": 6}
    await eventually(lambda: statuses(running), until=lambda found: found == online, seconds=30)
    await asyncio.sleep(OFFLINE_SECONDS + 1)  # so long a replica has to listen before it says so of anybody
    before = await disconnected(running)

    nats = [one.pid for one in psutil.Process(running.process.pid).children() if "nats-server" in one.name()]
    assert len(nats) == 1
    await paused(nats, 2 * OFFLINE_SECONDS)
    await eventually(lambda: statuses(running), until=lambda found: found == online, seconds=30)
    assert await disconnected(running) == before

    await paused(running.pids("opamp-gateway"), 2 * OFFLINE_SECONDS + 2)
    await eventually(lambda: statuses(running), until=lambda found: found == online, seconds=30)
    assert set((await disconnected(running))[len(before) :]) == {"silence"}
