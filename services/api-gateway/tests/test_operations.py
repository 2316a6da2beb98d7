"""Bulk operations over owners in memory."""

import asyncio
import json
from typing import Any

import pytest
from httpx2 import AsyncClient

from api_gateway.schemas.operation import (
    NewOperation,
    OperationListResponse,
    OperationProgress,
    OperationResponse,
    TargetListResponse,
)
from api_gateway.testing import MemoryOwners, make_gateway
from api_gateway.testing_events import MemoryEventLog
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import operations_pb2 as operations
from flowgate.supervisor.v1 import events_pb2 as facts
from flowkit.testing import eventually

PATH = "/api/v1/supervisor/operations"
EXTENSION = make_gateway(1).gateway
SUPERVISED = make_gateway(2, supervised=True).gateway
UNKNOWN = "0198e4b0-7c1d-7a3e-9f00-ffffffffffff"


async def create(client: AsyncClient, status: int = 202, **members: Any) -> dict[str, Any]:
    order = {"action": "restart", **({} if "instance_ids" in members else {"selector": {}}), **members}
    response = await client.post(PATH, json=order)
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    if status < 300:
        OperationResponse.model_validate(body)
        expected = f"{PATH}/{body['operation_id']}" if status == 202 else None
        assert response.headers.get("location") == expected
    return body


def asked(owners: MemoryOwners) -> operations.CreateOperationRequest:
    """The last order that supervisor-control got."""
    return next(one for one in reversed(owners.asked) if isinstance(one, operations.CreateOperationRequest))


async def test_agents_are_named_by_either_id(client: AsyncClient, owners: MemoryOwners) -> None:
    """Each once, in the order of the names, with what supervisor-control decides by."""
    owners.fleet[EXTENSION.gateway_id].gateway.status = registry.GATEWAY_STATUS_OFFLINE
    body = await create(client, instance_ids=[SUPERVISED.gateway_id, EXTENSION.instance_id, SUPERVISED.instance_id])
    assert [(one["name"], one["state"], one["reason"]) for one in body["targets"]] == [
        ("edge-2", "running", None),
        ("edge-1", "skipped", "it is not connected"),
    ]
    targets = asked(owners).targets
    assert [(one.is_online, one.capabilities) for one in targets] == [
        (True, SUPERVISED.capabilities),
        (False, EXTENSION.capabilities),
    ]
    assert asked(owners).actor == "admin"


async def test_agents_of_an_operation_come_by_pages(client: AsyncClient, owners: MemoryOwners) -> None:
    """With a state and a text; the operation itself is told without them if one wants."""
    owners.fleet[EXTENSION.gateway_id].gateway.status = registry.GATEWAY_STATUS_OFFLINE
    operation = (await create(client))["operation_id"]
    body = (await client.get(f"{PATH}/{operation}", params={"targets": False})).json()
    assert (body["targets"], body["running"]) == ([], 1)
    page = (await client.get(f"{PATH}/{operation}/targets", params={"limit": 1})).json()
    TargetListResponse.model_validate(page)
    assert ([one["name"] for one in page["items"]], page["total"]) == (["edge-1"], 2)
    more = {"limit": 1, "cursor": page["next_cursor"]}
    page = (await client.get(f"{PATH}/{operation}/targets", params=more)).json()
    assert ([one["name"] for one in page["items"]], page["next_cursor"]) == (["edge-2"], None)
    for question in ({"state": "skipped"}, {"q": "EDGE-1"}):
        page = (await client.get(f"{PATH}/{operation}/targets", params=question)).json()
        assert [one["state"] for one in page["items"]] == ["skipped"]
    for nonsense in ({"state": "lost"}, {"limit": 0}, {"cursor": "a"}, {"colour": "red"}, {"q": "\x00"}):
        assert (await client.get(f"{PATH}/{operation}/targets", params=nonsense)).status_code == 422
    assert (await client.get(f"{PATH}/unknown/targets")).status_code == 404


