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
