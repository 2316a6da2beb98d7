"""Secrets that FlowGate issued are nowhere but with those whom they are for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from interop_agents import Fleet
from interop_configs import good
from interop_flowgate import Api, FlowGate, Json

from flowkit import tokens
from flowkit.testing import eventually

pytestmark = pytest.mark.interop

SCHEMAS = ("agent_registry", "config_push", "supervisor_control")


async def dump(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """Every row of every table as text, bytes as they are, with its table."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1::text[])", list(SCHEMAS)
        )
        assert len(tables) > 10
        for schema, table in tables:
            async with connection.transaction():
                async for row in connection.cursor(f'SELECT * FROM "{schema}"."{table}"'):
                    values = (value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row)
                    yield f"{schema}.{table}", "\x00".join(values)
    finally:
        await connection.close()


async def answers(api: Api, known: Json) -> AsyncIterator[tuple[str, str]]:
    """Every GET endpoint's answer; of the streams what comes within a second, from the beginning on."""
    paths = (await api.get("/openapi.json"))["paths"]
    for path, methods in paths.items():
        if "get" not in methods:
            continue
        url = path.removeprefix("/api/v1").format(**known)
        if path.endswith(("/events", "/stream")):
            yield path, await streamed(api, url)
            continue
        response = await api.client.get(url)
        assert response.status_code == 200, f"{path}: {response.text}"
        yield path, response.text


async def streamed(api: Api, url: str) -> str:
    """The beginning of a stream."""
    text = ""
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(1),
            api.client.stream("GET", url, headers={"Last-Event-ID": "0-0-0"}) as response,
        ):
            assert response.status_code == 200, url
            async for part in response.aiter_text():
                text += part
    return text


def files(folder: Path) -> list[tuple[str, str]]:
    """Every log of the services."""
    found = [(path.name, path.read_text(errors="replace")) for path in sorted((folder / "logs").glob("*.log*"))]
    assert len(found) >= 5
    return found


async def test_no_issued_secret_is_kept_logged_or_answered(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """After enrollment, own telemetry, a push and a restart with a real supervisor, a search for each of them."""
    made = await api.client.post("/enrollment-tokens", json={"name": "secrets-test", "labels": {"team": "secrets"}})
    assert made.status_code == 201, made.text
    token, token_id = made.json()["token"], made.json()["token_id"]
    agent = fleet.supervisor(flowgate, "ws", token=token)
    instance_id = await agent.instance_id()
    await api.healthy(instance_id)

    async def exports() -> bool:
        """The own-telemetry offer is in what the agent says it runs, with its token masked."""
        return "/v1/logs" in json.dumps(await api.effective(instance_id))

    await eventually(exports, seconds=20)
    await eventually(lambda: api.logs(instance_id), seconds=20)
    delivery_id = await api.push(instance_id, good("searched"))
    await api.delivery(delivery_id, "applied")
    restarted = await api.try_restart(instance_id)
    assert restarted.status_code == 202, restarted.text
    await api.command(restarted.json()["command_id"], "completed")

    ordered = await api.client.post(
        "/supervisor/operations", json={"action": "restart", "instance_ids": [instance_id], "max_unavailable": 1}
    )
    assert ordered.status_code == 202, ordered.text

    kept = json.loads((flowgate.data / "secrets.json").read_text())
    key = kept["telemetry_key"].encode()
    agents = [item["instance_id"] for item in (await api.get("/gateways?limit=1000"))["items"]]
    issued = {
        "the new enrollment token": token,
        **kept,
        **{
            f"telemetry token of {uid} by {credential}": tokens.telemetry_token(key, UUID(uid).bytes, credential)
            for uid in agents
            for credential in (tokens.BOOTSTRAP, token_id)
        },
    }
    offered = json.dumps((agent.storage / "effective.yaml").read_text())
    own = tokens.telemetry_token(key, UUID(instance_id).bytes, token_id)
    assert own in offered, "the agent itself has its token"

    gateway = await api.gateway(instance_id)
    known = {
        "instance_id": instance_id,
        "gateway_id": gateway["gateway_id"],
        "delivery_id": delivery_id,
        "command_id": restarted.json()["command_id"],
        "token_id": token_id,
        "operation_id": ordered.json()["operation_id"],
        "name": "default",
    }
    await eventually(lambda: any(known["command_id"] in text for _, text in files(flowgate.data)))
    searched = [one async for one in dump(flowgate.connection["database_url"])]
    searched += [one async for one in answers(api, known)] + files(flowgate.data)
    found = [(name, where) for name, secret in issued.items() for where, text in searched if secret in text]
    assert not found
    assert any("[REDACTED]" in text for _, text in searched), "what was masked is there, without its value"