async def test_ids_that_nobody_has_are_named(client: AsyncClient, owners: MemoryOwners) -> None:
    """And nothing is begun, not even the configuration kept."""
    ids = [SUPERVISED.instance_id, UNKNOWN, "nonsense"]
    body = await create(client, 422, action="push_config", config="a: 1", instance_ids=ids)
    assert UNKNOWN in body["detail"] and "nonsense" in body["detail"] and SUPERVISED.instance_id not in body["detail"]
    assert [one["loc"] for one in body["errors"]] == ["body.instance_ids.1", "body.instance_ids.2"]
    assert not any(isinstance(one, configs.KeepConfigRequest) for one in owners.asked)


async def test_many_ids_are_found_too(client: AsyncClient, owners: MemoryOwners) -> None:
    """By reading the fleet instead of asking for each."""
    details = [make_gateway(number) for number in range(10, 115)]
    owners.fleet.update({one.gateway.gateway_id: one for one in details})
    ids = [one.gateway.instance_id.replace("-", "") for one in details]
    assert len((await create(client, instance_ids=ids))["targets"]) == 105
    ids.append(UNKNOWN)
    assert UNKNOWN in (await create(client, 422, instance_ids=ids))["detail"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({}, ["edge-1", "edge-2"]),
        ({"management_mode": "supervisor"}, ["edge-2"]),
        ({"status": ["offline", "stale"]}, ["edge-1"]),
        ({"labels": {"env": "prod"}}, ["edge-1"]),
        ({"labels": {"env": ""}, "status": ["online"]}, []),
    ],
    ids=str,
)
async def test_a_selector_chooses(
    client: AsyncClient, owners: MemoryOwners, selector: dict[str, Any], names: list[str]
) -> None:
    """By labels, mode and status; when it fits nobody, that is told."""
    gateway = owners.fleet[EXTENSION.gateway_id].gateway
    gateway.status = registry.GATEWAY_STATUS_OFFLINE
    gateway.labels["env"] = "prod"
    body = await create(client, 202 if names else 422, selector=selector)
    assert [one["name"] for one in body.get("targets", [])] == names


async def test_a_configuration_is_kept_first(client: AsyncClient, owners: MemoryOwners) -> None:
    """Its hash goes on; one that does not parse is refused with its place."""
    body = await create(client, action="push_config", config="a: 1\n", stop_on_failure=True)
    kept = next(one for one in owners.asked if isinstance(one, configs.KeepConfigRequest))
    assert (kept.config, kept.check_only, asked(owners).config_hash) == ("a: 1\n", False, "c0ffee")
    assert (body["config_hash"], body["stop_on_failure"]) == ("c0ffee", True)
    refused = await create(client, 422, action="push_config", config=":")
    assert refused["errors"] == [{"loc": "body.config", "message": "expected a key", "line": 1, "column": 1}]


async def test_a_dry_run_keeps_nothing(client: AsyncClient, owners: MemoryOwners) -> None:
    """200, without an id; the configuration is only checked."""
    body = await create(client, 200, action="push_config", config="a: 1", dry_run=True)
    assert (body["operation_id"], body["dry_run"]) == (None, True)
    kept = next(one for one in owners.asked if isinstance(one, configs.KeepConfigRequest))
    assert kept.check_only and asked(owners).dry_run and not owners.operations


@pytest.mark.parametrize(
    ("wanted", "agents", "room"),
    [(1, 30, 1), (5, 30, 5), ("25%", 30, 7), ("25%", 3, 1), ("100%", 30, 30), ("1%", 10_000, 100)],
)
def test_a_share_is_rounded_down_but_never_to_nothing(wanted: int | str, agents: int, room: int) -> None:
    """max_unavailable as a number or a share."""
    order = NewOperation.model_validate({"action": "restart", "selector": {}, "max_unavailable": wanted})
    assert order.room(agents) == room


