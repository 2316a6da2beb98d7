"""Enrollment tokens over owners in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient

from api_gateway.schemas.enrollment import (
    EnrollmentTokenListResponse,
    EnrollmentTokenResponse,
    NewEnrollmentTokenResponse,
)
from api_gateway.testing import MemoryOwners

PATH = "/api/v1/enrollment-tokens"


async def create(client: AsyncClient, **members: Any) -> dict[str, Any]:
    response = await client.post(PATH, json={"name": "plant-7", **members})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    NewEnrollmentTokenResponse.model_validate(body)
    return body


async def test_a_token_is_shown_once(client: AsyncClient) -> None:
    """In the answer to its creation, which nobody may keep; never again."""
    response = await client.post(PATH, json={"name": "plant-7"})
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    secret = response.json()["token"]
    assert secret.startswith("fge_")
    listed = await client.get(PATH)
    EnrollmentTokenListResponse.model_validate(listed.json())
    assert secret not in listed.text and "token" not in listed.json()["items"][0]


async def test_what_is_asked_for_is_what_is_made(client: AsyncClient, owners: MemoryOwners) -> None:
    """Labels, uses and the expiry, in any zone."""
    expires_at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    made = await create(client, labels={"site": "b"}, max_uses=2, expires_at=expires_at.isoformat())
    assert (made["labels"], made["max_uses"], made["uses"], made["state"]) == ({"site": "b"}, 2, 0, "live")
    assert datetime.fromisoformat(made["expires_at"]) == expires_at
    owners.tokens[made["token_id"]].uses = 2
    assert (await client.get(PATH)).json()["items"][0]["state"] == "used_up"
    owners.tokens[made["token_id"]].expires_at.FromJsonString("2026-01-01T00:00:00Z")
    assert (await client.get(PATH)).json()["items"][0]["state"] == "expired"


async def test_a_token_is_revoked(client: AsyncClient) -> None:
    """The answer is what it is now; an unknown one is 404, whatever it looks like."""
    made = await create(client)
    revoked = await client.delete(f"{PATH}/{made['token_id']}")
    assert revoked.status_code == 200
    EnrollmentTokenResponse.model_validate(revoked.json())
    assert revoked.json()["state"] == "revoked" and revoked.json()["revoked_at"]
    for unknown in ("nobody", "%20", "..%2f"):
        assert (await client.delete(f"{PATH}/{unknown}")).status_code == 404


@pytest.mark.parametrize(
    "members",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"max_uses": 0},
        {"max_uses": -1},
        {"labels": {"no good key!": "x"}},
        {"labels": {"a": "x" * 64}},
        {"expires_at": "2027-01-01T00:00:00"},
        {"expires_at": "tomorrow"},
        {"colour": "red"},
    ],
    ids=str,
)
async def test_a_token_that_makes_no_sense_is_422(client: AsyncClient, members: dict[str, Any]) -> None:
    """With the member that is wrong."""
    response = await client.post(PATH, json={"name": "plant-7", **members})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["loc"].startswith(f"body.{next(iter(members))}")


async def test_a_name_that_is_taken_is_409(client: AsyncClient) -> None:
    """As the registry says."""
    await create(client)
    assert (await client.post(PATH, json={"name": "plant-7"})).status_code == 409


async def test_nobody_else_may(anonymous: AsyncClient) -> None:
    """Without the admin token nothing is told or made."""
    assert (await anonymous.get(PATH)).status_code == 401
    assert (await anonymous.post(PATH, json={"name": "x"})).status_code == 401
