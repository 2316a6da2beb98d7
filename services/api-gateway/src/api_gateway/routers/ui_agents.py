"""The whole fleet as the UI's list shows it: both modes, each agent with supervisor, delivery and possible actions."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.choosing import question_of
from api_gateway.owners import OwnersDep
from api_gateway.routers.supervisor_ui import joined_page
from api_gateway.schemas.description import ComponentsQuestion, ComponentsResponse, components_json
from api_gateway.schemas.gateway import FleetFilters
from api_gateway.schemas.supervisor import UiAgentListResponse
from flowgate.rpc.v1 import agent_registry_pb2 as registry

router = APIRouter(prefix="/api/v1/ui/agents", tags=["supervisor-ui"], responses=refusals(401, 422, 503))


@router.get("", operation_id="listFleet", response_model=UiAgentListResponse)
async def list_fleet(owners: OwnersDep, filters: Annotated[FleetFilters, Query()]) -> Response:
    """A page of agents in both modes with supervisor and delivery; what an owner does not tell is left out."""
    return await joined_page(owners, await question_of(owners, filters, filters.management_mode))


@router.post("/components", operation_id="askComponents", response_model=ComponentsResponse, responses=refusals(413))
async def ask_components(owners: OwnersDep, question: ComponentsQuestion) -> Response:
    """What several agents were built with, as they reported it: those that were built alike together."""
    request = registry.ListComponentsRequest(instance_ids=map(str, question.instance_ids))
    return answer(components_json(await owners.list_components(request)))
