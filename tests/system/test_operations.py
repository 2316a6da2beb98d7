"""Bulk operations on simulated agents: a few at a time, whatever is killed, and stopped when it is asked for."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import nats
import pytest

from flowgate.supervisor.v1 import events_pb2 as facts
from flowgate_cli.sim import Fleet, FleetPlan
from flowkit import contracts
from flowkit.testing import eventually

pytestmark = pytest.mark.system

SUPERVISED, EXTENSIONS = 30, 2
ROOM = 5
OPERATIONS = "/supervisor/operations"
CONFIG = (
    "receivers: {{nop: {{}}}}\nexporters: {{nop: {{}}}}\n"
    "service: {{pipelines: {{logs: {{receivers: [nop], exporters: [nop]}}}}}}\n# {}\n"
)
BAD = "receivers: {nop: {}}\nservice: {pipelines: {logs: {receivers: [nop], exporters: [missing]}}}\n"


@asynccontextmanager
async def agents(running: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A simulated fleet, known with all that it can do; and a client of the API."""
    plan = FleetPlan(
        urls=running.opamp_urls,
        token=running.connection["enrollment_token"],
        agents=SUPERVISED + EXTENSIONS,
        supervised_ratio=SUPERVISED / (SUPERVISED + EXTENSIONS),
        apply_seconds=0.5,
    )
    fleet = asyncio.create_task(Fleet(plan).run())
    headers = {"Authorization": f"Bearer {running.connection['admin_token']}"}
    url = running.connection["api_url"] + "/api/v1"
    try:
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=10) as client:

            async def is_known() -> bool:
                page = (await client.get("/gateways", params={"healthy": True})).json()
                ui = (await client.get("/supervisor/ui/agents")).json()
                states = [one["supervisor"] and one["supervisor"]["collector_state"] for one in ui["items"]]
                return page["total"] == SUPERVISED + EXTENSIONS and states == ["running"] * SUPERVISED

            await eventually(is_known, seconds=30)
            yield client
    finally:
        fleet.cancel()
        await asyncio.gather(fleet, return_exceptions=True)


async def begin(client: httpx2.AsyncClient, status: int = 202, **order: Any) -> dict[str, Any]:
    answer = await client.post(OPERATIONS, json={"action": "push_config", "selector": {}, **order})
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def get(client: httpx2.AsyncClient, operation: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"{OPERATIONS}/{operation['operation_id']}")
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def outcomes(operation: dict[str, Any]) -> dict[str, int]:
    return dict(Counter(one["state"] for one in operation["targets"]))


async def progress(url: str, operation: dict[str, Any]) -> list[facts.OperationProgressed]:
    """Every fact of an operation's progress, in order."""
    connection = await nats.connect(url)
    try:
        subject = f"flowgate.evt.supervisor.v1.operation-progressed.{operation['operation_id']}"
        subscription = await connection.jetstream().subscribe(subject, ordered_consumer=True)
        found: list[facts.OperationProgressed] = []
        while not found or found[-1].state == facts.OPERATION_STATE_RUNNING or found[-1].running:
            message = await subscription.next_msg(timeout=10)
            fact = contracts.decode_event(message.subject, message.data)
            assert isinstance(fact, facts.OperationProgressed)
            found.append(fact)
        return found
    finally:
        await connection.close()


async def rows(url: str) -> dict[str, int]:
    """How much is stored of everything that an operation writes."""
    connection = await asyncpg.connect(url)
    try:
        tables = ("config_push.configs", "config_push.deliveries", "supervisor_control.operations",
                  "supervisor_control.operation_targets", "supervisor_control.commands")  # fmt: skip
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    finally:
        await connection.close()


