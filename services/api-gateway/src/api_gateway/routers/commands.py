"""Commands: how far an order to an agent got."""

from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import OwnersDep, plain_id
from api_gateway.schemas.command import CommandResponse, command_json
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors

router = APIRouter(prefix="/api/v1/commands", tags=["supervisor"], responses=refusals(401, 404, 422, 503))


@router.get("/{command_id}", operation_id="getCommand", response_model=CommandResponse)
async def get_command(owners: OwnersDep, command_id: str) -> Response:
    """One command."""
    request = supervisors.GetCommandRequest(command_id=plain_id(command_id, "command"))
    return answer(command_json((await owners.get_command(request)).command))
