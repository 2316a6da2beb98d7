"""The fleet in numbers."""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import CONFIG_PUSH, OwnersDep, unless_down
from api_gateway.schemas.fleet import FleetSummaryResponse, summary_json
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs

router = APIRouter(prefix="/api/v1/fleet", tags=["fleet"], responses=refusals(401, 503))


@router.get("/summary", operation_id="getFleetSummary", response_model=FleetSummaryResponse)
async def get_summary(owners: OwnersDep) -> Response:
    """Counts by mode, status, health, version and state of the latest configuration."""
    partial: list[str] = []
    fleet, config = await asyncio.gather(
        owners.get_fleet_summary(registry.GetFleetSummaryRequest()),
        unless_down(owners.get_config_summary(configs.GetConfigSummaryRequest()), CONFIG_PUSH, partial),
    )
    return answer(summary_json(fleet, config, partial))