async def watch(url: str, most: list[int]) -> None:
    """Note again and again how many configurations are under way, as config-push sees it."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            most.append(
                await connection.fetchval(
                    "SELECT count(*) FROM config_push.deliveries WHERE state IN ('pending', 'offered', 'applying')"
                )
            )
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def test_a_bulk_push_survives_kill_9(flowgate_up: Callable[..., Any]) -> None:
    """Thirty agents, five at a time, every owner killed in the middle: each has its outcome, once."""
    running = await asyncio.to_thread(flowgate_up)
    database = running.connection["database_url"]
    async with agents(running) as client:
        before = await rows(database)
        planned = await begin(client, 200, config=CONFIG.format(0), max_unavailable=ROOM, dry_run=True)
        assert outcomes(planned) == {"waiting": SUPERVISED, "skipped": EXTENSIONS}
        assert await rows(database) == before

        most: list[int] = []
        watching = asyncio.create_task(watch(database, most))
        operation = await begin(client, config=CONFIG.format(1), max_unavailable=ROOM)
        for number, service in enumerate(("supervisor-control", "config-push", "api-gateway"), 1):
            await eventually(lambda done=5 * number: settled(client, operation, done), seconds=60)
            (victim,) = running.pids(service)
            os.kill(victim, signal.SIGKILL)
        done = await eventually(lambda: over(client, operation), seconds=90)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

        assert (done["state"], outcomes(done)) == ("succeeded", {"succeeded": SUPERVISED, "skipped": EXTENSIONS})
        assert all("accepts_remote_config: true" in one["reason"] for one in done["targets"] if one["reason"])
        assert max(most) == ROOM
        told = await progress(running.connection["nats_url"], done)
        assert max(one.running for one in told) == ROOM
        assert [one.succeeded for one in told] == sorted(one.succeeded for one in told)
        for target in done["targets"]:
            if target["state"] == "succeeded":
                config = (await client.get(f"/gateways/{target['instance_id']}/config")).json()
                assert (config["state"], config["assigned"]["config"]) == ("applied", CONFIG.format(1))
        stored = await rows(database)
        assert stored["config_push.deliveries"] - before["config_push.deliveries"] == SUPERVISED


async def settled(client: httpx2.AsyncClient, operation: dict[str, Any], count: int) -> bool:
    """Whether so many agents have their outcome; an api-gateway that was killed comes back."""
    try:
        found = await get(client, operation)
    except httpx2.HTTPError:
        return False
    return bool(found["succeeded"] + found["failed"] >= count)


async def over(client: httpx2.AsyncClient, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation, when it is; an AssertionError that tells who is under way before."""
    try:
        found = await get(client, operation)
    except httpx2.HTTPError as error:
        raise AssertionError(repr(error)) from error
    assert found["is_over"], (found["state"], [one for one in found["targets"] if one["state"] == "running"])
    return found


async def test_operations_are_stopped(flowgate_up: Callable[..., Any], data_dir: Path) -> None:
    """At a failure, by cancel, and not by the end of the command that began one."""
    running = await asyncio.to_thread(flowgate_up)
    supervised = {"management_mode": "supervisor"}
    async with agents(running) as client:
        # A configuration that agents refuse stops at the first failures, with the agents' words
        operation = await begin(client, config=BAD, selector=supervised, max_unavailable=ROOM, stop_on_failure=True)
        done = await eventually(lambda: over(client, operation), seconds=60)
        failed = [one for one in done["targets"] if one["state"] == "failed"]
        assert done["state"] == "failed" and 1 <= len(failed) <= ROOM
        assert done["skipped"] == SUPERVISED - len(failed)
        assert all("missing" in one["reason"] for one in failed)
        refused = await begin(client, 422, config="a: 1\na: 2\n", selector=supervised)
        assert (refused["errors"][0]["loc"], refused["errors"][0]["line"]) == ("body.config", 2)

        # Cancelled: those under way get their outcome, the others are not begun
        operation = await begin(client, config=CONFIG.format(2), selector=supervised, max_unavailable="10%")
        assert (operation["max_unavailable"], operation["running"]) == (3, 3)
        stream = asyncio.create_task(client.get(f"{OPERATIONS}/{operation['operation_id']}/events", timeout=60))
        await eventually(lambda: settled(client, operation, 1))
        cancelled = (await client.post(f"{OPERATIONS}/{operation['operation_id']}/cancel")).json()
        assert cancelled["state"] == "cancelled" and cancelled["skipped"] >= SUPERVISED - 9
        done = await eventually(lambda: over(client, operation), seconds=30)
        assert done["succeeded"] + done["skipped"] == SUPERVISED and done["skipped"] == cancelled["skipped"]
        said = (await stream).text
        assert said.count("event: over") == 1 and '"state":"cancelled"' in said

        # The command shows progress to the end, and its end is not the operation's
        flowgate = [str(Path(sys.executable).parent / "flowgate"), "operations"]
        where = ["--data-dir", str(running.data_dir)]
        command = await asyncio.create_subprocess_exec(
            *flowgate, "restart", "--all", "--max-unavailable", "100%", "-o", "json", *where,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(command.communicate(), 60)
        assert command.returncode == 0, err
        told = json.loads(out)
        assert outcomes(told) == {"succeeded": SUPERVISED, "skipped": EXTENSIONS}
        assert b"running: " in err and b"succeeded: 0 waiting, 0 running, 30 succeeded" in err
        assert all("accepts_restart_command: true" in one["reason"] for one in told["targets"] if one["reason"])

        config = data_dir / "new.yaml"
        config.write_text(CONFIG.format(3))
        command = await asyncio.create_subprocess_exec(
            *flowgate, "push", str(config), "--mode", "supervisor", "--max-unavailable", "3", *where,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert command.stdout is not None
        operation_id = (await asyncio.wait_for(command.stdout.readline(), 30)).decode().split()[-1]
        assert UUID(operation_id)
        await asyncio.wait_for(command.stdout.readline(), 30)
        command.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(command.communicate(), 30)
        assert command.returncode == 130 and b"the operation goes on" in err
        done = await eventually(lambda: over(client, {"operation_id": operation_id}), seconds=90)
        assert outcomes(done) == {"succeeded": SUPERVISED}
