"""The fleet as the UI's list shows it."""

from httpx2 import AsyncClient

from api_gateway.schemas.supervisor import UiAgentListResponse
from api_gateway.testing import MemoryOwners

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


async def test_by_version_and_state_of_the_configuration(client: AsyncClient) -> None:
    """Each owner answers for what it knows; nobody in a state is an empty list."""
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
    assert (await client.get("/api/v1/gateways", params={"config_state": "pending"})).json()["total"] == 1
    assert (await client.get(FLEET, params={"config_state": "lost"})).status_code == 422
