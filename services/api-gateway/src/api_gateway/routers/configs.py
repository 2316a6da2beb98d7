"""Configurations that nobody has got yet."""

from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import OwnersDep
from api_gateway.routers.supervisors import ACTOR
from api_gateway.schemas.config import ConfigCheckResponse, ConfigPush, check_json
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowkit.errors import InvalidError

router = APIRouter(prefix="/api/v1/configs", tags=["supervisor-ui"], responses=refusals(401, 413, 422, 503))


@router.post("/validate", operation_id="validateConfig", response_model=ConfigCheckResponse)
async def validate(owners: OwnersDep, push: ConfigPush) -> Response:
    """What a push of this configuration would be refused for, each with its line. Nothing is kept.

    A collector may refuse it all the same: what it was built with, and what its components want, it knows itself.
    """
    try:
        await owners.keep_config(configs.KeepConfigRequest(config=push.config, actor=ACTOR, check_only=True))
    except InvalidError as error:
        return answer(check_json(error))
    return answer(check_json(None))
