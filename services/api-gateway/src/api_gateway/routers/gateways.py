"""Gateways: the fleet's agents in both modes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.choosing import question_of
from api_gateway.owners import (
    CONFIG_PUSH,
    SUPERVISOR_CONTROL,
    Owners,
    OwnersDep,
    canonical_id,
    find,
    unless_down,
    unless_unknown,
)
from api_gateway.schemas.agent import AgentHealthResponse, AgentStatusResponse, agent_health_json, status_json
from api_gateway.schemas.config import AgentConfigResponse, DeliveryListResponse, config_json, delivery_json
from api_gateway.schemas.description import (
    AgentDescriptionResponse,
    AgentVersionResponse,
    description_json,
    version_json,
)
from api_gateway.schemas.gateway import (
    FleetFilters,
    GatewayListResponse,
    GatewayPatch,
    GatewayResponse,
    gateway_json,
    page_json,
)
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.opamp import timestamp

router = APIRouter(prefix="/api/v1/gateways", tags=["gateways"], responses=refusals(401, 422, 503))

_LATEST = timedelta(minutes=5)  # metrics of a status: collectors send theirs every minute


async def agent_config(owners: Owners, gateway: registry.Gateway) -> configs.GetAgentConfigResponse | None:
    """What config-push knows of a gateway that the registry knows; None when it knows nothing of it."""
    request = configs.GetAgentConfigRequest(instance_id=gateway.instance_id)
    return await unless_unknown(owners.get_agent_config(request))


@router.get("", operation_id="listGateways", response_model=GatewayListResponse)
async def list_gateways(owners: OwnersDep, filters: Annotated[FleetFilters, Query()]) -> Response:
    """A page of the fleet, in both modes."""
    return answer(page_json(await owners.list_gateways(await question_of(owners, filters, filters.management_mode))))


@router.get("/{gateway_id}", operation_id="getGateway", response_model=GatewayResponse, responses=refusals(404))
async def get_gateway(owners: OwnersDep, gateway_id: str) -> Response:
    """One gateway, by its gateway_id or its agent's instance_id."""
    return answer(gateway_json((await find(owners, gateway_id)).gateway))


@router.patch(
    "/{gateway_id}", operation_id="updateGateway", response_model=GatewayResponse, responses=refusals(404, 413)
)
async def update_gateway(owners: OwnersDep, gateway_id: str, patch: GatewayPatch) -> Response:
    """Change name or labels; what is left out stays, a label that is null is taken away."""
    changed = await owners.update_gateway(patch.order(canonical_id(gateway_id)))
    return answer(gateway_json(changed.gateway))


@router.delete("/{gateway_id}", operation_id="deleteGateway", status_code=204, responses=refusals(404, 409))
async def delete_gateway(owners: OwnersDep, gateway_id: str) -> Response:
    """Take an offline gateway out of the fleet; it comes back as a new one if its agent connects again."""
    await owners.delete_gateway(registry.DeleteGatewayRequest(id=canonical_id(gateway_id)))
    return Response(status_code=204)


@router.get(
    "/{gateway_id}/health",
    operation_id="getGatewayHealth",
    response_model=AgentHealthResponse,
    responses=refusals(404),
)
async def get_health(owners: OwnersDep, gateway_id: str) -> Response:
    """How the agent does, with its component tree."""
    return answer(agent_health_json(await find(owners, gateway_id), datetime.now(UTC)))


@router.get(
    "/{gateway_id}/version",
    operation_id="getGatewayVersion",
    response_model=AgentVersionResponse,
    responses=refusals(404),
)
async def get_version(owners: OwnersDep, gateway_id: str) -> Response:
    """What the agent is, where it runs and what it was built with."""
    return answer(version_json(await find(owners, gateway_id)))


@router.get(
    "/{gateway_id}/description",
    operation_id="getGatewayDescription",
    response_model=AgentDescriptionResponse,
    responses=refusals(404),
)
async def get_description(owners: OwnersDep, gateway_id: str) -> Response:
    """How the agent describes itself, and what it can do."""
    return answer(description_json(await find(owners, gateway_id)))


@router.get(
    "/{gateway_id}/config",
    operation_id="getGatewayConfig",
    response_model=AgentConfigResponse,
    responses=refusals(404),
)
async def get_config(owners: OwnersDep, gateway_id: str) -> Response:
    """What the agent runs with as it reported it, what it should run with, and how far that got."""
    gateway = (await find(owners, gateway_id)).gateway
    return answer(config_json(gateway, await agent_config(owners, gateway)))


@router.get(
    "/{gateway_id}/config/history",
    operation_id="listGatewayDeliveries",
    response_model=DeliveryListResponse,
    responses=refusals(404),
)
async def list_deliveries(
    owners: OwnersDep,
    gateway_id: str,
    limit: Annotated[int, Query(ge=1, le=200, description="Deliveries at most.")] = 50,
) -> Response:
    """Configurations that were sent to the agent and what came of each, newest first."""
    gateway = (await find(owners, gateway_id)).gateway
    request = configs.ListDeliveriesRequest(history_of=gateway.instance_id, limit=limit)
    found = await owners.list_deliveries(request)
    return answer({"items": [delivery_json(one) for one in found.deliveries]})


@router.get(
    "/{gateway_id}/status",
    operation_id="getGatewayStatus",
    response_model=AgentStatusResponse,
    responses=refusals(404),
)
async def get_status(owners: OwnersDep, gateway_id: str) -> Response:
    """Health, version, configuration and metrics together; what an owner does not tell is left out."""
    detail = await find(owners, gateway_id)
    now = datetime.now(UTC)
    partial: list[str] = []
    question = telemetry.GetMetricsRequest(
        instance_id=detail.gateway.instance_id, since=timestamp(now - _LATEST), step_seconds=_LATEST.seconds
    )
    known, metrics = await asyncio.gather(
        unless_down(agent_config(owners, detail.gateway), CONFIG_PUSH, partial),
        unless_down(owners.get_metrics(question), SUPERVISOR_CONTROL, partial),
    )
    return answer(status_json(detail, known, metrics, sorted(partial), now))
