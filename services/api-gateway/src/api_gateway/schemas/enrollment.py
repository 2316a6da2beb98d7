"""Enrollment tokens: with what agents come into the fleet."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, StringConstraints

from api_gateway.schemas.labels import LabelKey, LabelValue
from api_gateway.schemas.values import ApiModel, stamp
from flowgate.rpc.v1 import enrollment_pb2 as enrollment
from flowkit import opamp

TokenState = Literal["live", "used_up", "expired", "revoked"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EXAMPLE: dict[str, Any] = {
    "token_id": "6f1d3c52-8a54-4b0e-9a3d-0000000000e1",
    "name": "plant-7",
    "state": "live",
    "labels": {"site": "plant-7"},
    "max_uses": 20,
    "uses": 3,
    "expires_at": "2026-12-01T00:00:00.000Z",
    "revoked_at": None,
    "last_used_at": "2026-11-02T08:15:30.125Z",
    "created_at": "2026-11-01T10:00:00.000Z",
    "created_by": "admin",
}


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


class NewEnrollmentToken(ApiModel):
    """A token to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "plant-7", "labels": {"site": "plant-7"}, "max_uses": 20, "expires_at": None}]
        }
    )

    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_printable)
    ]
    """Name; unique among the tokens that are live."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)] = Field({})
    """Labels that are set on the agents that come with it first."""
    expires_at: AwareDatetime | None = None
    """When it expires, RFC 3339 with a zone; null: never."""
    max_uses: Annotated[int, Field(ge=1, le=2**32 - 1)] | None = None
    """Agents that may register with it; null: without limit. Those that have registered go on."""

    def order(self, actor: str) -> enrollment.CreateEnrollmentTokenRequest:
        """This token as the registry's order."""
        return enrollment.CreateEnrollmentTokenRequest(
            name=self.name,
            labels=self.labels,
            max_uses=self.max_uses or 0,
            expires_at=opamp.timestamp(self.expires_at and self.expires_at.astimezone(UTC)),
            actor=actor,
        )


class EnrollmentTokenResponse(ApiModel):
    """A token, without its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    token_id: str
    """Names the token."""
    name: str
    """Given by an operator."""
    state: TokenState
    """live; used_up: it lets no further agent in, those that came with it go on; expired, revoked: it opens nothing."""
    labels: dict[str, str]
    """Labels that are set on the agents that come with it first."""
    max_uses: int | None
    """Agents that may register with it; null: without limit."""
    uses: int
    """Agents that registered with it."""
    expires_at: str | None
    """When it expires; null: never."""
    revoked_at: str | None
    """When it was revoked."""
    last_used_at: str | None
    """When an agent registered with it last."""
    created_at: str | None
    """When it was made."""
    created_by: str | None
    """Who made it."""


class NewEnrollmentTokenResponse(EnrollmentTokenResponse):
    """A token that was just made, with its secret."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "uses": 0, "last_used_at": None, "token": "fge_…"}]}
    )

    token: str
    """The secret that agents send as `Authorization: Bearer <token>`. Shown this once: only its hash is kept."""


class EnrollmentTokenListResponse(ApiModel):
    """All tokens."""

    items: list[EnrollmentTokenResponse]
    """Newest first; those that are over too."""


def token_json(token: enrollment.EnrollmentToken, now: datetime) -> dict[str, Any]:
    """An EnrollmentTokenResponse."""
    return {
        "token_id": token.token_id,
        "name": token.name,
        "state": _state(token, now),
        "labels": dict(token.labels),
        "max_uses": token.max_uses or None,
        "uses": token.uses,
        "expires_at": stamp(token, "expires_at"),
        "revoked_at": stamp(token, "revoked_at"),
        "last_used_at": stamp(token, "last_used_at"),
        "created_at": stamp(token, "created_at"),
        "created_by": token.created_by or None,
    }


def _state(token: enrollment.EnrollmentToken, now: datetime) -> TokenState:
    if token.HasField("revoked_at"):
        return "revoked"
    if token.HasField("expires_at") and opamp.moment(token.expires_at) <= now:
        return "expired"
    return "used_up" if token.max_uses and token.uses >= token.max_uses else "live"
