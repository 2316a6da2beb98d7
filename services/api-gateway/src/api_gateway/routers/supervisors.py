"""Supervisor-managed agents: their state, description, and the restart."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.choosing import question_of
from api_gateway.owners import (
    CONFIG_PUSH,
    SUPERVISOR_CONTROL,
    OwnersDep,
    find,
    find_supervised,
    known_to,
    taken_by,
    unless_down,
)
from api_gateway.routers.gateways import agent_config
from api_gateway.schemas.command import RestartResponse, restart_json
from api_gateway.schemas.description import AgentDescriptionResponse, description_json
from api_gateway.schemas.gateway import GatewayFilters, page_json
from api_gateway.schemas.supervisor import (
    SupervisorAgentListResponse,
    SupervisorStatusResponse,
    supervisor_status_json,
)
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors

router = APIRouter(prefix="/api/v1/supervisor/agents", tags=["supervisor"], responses=refusals(401, 422, 503))

ACTOR = "admin"  # who orders, for the record: there is one operator credential so far


@router.get("", operation_id="listSupervisorAgents", response_model=SupervisorAgentListResponse)
async def list_agents(owners: OwnersDep, filters: Annotated[GatewayFilters, Query()]) -> Response:
    """A page of the supervisor-managed agents."""
    return answer(page_json(await owners.list_gateways(await question_of(owners, filters, "supervisor"))))


@router.get(
    "/{instance_id}/status",
    operation_id="getSupervisorStatus",
    response_model=SupervisorStatusResponse,
    responses=refusals(404),
)
async def get_status(owners: OwnersDep, instance_id: str) -> Response:
    """How the supervisor and the collector under it do, in one answer."""
    detail = await find_supervised(owners, instance_id)
    partial: list[str] = []
    request = supervisors.GetSupervisorRequest(instance_id=detail.gateway.instance_id)
    found, known = await asyncio.gather(
        known_to(SUPERVISOR_CONTROL, owners.get_supervisor(request)),
        unless_down(agent_config(owners, detail.gateway), CONFIG_PUSH, partial),
    )
    return answer(supervisor_status_json(detail, found.supervisor, known, partial, datetime.now(UTC)))


@router.get(
    "/{instance_id}/description",
    operation_id="getSupervisorDescription",
    response_model=AgentDescriptionResponse,
    responses=refusals(404),
)
async def get_description(owners: OwnersDep, instance_id: str) -> Response:
    """How the agent describes itself, and what it can do."""
    return answer(description_json(await find_supervised(owners, instance_id)))


@router.post(
    "/{instance_id}/restart",
    operation_id="restartCollector",
    status_code=202,
    response_model=RestartResponse,
    responses=refusals(404, 409),
)
async def restart(owners: OwnersDep, instance_id: str) -> Response:
    """Restart the collector; it is delivered at most once. Follow it under `Location`."""
    gateway = (await find(owners, instance_id)).gateway
    request = supervisors.RequestRestartRequest(
        instance_id=gateway.instance_id, gateway_id=gateway.gateway_id, actor=ACTOR
    )
    command = (await taken_by(SUPERVISOR_CONTROL, owners.request_restart(request))).command
    return answer(restart_json(command), 202, f"/api/v1/commands/{command.command_id}")
