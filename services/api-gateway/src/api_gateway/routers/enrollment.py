"""Enrollment tokens: with what agents come into the fleet."""

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import AGENT_REGISTRY, OwnersDep, plain_id, taken_by
from api_gateway.routers.supervisors import ACTOR
from api_gateway.schemas.enrollment import (
    EnrollmentTokenListResponse,
    EnrollmentTokenResponse,
    NewEnrollmentToken,
    NewEnrollmentTokenResponse,
    token_json,
)
from flowgate.rpc.v1 import enrollment_pb2 as enrollment

router = APIRouter(prefix="/api/v1/enrollment-tokens", tags=["enrollment"], responses=refusals(401, 422, 503))


@router.get("", operation_id="listEnrollmentTokens", response_model=EnrollmentTokenListResponse)
async def list_tokens(owners: OwnersDep) -> Response:
    """All tokens, newest first; never with their secrets."""
    found = await owners.list_enrollment_tokens(enrollment.ListEnrollmentTokensRequest())
    now = datetime.now(UTC)
    return answer({"items": [token_json(one, now) for one in found.enrollment_tokens]})


@router.post(
    "",
    operation_id="createEnrollmentToken",
    status_code=201,
    response_model=NewEnrollmentTokenResponse,
    responses=refusals(409, 413),
)
async def create_token(owners: OwnersDep, token: NewEnrollmentToken) -> Response:
    """Make a token. Its secret is in `token` of this answer, and can be had no second time."""
    made = await taken_by(AGENT_REGISTRY, owners.create_enrollment_token(token.order(ACTOR)))
    body = {**token_json(made.enrollment_token, datetime.now(UTC)), "token": made.secret}
    return answer(body, 201)  # `Cache-Control: no-store` is on every answer


@router.delete(
    "/{token_id}",
    operation_id="revokeEnrollmentToken",
    response_model=EnrollmentTokenResponse,
    responses=refusals(404),
)
async def revoke_token(owners: OwnersDep, token_id: str) -> Response:
    """Revoke a token: within seconds connections made with it are closed, and it opens nothing any more (401)."""
    request = enrollment.RevokeEnrollmentTokenRequest(token_id=plain_id(token_id, "enrollment token"), actor=ACTOR)
    revoked = await owners.revoke_enrollment_token(request)
    return answer(token_json(revoked.enrollment_token, datetime.now(UTC)))
