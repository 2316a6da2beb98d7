"""The latest events, newest first."""

from httpx2 import AsyncClient

from api_gateway.schemas.event import RecentEventsResponse
from api_gateway.testing import make_gateway
from api_gateway.testing_events import MemoryEventLog
from flowgate.agent.v1.events_pb2 import AgentConnected, AgentHealthChanged
from flowgate.config.v1.events_pb2 import DeliveryStateChanged

ONE, TWO = (make_gateway(number, supervised=number == 2).gateway for number in (1, 2))
RECENT = "/api/v1/events/recent"


async def stored(events: MemoryEventLog) -> None:
    """Four events of two agents in two streams."""
    await events.put(AgentConnected(instance_uid=ONE.instance_id))
    await events.put(DeliveryStateChanged(instance_uid=TWO.instance_id))
    await events.put(AgentConnected(instance_uid=TWO.instance_id))
    await events.put(AgentHealthChanged(instance_uid=ONE.instance_id))


async def names(client: AsyncClient, **question: str | int) -> list[str]:
    """Kinds of the events that answer a question."""
    response = await client.get(RECENT, params=question)
    assert response.status_code == 200, response.text
    return [item["event"] for item in response.json()["items"]]


async def test_the_newest_comes_first(client: AsyncClient, events: MemoryEventLog) -> None:
    """Over all streams, as many as asked for."""
    assert await names(client) == []
    await stored(events)
    every = ["agent.health-changed", "agent.connected", "config.delivery-state-changed", "agent.connected"]
    assert await names(client) == every
    assert await names(client, limit=2) == every[:2]
    assert await names(client, domain="config") == ["config.delivery-state-changed"]
    assert await names(client, since="2999-01-01T00:00:00Z") == []


async def test_how_many_there_have_been(client: AsyncClient, events: MemoryEventLog) -> None:
    """More than are asked for; without a time nobody counts."""
    await stored(events)
    for question, total in (
        ({"since": "1970-01-01T00:00:01Z"}, 3),  # the events are stored a second apart from there
        ({"since": "1970-01-01T00:00:00Z", "domain": "config"}, 1),
        ({}, None),
        ({"since": "1970-01-01T00:00:00Z", "instance_id": ONE.instance_id}, None),
    ):
        response = await client.get(RECENT, params={"limit": 1, **question})
        RecentEventsResponse.model_validate(response.json())
        assert (len(response.json()["items"]), response.json()["total"]) == (1, total)


async def test_of_one_agent(client: AsyncClient, events: MemoryEventLog) -> None:
    """By either id; one that is unknown is 404."""
    await stored(events)
    expected = ["agent.connected", "config.delivery-state-changed"]
    assert await names(client, instance_id=TWO.instance_id) == expected
    assert await names(client, instance_id=TWO.gateway_id) == expected
    unknown = "0198e4b0-7c1d-7a3e-9f00-00000000ffff"
    assert (await client.get(RECENT, params={"instance_id": unknown})).status_code == 404
