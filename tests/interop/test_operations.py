"""Bulk operations on real collectors."""

import pytest
from interop_agents import Fleet
from interop_configs import good
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def test_bulk_operations_reach_real_collectors(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """One at a time, each with its outcome; the extension is skipped, with why."""
    agents = [fleet.supervisor(flowgate, "ws") for _ in range(2)]
    ids = [await agent.instance_id() for agent in agents]
    extension = fleet.extension(flowgate, "ws")
    seen = await api.on_host(extension.host)
    for one in ids:
        await api.healthy(one)

    async def done(operation: Json) -> Json:
        path = f"/supervisor/operations/{operation['operation_id']}"
        return await eventually(lambda: api.get(path), seconds=40, until=lambda one: bool(one["is_over"]))

    begun = await api.client.post(
        "/supervisor/operations",
        json={"action": "push_config", "instance_ids": [*ids, seen["instance_id"]], "config": good("bulk")},
    )
    assert begun.status_code == 202, begun.text
    ended = await done(begun.json())
    outcomes = {target["instance_id"]: (target["state"], target["reason"]) for target in ended["targets"]}
    assert [outcomes[one] for one in ids] == [("succeeded", None)] * 2
    state, reason = outcomes[seen["instance_id"]]
    assert state == "skipped" and "AcceptsRemoteConfig" in reason
    for one in ids:
        assert "debug/bulk" in (await api.effective(one))["exporters"]

    begun = await api.client.post("/supervisor/operations", json={"action": "restart", "instance_ids": ids})
    ended = await done(begun.json())
    assert (ended["state"], ended["succeeded"]) == ("succeeded", 2)
