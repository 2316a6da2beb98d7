"""The fleet in numbers."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import SUPERVISOR_CONTROL, OwnersDep, unless_down
from api_gateway.schemas.fleet import FleetLabelsResponse, FleetSummaryResponse, labels_json, summary_json
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors

router = APIRouter(prefix="/api/v1/fleet", tags=["fleet"], responses=refusals(401, 503))


@router.get("/summary", operation_id="getFleetSummary", response_model=FleetSummaryResponse)
async def get_summary(owners: OwnersDep) -> Response:
    """Counts by mode, status, health, version, state of the latest configuration and state of supervised collectors."""
    partial: list[str] = []
    fleet, supervised = await asyncio.gather(
        owners.get_fleet_summary(registry.GetFleetSummaryRequest()),
        unless_down(
            owners.get_supervisor_summary(supervisors.GetSupervisorSummaryRequest()), SUPERVISOR_CONTROL, partial
        ),
    )
    return answer(summary_json(fleet, supervised, partial))


@router.get("/labels", operation_id="listFleetLabels", response_model=FleetLabelsResponse, responses=refusals(422))
async def list_labels(
    owners: OwnersDep,
    q: Annotated[str, Query(max_length=200, description="Only those whose `key=value` holds this text.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="Labels at most.")] = 100,
) -> Response:
    """Labels that there are in the fleet, with how many gateways have each."""
    return answer(labels_json(await owners.list_labels(registry.ListLabelsRequest(q=q, limit=limit))))
