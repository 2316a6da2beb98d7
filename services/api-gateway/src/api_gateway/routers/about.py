"""What this FlowGate is, for those who connect agents to it."""

from importlib.metadata import version

from fastapi import APIRouter, Request
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.schemas.values import ApiModel
from api_gateway.settings import ApiGatewaySettings

router = APIRouter(prefix="/api/v1/about", tags=["fleet"], responses=refusals(401))


class AboutResponse(ApiModel):
    """What this FlowGate is."""

    version: str
    """Its version."""
    opamp_url: str | None
    """Address at which agents reach it; null when it was not told."""


@router.get("", operation_id="getAbout", response_model=AboutResponse)
async def get_about(request: Request) -> Response:
    """Version and the agents' address."""
    settings: ApiGatewaySettings = request.app.state.settings
    return answer({"version": version("api-gateway"), "opamp_url": settings.opamp_url or None})
