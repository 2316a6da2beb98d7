"""Policies over owners in memory."""

import pytest
from httpx2 import AsyncClient

from api_gateway.schemas.policy import PolicyChangeResponse, PolicyListResponse, summary
from api_gateway.testing import MemoryOwners
from flowgate.rpc.v1 import policies_pb2 as policies

POLICIES = "/api/v1/supervisor/policies"


async def test_policies_are_listed_with_what_they_do_not_say(client: AsyncClient) -> None:
    """null is not false."""
    body = (await client.get(POLICIES)).json()
    (default,) = PolicyListResponse.model_validate(body).items
    assert (default.name, default.own_logs, default.own_traces) == ("default", True, False)
    assert (default.heartbeat_interval_seconds, default.selector) == (None, {})


async def test_a_change_says_how_many_collectors_restart(client: AsyncClient, owners: MemoryOwners) -> None:
    """In numbers and in words; a dry run in the conditional, and it changes nothing."""
    said = {"selector": {"env": "prod"}, "own_traces": True, "heartbeat_interval_seconds": 5}
    asked = PolicyChangeResponse.model_validate((await client.put(f"{POLICIES}/p?dry_run=true", json=said)).json())
    assert asked.policy is not None and asked.policy.own_logs is None
    assert asked.effect.summary == "1 agent would get another offer; 1 of their collectors would restart for it."
    assert "p" not in owners.policies
    done = PolicyChangeResponse.model_validate((await client.put(f"{POLICIES}/p", json=said)).json())
    assert (done.effect.dry_run, done.effect.restarts) == (False, 1)
    kept = owners.policies["p"]
    assert (dict(kept.selector), kept.own_traces, kept.heartbeat_interval_seconds) == ({"env": "prod"}, True, 5)
    assert not kept.HasField("own_logs")
    gone = PolicyChangeResponse.model_validate((await client.delete(f"{POLICIES}/p")).json())
    assert gone.policy is None and "p" not in owners.policies


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "p", {}, 422),
        ("PUT", "p", {"selector": {"bad key": ""}}, 422),
        ("PUT", "p", {"selector": {"a": "b"}, "heartbeat_interval_seconds": 0}, 422),
        ("PUT", "p", {"selector": {"a": "b"}, "own_log": True}, 422),
        ("PUT", "Not a name", {"selector": {"a": "b"}}, 422),
        ("DELETE", "p", None, 404),
        ("DELETE", "default", None, 409),
    ],
)
async def test_what_makes_no_sense_is_refused(
    client: AsyncClient, method: str, path: str, body: dict[str, object] | None, status: int
) -> None:
    """With a problem document."""
    response = await client.request(method, f"{POLICIES}/{path}", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_nothing_to_do_is_said_too() -> None:
    """And a change of the heartbeat restarts nothing."""
    assert summary(policies.PolicyEffect(), False) == ("No agent will get another offer and no collector will restart.")
    assert summary(policies.PolicyEffect(offers=3), True) == (
        "3 agents would get another offer; none of their collectors would restart for it."
    )
