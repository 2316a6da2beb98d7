"""A store that is lost comes back from the agents."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from flowkit.testing import eventually

pytestmark = pytest.mark.system


async def test_a_registry_that_lost_everything_gets_it_again(flowgate_up: Callable[..., Any]) -> None:
    """Item 44: connected agents are asked for their full state; nobody has to reconnect."""
    running = await asyncio.to_thread(flowgate_up, "--demo")

    def fleet() -> dict[str, str]:
        with running.api() as api:
            return {one["instance_id"]: one["name"] for one in api.get("/gateways").json()["items"]}

    known = await eventually(fleet, until=lambda found: len(found) >= 6)
    connection = await asyncpg.connect(running.connection["database_url"])
    assert await connection.execute("DELETE FROM agent_registry.gateways") == f"DELETE {len(known)}"
    await connection.close()
    await eventually(fleet, seconds=60, until=lambda found: found == known)