@pytest.mark.parametrize(
    "members",
    [
        {"action": "dance"},
        {"selector": None},
        {"instance_ids": [SUPERVISED.instance_id], "selector": {}},
        {"instance_ids": [], "selector": None},
        {"selector": {"colour": "red"}},
        {"action": "push_config"},
        {"config": "a: 1"},
        {"max_unavailable": 0},
        {"max_unavailable": "0%"},
        {"max_unavailable": "101%"},
        {"max_unavailable": "many"},
    ],
    ids=str,
)
async def test_an_order_that_makes_no_sense_is_422(client: AsyncClient, members: dict[str, Any]) -> None:
    """Before any owner is asked."""
    response = await client.post(PATH, json={"action": "restart", "selector": {}, **members})
    assert response.status_code == 422, response.text


async def test_operations_are_read_listed_and_cancelled(client: AsyncClient) -> None:
    """The list leaves the agents out; what has ended is not cancelled again; an unknown one is 404."""
    begun = await create(client)
    assert (await client.get(f"{PATH}/{begun['operation_id']}")).json() == begun
    listed = (await client.get(PATH)).json()
    OperationListResponse.model_validate(listed)
    assert [one["operation_id"] for one in listed["items"]] == [begun["operation_id"]]
    cancelled = await client.post(f"{PATH}/{begun['operation_id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"], cancelled.json()["is_over"]) == (200, "cancelled", False)
    assert (await client.post(f"{PATH}/{begun['operation_id']}/cancel")).status_code == 409
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
        assert (await client.request(method, f"{PATH}/operation-9{path}")).status_code == 404


async def test_progress_is_streamed_until_it_is_over(
    client: AsyncClient, owners: MemoryOwners, events: MemoryEventLog
) -> None:
    """From what it is now to its end, other operations left out; one that is over is told at once."""
    id_ = (await create(client))["operation_id"]

    def progressed(operation_id: str, **counts: Any) -> facts.OperationProgressed:
        fact = facts.OperationProgressed(operation_id=operation_id, action="restart", **counts)
        fact.occurred_at.GetCurrentTime()
        return fact

    running, succeeded = facts.OPERATION_STATE_RUNNING, facts.OPERATION_STATE_SUCCEEDED
    reading = asyncio.ensure_future(client.get(f"{PATH}/{id_}/events"))
    await eventually(lambda: any(isinstance(one, operations.GetOperationRequest) for one in owners.asked))
    await events.put(progressed("another", state=succeeded))
    await events.put(progressed(id_, state=running, running=1, succeeded=1))
    await events.put(progressed(id_, state=succeeded, succeeded=2))
    response = await asyncio.wait_for(reading, 10)
    told = sent(response.text)
    assert [(name, body["running"], body["succeeded"]) for name, body in told] == [
        ("progress", 2, 0),
        ("progress", 1, 1),
        ("over", 0, 2),
    ]
    for _, body in told:
        OperationProgress.model_validate(body)
    stored = owners.operations[id_]
    stored.state, stored.running, stored.succeeded = succeeded, 0, 2
    again = await client.get(f"{PATH}/{id_}/events")
    assert [name for name, _ in sent(again.text)] == ["over"]


def sent(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each server-sent event."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in text.split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "data" in block]


async def test_an_operations_progress_is_a_fleet_event(client: AsyncClient, events: MemoryEventLog) -> None:
    """Among all others, with no agent; a filter by agent leaves it out."""
    await events.put(facts.OperationProgressed(operation_id="o", state=facts.OPERATION_STATE_RUNNING, running=3))
    recent = (await client.get("/api/v1/events/recent")).json()["items"]
    assert [(one["event"], one["instance_id"], one["gateway_id"]) for one in recent] == [
        ("supervisor.operation-progressed", None, None)
    ]
    assert (recent[0]["operation_id"], recent[0]["running"]) == ("o", 3)
