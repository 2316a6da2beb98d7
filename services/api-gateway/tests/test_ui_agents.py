"""The fleet as the UI's list shows it."""

from httpx2 import AsyncClient

from api_gateway.schemas.description import ComponentsResponse
from api_gateway.schemas.fleet import FleetLabelsResponse
from api_gateway.schemas.supervisor import UiAgentListResponse
from api_gateway.testing import MemoryOwners, make_gateway
from opamp.v1 import opamp_pb2 as opamp

FLEET = "/api/v1/ui/agents"


async def test_both_modes_are_in_one_list(client: AsyncClient) -> None:
    """With supervisor and actions; an agent in extension mode says how it could be managed."""
    response = await client.get(FLEET)
    UiAgentListResponse.model_validate(response.json())
    watched, managed = response.json()["items"]
    assert (watched["supervisor"], managed["supervisor"]["collector_state"]) == (None, "running")
    assert "opampsupervisor" in watched["actions"]["restart"]["reason"]
    assert managed["actions"]["restart"]["available"]
    only = await client.get(FLEET, params={"management_mode": "extension"})
    assert [item["name"] for item in only.json()["items"]] == [watched["name"]]


async def test_an_owner_that_is_down_is_named(client: AsyncClient, owners: MemoryOwners) -> None:
    """The list comes all the same."""
    owners.down.add("config-push")
    body = (await client.get(FLEET)).json()
    assert (len(body["items"]), body["partial"]) == (2, ["config-push"])


async def test_by_version_and_state_of_the_configuration(client: AsyncClient, owners: MemoryOwners) -> None:
    """The registry answers for both, also while config-push is away; nobody in a state is an empty list."""
    managed = (await client.get(FLEET, params={"management_mode": "supervisor"})).json()["items"][0]["instance_id"]
    for question, expected in (
        ({"version": "0.149.0"}, 2),
        ({"version": "unknown"}, 0),
        ({"config_state": "failed"}, 0),
    ):
        assert (await client.get(FLEET, params=question)).json()["total"] == expected
    await client.post(f"/api/v1/supervisor/ui/agents/{managed}/config", json={"config": "receivers: {}"})
    found = (await client.get(FLEET, params={"config_state": ["pending", "failed"]})).json()
    assert [item["instance_id"] for item in found["items"]] == [managed]
    owners.down.add("config-push")
    assert (await client.get("/api/v1/gateways", params={"config_state": "pending"})).json()["total"] == 1
    assert (await client.get("/api/v1/fleet/summary")).json()["by_config_state"]["pending"] == 1
    assert (await client.get(FLEET, params={"config_state": "lost"})).status_code == 422


async def test_by_health(client: AsyncClient, owners: MemoryOwners) -> None:
    """Each state by itself, so that a count leads to the rows that it counts; `healthy` is the short way."""
    owners.fleet |= {"sick": make_gateway(3), "away": make_gateway(4, status="GATEWAY_STATUS_OFFLINE")}
    owners.fleet["sick"].gateway.healthy = False
    for question, expected in (
        ({"health": "healthy"}, ["edge-1", "edge-2"]),
        ({"health": "unhealthy"}, ["edge-3"]),
        ({"health": "unknown"}, ["edge-4"]),
        ({"health": ["unhealthy", "unknown"]}, ["edge-3", "edge-4"]),
        ({"healthy": "false"}, ["edge-3", "edge-4"]),
        ({"healthy": "true"}, ["edge-1", "edge-2"]),
    ):
        found = (await client.get(FLEET, params=question)).json()
        assert [item["name"] for item in found["items"]] == expected
    assert (await client.get(FLEET, params={"health": "healthy", "healthy": "true"})).status_code == 422


async def test_crash_loops_are_listed(client: AsyncClient, owners: MemoryOwners) -> None:
    """supervisor-control knows which they are; with another owner's filter only those of both."""
    assert (await client.get(FLEET, params={"crash_looping": True})).json()["total"] == 0
    (supervisor,) = owners.supervisors.values()
    supervisor.is_crash_looping = True
    found = (await client.get(FLEET, params={"crash_looping": True})).json()
    assert [item["instance_id"] for item in found["items"]] == [supervisor.instance_id]
    assert (await client.get(FLEET, params={"crash_looping": True, "config_state": "failed"})).json()["total"] == 0
    other = make_gateway(1).gateway.instance_id
    for ids, total in (([other], 0), ([other, supervisor.instance_id], 1)):
        found = (await client.get(FLEET, params={"crash_looping": True, "instance_id": ids})).json()
        assert found["total"] == total


async def test_some_agents_by_their_ids(client: AsyncClient) -> None:
    """In one question; who is not there is left out."""
    one, nobody = (make_gateway(number).gateway.instance_id for number in (1, 99))
    found = (await client.get("/api/v1/gateways", params={"instance_id": [one.upper(), nobody]})).json()
    assert [item["instance_id"] for item in found["items"]] == [one]
    assert (await client.get("/api/v1/gateways", params={"instance_id": "edge"})).status_code == 422


async def test_components_of_many_are_one_answer(client: AsyncClient, owners: MemoryOwners) -> None:
    """By type and kind, with how many have them; an agent that did not tell is no agent without components."""
    silent, telling = (detail.gateway.instance_id for detail in owners.fleet.values())
    owners.fleet["third"] = make_gateway(3)
    third = owners.fleet["third"].gateway.instance_id
    built = opamp.AvailableComponents(
        components={"exporters": opamp.ComponentDetails(sub_component_map={"otlp": {}, "debug": {}})}
    )
    for detail in list(owners.fleet.values())[1:]:
        detail.available_components = built.SerializeToString(deterministic=True)
    response = await client.post(f"{FLEET}/components", json={"instance_ids": [silent, telling, third]})
    ComponentsResponse.model_validate(response.json())
    assert response.json()["items"] == [
        {"agents": 2, "instance_ids": [telling, third], "components": {"exporters": ["debug", "otlp"]}},
        {"agents": 1, "instance_ids": [silent], "components": None},
    ]
    assert (await client.post(f"{FLEET}/components", json={"instance_ids": ["no id"]})).status_code == 422


async def test_labels_of_the_fleet(client: AsyncClient, owners: MemoryOwners) -> None:
    """With how many gateways have each; found by a part."""
    for detail in owners.fleet.values():
        detail.gateway.labels["env"] = "prod"
    detail.gateway.labels["team"] = "core"
    body = (await client.get("/api/v1/fleet/labels")).json()
    FleetLabelsResponse.model_validate(body)
    assert body["items"][0] == {"key": "env", "value": "prod", "gateways": 2}
    body = (await client.get("/api/v1/fleet/labels", params={"q": "m=co"})).json()
    assert [item["key"] for item in body["items"]] == ["team"]
