"""What the UI needs of supervisor-managed agents, joined from the three owners, and pushing a configuration."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.choosing import question_of
from api_gateway.owners import (
    CONFIG_PUSH,
    SUPERVISOR_CONTROL,
    Owners,
    OwnersDep,
    find,
    find_supervised,
    taken_by,
    unless_down,
    unless_unknown,
)
from api_gateway.routers.gateways import agent_config
from api_gateway.routers.supervisors import ACTOR
from api_gateway.schemas.config import AgentConfigResponse, ConfigPush, ConfigPushResponse, config_json, push_json
from api_gateway.schemas.gateway import GatewayFilters
from api_gateway.schemas.supervisor import UiAgentListResponse, UiAgentResponse, ui_agent_json, ui_detail_json
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.errors import InvalidError

router = APIRouter(prefix="/api/v1/supervisor/ui/agents", tags=["supervisor-ui"], responses=refusals(401, 422, 503))

_RECENT = 50  # log records in a detail


@router.get("", operation_id="listUiAgents", response_model=UiAgentListResponse)
async def list_agents(owners: OwnersDep, filters: Annotated[GatewayFilters, Query()]) -> Response:
    """A page of supervisor-managed agents with supervisor and delivery; what an owner does not tell is left out."""
    return await joined_page(owners, await question_of(owners, filters, "supervisor"))


async def joined_page(owners: Owners, question: registry.ListGatewaysRequest) -> Response:
    """A UiAgentListResponse: the registry's page, joined with what the other two owners know of its agents."""
    page = await owners.list_gateways(question)
    ids = [gateway.instance_id for gateway in page.gateways]
    states: dict[str, supervisors.Supervisor] = {}
    deliveries: dict[str, configs.Delivery] = {}
    partial: list[str] = []
    if ids:  # an empty list of ids would mean all agents
        known, pushed = await asyncio.gather(
            unless_down(
                owners.list_supervisors(supervisors.ListSupervisorsRequest(instance_ids=ids)),
                SUPERVISOR_CONTROL,
                partial,
            ),
            unless_down(owners.list_deliveries(configs.ListDeliveriesRequest(instance_ids=ids)), CONFIG_PUSH, partial),
        )
        states = {one.instance_id: one for one in known.supervisors} if known else {}
        deliveries = {one.instance_id: one for one in pushed.deliveries} if pushed else {}
    return answer(
        {
            "items": [
                ui_agent_json(gateway, states.get(gateway.instance_id), deliveries.get(gateway.instance_id))
                for gateway in page.gateways
            ],
            "next_cursor": page.next_cursor or None,
            "total": page.total,
            "partial": sorted(partial),
        }
    )


@router.get("/{instance_id}", operation_id="getUiAgent", response_model=UiAgentResponse, responses=refusals(404))
async def get_agent(owners: OwnersDep, instance_id: str) -> Response:
    """Everything known of a supervisor-managed agent in one answer; what an owner does not tell is left out."""
    detail = await find_supervised(owners, instance_id)
    uid = detail.gateway.instance_id
    partial: list[str] = []
    supervisor, known, records = await asyncio.gather(
        unless_down(
            unless_unknown(owners.get_supervisor(supervisors.GetSupervisorRequest(instance_id=uid))),
            SUPERVISOR_CONTROL,
            partial,
        ),
        unless_down(agent_config(owners, detail.gateway), CONFIG_PUSH, partial),
        unless_down(
            owners.list_logs(telemetry.ListLogsRequest(instance_id=uid, limit=_RECENT)),
            SUPERVISOR_CONTROL,
            partial,
        ),
    )
    return answer(ui_detail_json(detail, supervisor, known, records, sorted(set(partial)), datetime.now(UTC)))


@router.post(
    "/{instance_id}/config",
    operation_id="pushConfig",
    status_code=202,
    response_model=ConfigPushResponse,
    responses=refusals(404, 409, 412, 413),
)
async def push_config(
    owners: OwnersDep,
    instance_id: str,
    push: ConfigPush,
    if_match: Annotated[
        str | None,
        Header(pattern=r'^"[0-9a-f]{1,128}"$', description="Only while this is the assigned one: its hash in quotes."),
    ] = None,
    if_none_match: Annotated[
        Literal["*"] | None, Header(description="Only while no configuration is assigned to the agent.")
    ] = None,
) -> Response:
    """Give the agent a configuration; one that is offline gets it when it is back. Follow it under `Location`.

    YAML that does not parse is refused with its line and column (422), an agent that cannot take a configuration
    with the capability that it lacks (409). Without a condition it replaces whatever is assigned.
    """
    gateway = (await find(owners, instance_id)).gateway
    request = configs.AssignConfigRequest(
        instance_id=gateway.instance_id,
        gateway_id=gateway.gateway_id,
        config=push.config,
        actor=ACTOR,
        expected_hash=if_match.strip('"') if if_match else "" if if_none_match else None,
    )
    try:
        delivery = (await taken_by(CONFIG_PUSH, owners.assign_config(request))).delivery
    except InvalidError as error:
        for place in error.extra.get("errors", ()):  # line and column are those of the text in this member
            place.setdefault("loc", "body.config")
        raise
    return answer(push_json(delivery), 202, f"/api/v1/deliveries/{delivery.delivery_id}")


@router.get(
    "/{instance_id}/effective-config",
    operation_id="getUiEffectiveConfig",
    response_model=AgentConfigResponse,
    responses=refusals(404),
)
async def get_effective_config(owners: OwnersDep, instance_id: str) -> Response:
    """What the agent runs with, and what it should run with."""
    gateway = (await find_supervised(owners, instance_id)).gateway
    return answer(config_json(gateway, await agent_config(owners, gateway)))
