"""A backup is PostgreSQL and the secrets, taken while FlowGate runs; NATS begins empty."""

import asyncio
import itertools
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flowgate_cli.sim import Fleet, FleetPlan
from flowkit import tasks
from flowkit.embedded import EmbeddedPostgres
from flowkit.embedded.postgres import binaries_folder
from flowkit.migrate import migrate
from flowkit.testing import eventually

pytestmark = pytest.mark.system

AGENTS, SUPERVISED = 8, 5
METRIC = "otelcol_process_memory_rss"
KNOWN = ("healthy", "health_status", "last_error", "since")
OWNERS = ("agent_registry", "config_push", "supervisor_control")
CONFIG = (
    "receivers: {{nop: {{}}}}\nexporters: {{nop: {{}}}}\n"
    "service: {{pipelines: {{logs: {{receivers: [nop], exporters: [nop]}}}}}}\n# {}\n"
)
# Of a connection, which no backup brings back; what is only written now and then; what is computed when it is read.
BY_CONNECTION = {"status", "ingress", "remote_address", "connected_at", "disconnected_at", "connection"}
LEFT_OUT = BY_CONNECTION | {"last_seen_at", "uptime_seconds"}
MOVED = {"since", "updated_at", "sequence_num"}  # by each report, onwards


def program(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [binaries_folder() / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def fleet(running: Any, token: str, seed: str, agents: int) -> Fleet:
    """Agents that report all the time."""
    return Fleet(
        FleetPlan(
            urls=running.opamp_urls,
            token=token,
            agents=agents,
            supervised_ratio=SUPERVISED / AGENTS,
            seed=seed,
            apply_seconds=0.1,
            report_seconds=0.2,
        )
    )


def settled() -> datetime:
    """A moment of which everything that was sent is stored."""
    return datetime.now(UTC) - timedelta(seconds=3)


async def get(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    answer.raise_for_status()
    return answer.json()


async def known(client: httpx2.AsyncClient) -> dict[str, Any]:
    """All that people decided and agents told."""
    gateways = {one["gateway_id"]: one for one in (await get(client, "/gateways?limit=100"))["items"]}
    supervised = sorted(one["instance_id"] for one in gateways.values() if one["management_mode"] == "supervisor")
    each = {id_: f"/gateways/{id_}" for id_ in sorted(gateways)}
    return {
        "gateways": gateways,
        "details": {id_: await get(client, path) for id_, path in each.items()},
        "health": {id_: await get(client, f"{path}/health") for id_, path in each.items()},
        "configs": {id_: await get(client, f"{path}/config") for id_, path in each.items()},
        "deliveries": {id_: await get(client, f"{path}/config/history") for id_, path in each.items()},
        "supervisors": {id_: await get(client, f"/supervisor/agents/{id_}/status") for id_ in supervised},
        "tokens": await get(client, "/enrollment-tokens"),
        "policies": await get(client, "/supervisor/policies"),
        "operations": await get(client, "/supervisor/operations"),
    }


def changes(before: Any, now: Any, after: Any, at: str = "") -> list[str]:
    """Where a state is not one between two others: what was said of agents apart from their connections."""
    if isinstance(before, dict) and isinstance(now, dict) and isinstance(after, dict):
        if "last_known" in before:  # of an agent that is offline: what it said is one level below
            before, now, after = (one["last_known"] or {k: one[k] for k in KNOWN} for one in (before, now, after))
        names = (before.keys() | now.keys() | after.keys()) - LEFT_OUT
        return [
            found
            for name in sorted(names)
            for found in changes(before.get(name), now.get(name), after.get(name), f"{at}/{name}")
        ]
    if (
        isinstance(before, list)
        and isinstance(now, list)
        and isinstance(after, list)
        and len(before) == len(now) == len(after)
    ):
        return [
            found
            for number, three in enumerate(zip(before, now, after, strict=True))
            for found in changes(*three, f"{at}/{number}")
        ]
    is_between = at.rpartition("/")[2] in MOVED and None not in (before, now, after) and before <= now <= after
    return [] if is_between or now in (before, after) else [f"{at}: {before!r}, {now!r}, {after!r}"]


def identities(gateways: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("gateway_id", "instance_id", "name", "management_mode", "labels", "first_seen_at")
    return sorted(tuple(str(one[name]) for name in names) for one in gateways.values())


async def online(client: httpx2.AsyncClient) -> list[Any]:
    return list((await get(client, "/gateways?status=online&limit=100"))["items"])


async def telemetry(client: httpx2.AsyncClient, instance_id: str, until: datetime) -> tuple[list[Any], Any]:
    """Every log record of an agent, newest first, and its metrics in the minute before a time."""
    records: list[Any] = []
    cursor = ""
    while True:
        page = await get(client, f"/gateways/{instance_id}/logs?limit=1000&source=collector&cursor={cursor}")
        records += page["items"]
        if not (cursor := page["next_cursor"] or ""):
            break
    window = {"since": (until - timedelta(minutes=1)).isoformat(), "until": until.isoformat(), "step": 1}
    series = await client.get(f"/gateways/{instance_id}/metrics", params={"names": METRIC, **window})
    series.raise_for_status()
    return records, series.json()


def is_enough(told: tuple[list[Any], Any]) -> bool:
    """To see a difference in."""
    return len(told[0]) > 40 and bool(told[1]["series"]) and len({*told[1]["series"][0]["values"]} - {None}) > 1


async def chatter(running: Any, token: str, instance_id: str) -> None:
    """An agent tells log records and a gauge of itself, numbered, again and again."""
    base = running.connection["opamp_url"].replace("ws://", "http://").removesuffix("/v1/opamp")
    resource = {"attributes": [{"key": "service.instance.id", "value": {"stringValue": instance_id}}]}
    async with httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {token}"}) as client:
        for number in itertools.count():
            at = str(time.time_ns())
            record = {"timeUnixNano": at, "severityNumber": 9, "body": {"stringValue": f"record {number}"}}
            point = {"timeUnixNano": at, "asDouble": number}
            logs = [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]
            metrics = [{"name": METRIC, "unit": "1", "gauge": {"dataPoints": [point]}}]
            await client.post("/v1/logs", json={"resourceLogs": logs})
            await client.post(
                "/v1/metrics",
                json={"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]},
            )
            await asyncio.sleep(0.05)


def client_of(running: Any) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {running.connection['admin_token']}"}
    return httpx2.AsyncClient(base_url=running.connection["api_url"] + "/api/v1", headers=headers, timeout=10)


async def test_a_restore_gives_the_same_fleet(flowgate_up: Callable[..., Any], data_dir: Path) -> None:
    """Dumped while agents report and restored elsewhere: everything is as it was at a moment of the dump, logs and
    metrics too; agents come back with their tokens, and a configuration that waited for one of them reaches it."""
    dump = data_dir / "flowgate.dump"
    first = await asyncio.to_thread(flowgate_up)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(client_of(first))
        made = await client.post("/enrollment-tokens", json={"name": "restored", "labels": {"team": "a"}})
        token = made.json()["token"]
        away = asyncio.create_task(fleet(first, token, "away", 1).run())
        (waiter,) = await eventually(lambda: online(client), seconds=30, until=lambda found: len(found) == 1)
        await tasks.cancel(away)
        await eventually(lambda: online(client), seconds=30, until=lambda found: not found)
        agents = asyncio.create_task(fleet(first, token, "restored", AGENTS).run())
        stack.push_async_callback(tasks.cancel, agents)

        items = await eventually(lambda: online(client), seconds=30, until=lambda found: len(found) == AGENTS)
        talker = next(one["instance_id"] for one in items if one["management_mode"] == "supervisor")
        policy = {"selector": {"team": "a"}, "own_metrics": False}
        assert (await client.put("/supervisor/policies/team-a", json=policy)).status_code == 200
        supervised = [one["instance_id"] for one in items if one["management_mode"] == "supervisor"]
        order = {
            "action": "push_config",
            "config": CONFIG.format(1),
            "instance_ids": supervised,
            "max_unavailable": "100%",
        }
        operation = (await client.post("/supervisor/operations", json=order)).json()
        path = f"/supervisor/operations/{operation['operation_id']}"
        await eventually(lambda: get(client, path), seconds=30, until=lambda one: bool(one["is_over"]))
        pushed = await client.post(
            f"/supervisor/ui/agents/{waiter['instance_id']}/config", json={"config": CONFIG.format(2)}
        )
        waiting = f"/deliveries/{pushed.json()['delivery_id']}"
        stack.push_async_callback(tasks.cancel, asyncio.create_task(chatter(first, token, talker)))
        await eventually(lambda: telemetry(client, talker, settled()), seconds=30, until=is_enough)

        moment = settled()
        before, told_before = await known(client), await telemetry(client, talker, moment)
        await asyncio.to_thread(
            program, "pg_dump", "--format=custom", f"--file={dump}", first.connection["database_url"]
        )
        after, told_after = await known(client), await telemetry(client, talker, moment)
        assert (await get(client, waiting))["state"] == "pending"
        assert before != after and not agents.done()  # they did not stand still
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
        async with client_of(restored) as client, AsyncExitStack() as stack:
            assert changes(before, await known(client), after) == []
            records, series = await telemetry(client, talker, moment)
            assert len(told_before[0]) <= len(records) <= len(told_after[0])
            assert records == told_after[0][len(told_after[0]) - len(records) :]
            assert is_enough((records, series)) and series == told_before[1]
            for seed, count in (("away", 1), ("restored", AGENTS)):
                stack.push_async_callback(tasks.cancel, asyncio.create_task(fleet(restored, token, seed, count).run()))
            delivered = await eventually(
                lambda: get(client, waiting), seconds=60, until=lambda one: bool(one["state"] == "applied")
            )
            assert delivered["instance_id"] == waiter["instance_id"]
            await eventually(lambda: online(client), until=lambda found: len(found) == AGENTS + 1)
            assert identities((await known(client))["gateways"]) == identities(before["gateways"])
        await asyncio.to_thread(restored.process.terminate)
        await asyncio.to_thread(restored.process.wait, 15)


def test_the_comparison_finds_what_differs() -> None:
    """A value that never was, a time before or after the dump, something that is missing or too much."""
    before, after = {"one": {"since": "2", "text": "a"}}, {"one": {"since": "4", "text": "b"}}
    assert changes(before, {"one": {"since": "3", "text": "b", "status": "offline"}}, after) == []
    for wrong in (
        {"since": "3", "text": "c"},
        {"since": "5", "text": "a"},
        {"since": "1", "text": "a"},
        {"since": "2"},
    ):
        assert len(changes(before, {"one": wrong}, after)) == 1
    assert len(changes(before, {**before, "two": {}}, after)) == 1
