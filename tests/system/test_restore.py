"""A backup is PostgreSQL and the secrets; NATS begins empty."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flowgate_cli.sim import Fleet, FleetPlan
from flowkit.embedded import EmbeddedPostgres
from flowkit.embedded.postgres import binaries_folder
from flowkit.migrate import migrate
from flowkit.testing import eventually

pytestmark = pytest.mark.system

AGENTS, SUPERVISED = 8, 5
OWNERS = ("agent_registry", "config_push", "supervisor_control")
CONFIG = (
    "receivers: {{nop: {{}}}}\nexporters: {{nop: {{}}}}\n"
    "service: {{pipelines: {{logs: {{receivers: [nop], exporters: [nop]}}}}}}\n# {}\n"
)
BY_MACHINE = {"remote_address", "ingress", "connected_at", "last_seen_at", "disconnected_at", "disconnect_reason",
              "status", "sequence_num", "healthy", "health", "supervisor_status", "connection"}  # fmt: skip


def program(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [binaries_folder() / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def fleet(running: Any, token: str) -> Fleet:
    return Fleet(
        FleetPlan(
            urls=running.opamp_urls,
            token=token,
            agents=AGENTS,
            supervised_ratio=SUPERVISED / AGENTS,
            seed="restored",
            apply_seconds=0.1,
        )
    )


async def get(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    answer.raise_for_status()
    return answer.json()


async def known(client: httpx2.AsyncClient) -> dict[str, Any]:
    """All that people decided and agents told, without what depends on connections."""
    gateways = (await get(client, "/gateways?limit=100"))["items"]
    paths = [f"/gateways/{one['gateway_id']}/config/history" for one in gateways]
    return {
        "gateways": [{name: one[name] for name in one if name not in BY_MACHINE} for one in gateways],
        "deliveries": [await get(client, path) for path in sorted(paths)],
        "tokens": await get(client, "/enrollment-tokens"),
        "policies": await get(client, "/supervisor/policies"),
        "operations": await get(client, "/supervisor/operations"),
    }


def identities(gateways: list[Any]) -> list[tuple[Any, ...]]:
    names = ("gateway_id", "instance_id", "name", "management_mode", "labels", "first_seen_at")
    return [tuple(one[name] for name in names) for one in gateways]


async def online(client: httpx2.AsyncClient) -> list[Any]:
    return list((await get(client, "/gateways?status=online&limit=100"))["items"])


def client_of(running: Any) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {running.connection['admin_token']}"}
    return httpx2.AsyncClient(base_url=running.connection["api_url"] + "/api/v1", headers=headers, timeout=10)


async def test_a_restore_gives_the_same_fleet(flowgate_up: Callable[..., Any], data_dir: Path) -> None:
    """Dumped while it runs and restored elsewhere: the same gateways, deliveries, tokens and policies; agents come back
    with the tokens they have, and a configuration that waited for one of them reaches it."""
    dump = data_dir / "flowgate.dump"
    first = await asyncio.to_thread(flowgate_up)
    async with client_of(first) as client:
        made = await client.post("/enrollment-tokens", json={"name": "restored", "labels": {"team": "a"}})
        token = made.json()["token"]
        agents = asyncio.create_task(fleet(first, token).run())

        items = await eventually(lambda: online(client), seconds=30, until=lambda found: len(found) == AGENTS)
        supervised = sorted(one["instance_id"] for one in items if one["management_mode"] == "supervisor")
        policy = {"selector": {"team": "a"}, "own_metrics": False}
        assert (await client.put("/supervisor/policies/team-a", json=policy)).status_code == 200
        order = {"action": "push_config", "config": CONFIG.format(1), "selector": {"labels": {"team": "a"}},
                 "max_unavailable": "100%"}  # fmt: skip
        operation = (await client.post("/supervisor/operations", json=order)).json()
        path = f"/supervisor/operations/{operation['operation_id']}"
        await eventually(lambda: get(client, path), seconds=30, until=lambda one: bool(one["is_over"]))
        agents.cancel()
        await asyncio.gather(agents, return_exceptions=True)
        await eventually(lambda: online(client), seconds=30, until=lambda found: not found)
        pushed = await client.post(f"/supervisor/ui/agents/{supervised[0]}/config", json={"config": CONFIG.format(2)})
        waiting = f"/deliveries/{pushed.json()['delivery_id']}"
        assert (await get(client, waiting))["state"] == "pending"
        before = await known(client)
        await asyncio.to_thread(
            program, "pg_dump", "--format=custom", f"--file={dump}", first.connection["database_url"]
        )
    await asyncio.to_thread(first.process.terminate)
    await asyncio.to_thread(first.process.wait, 15)

    second = data_dir / "second"
    second.mkdir()
    shutil.copy(first.data_dir / "secrets.json", second / "secrets.json")
    with EmbeddedPostgres(data_dir / "restored") as server:
        await migrate(server.url, dict.fromkeys(OWNERS, ""))  # the roles
        await asyncio.to_thread(program, "pg_restore", "--clean", "--if-exists", f"--dbname={server.url}", str(dump))
        environment = {"FLOWGATE_DATABASE_URL": server.url}
        restored = await asyncio.to_thread(flowgate_up, data_dir=second, environment=environment)
        async with client_of(restored) as client:
            assert await known(client) == before
            agents = asyncio.create_task(fleet(restored, token).run())
            try:
                delivered = await eventually(
                    lambda: get(client, waiting), seconds=60, until=lambda one: bool(one["state"] == "applied")
                )
                assert delivered["instance_id"] == supervised[0]
                await eventually(lambda: online(client), until=lambda found: len(found) == AGENTS)
                assert identities((await known(client))["gateways"]) == identities(before["gateways"])
            finally:
                agents.cancel()
                await asyncio.gather(agents, return_exceptions=True)
        await asyncio.to_thread(restored.process.terminate)
        await asyncio.to_thread(restored.process.wait, 15)
