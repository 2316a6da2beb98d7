"""The small fleet of `flowgate up --demo`."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import httpx2

from flowgate_cli.connection import Connection
from flowgate_cli.sim import Fleet, FleetPlan

AGENTS, SUPERVISED = 6, 4
LABELS = {"env": "demo"}
LABEL_SECONDS = 60.0


async def demo_fleet(connection: Connection, say: Callable[[str, str], None]) -> None:
    """Run the simulated agents until cancelled, labelled `env=demo`."""
    plan = FleetPlan(
        urls=connection.opamp_urls,
        token=connection.enrollment_token,
        agents=AGENTS,
        supervised_ratio=SUPERVISED / AGENTS,
        seed="demo",
        attributes={"deployment.environment.name": "demo"},
        apply_seconds=2.0,
    )
    fleet = Fleet(plan, lambda text: say("warning", f"demo fleet: {text}"))
    labelling = asyncio.create_task(_label(connection, [str(UUID(bytes=one.uid)) for one in fleet.agents]))
    try:
        await fleet.run()
    finally:
        labelling.cancel()
        await asyncio.gather(labelling, return_exceptions=True)


async def _label(connection: Connection, uids: list[str]) -> None:
    """Give each agent its label as soon as it is known."""
    headers = {"Authorization": f"Bearer {connection.admin_token}"}
    waiting = set(uids)
    async with httpx2.AsyncClient(base_url=connection.api_url, headers=headers, timeout=10.0) as client:
        async with asyncio.timeout(LABEL_SECONDS):
            while waiting:
                for uid in sorted(waiting):
                    try:
                        answer = await client.patch(f"/api/v1/gateways/{uid}", json={"labels": LABELS})
                    except httpx2.HTTPError:
                        continue
                    if answer.status_code != 404:  # not registered yet
                        waiting.discard(uid)
                await asyncio.sleep(0.5)
