"""Enrollment tokens with real agents."""

import time

import pytest
from interop_agents import Fleet
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def token(api: Api, **members: object) -> Json:
    """A new enrollment token."""
    response = await api.client.post("/enrollment-tokens", json=members)
    assert response.status_code == 201, response.text
    answer: Json = response.json()
    return answer


async def test_labels_come_with_the_token_and_revocation_ends_the_connection(
    flowgate: FlowGate, api: Api, fleet: Fleet
) -> None:
    """Within 5 s it is offline, and its attempts to come back are refused with 401."""
    made = await token(api, name="revoked-soon", labels={"site": "north"})
    agent = fleet.supervisor(flowgate, "ws", token=made["token"])
    instance_id = await agent.instance_id()
    gateway = await api.healthy(instance_id)
    assert gateway["labels"] == {"site": "north"}
    [listed] = [one for one in (await api.get("/enrollment-tokens"))["items"] if one["token_id"] == made["token_id"]]
    assert listed["uses"] == 1
    assert "token" not in listed

    revoked = await api.client.delete(f"/enrollment-tokens/{made['token_id']}")
    assert revoked.status_code == 200, revoked.text
    began = time.monotonic()
    await api.with_status(instance_id, "offline", seconds=5)
    assert time.monotonic() - began < 5
    await eventually(lambda: "401" in agent.log.read_text(), seconds=10)
    assert (await api.gateway(instance_id))["status"] == "offline"


async def test_one_use_is_one_agent(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """The first one registers and comes back as often as it likes, the second one is told why it cannot."""
    made = await token(api, name="for-one", max_uses=1)
    first = fleet.supervisor(flowgate, "ws", token=made["token"])
    first_id = await first.instance_id()
    await api.healthy(first_id)
    second = fleet.supervisor(flowgate, "ws", token=made["token"])
    second_id = await second.instance_id()
    await eventually(lambda: "for-one" in second.log.read_text(), seconds=20)
    response = await api.client.get(f"/gateways/{second_id}")
    assert response.status_code == 404
    first.stop()
    await api.with_status(first_id, "offline")
    first.start()
    await api.healthy(first_id)
