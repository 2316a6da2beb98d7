"""Deliveries: how far a configuration got."""

from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import OwnersDep, plain_id
from api_gateway.schemas.config import DeliveredConfigResponse, DeliveryResponse, delivery_json
from flowgate.rpc.v1 import config_push_pb2 as configs

router = APIRouter(prefix="/api/v1/deliveries", tags=["supervisor-ui"], responses=refusals(401, 404, 422, 503))


@router.get("/{delivery_id}", operation_id="getDelivery", response_model=DeliveryResponse)
async def get_delivery(owners: OwnersDep, delivery_id: str) -> Response:
    """One delivery."""
    request = configs.GetDeliveryRequest(delivery_id=plain_id(delivery_id, "delivery"))
    return answer(delivery_json((await owners.get_delivery(request)).delivery))


@router.get("/{delivery_id}/config", operation_id="getDeliveredConfig", response_model=DeliveredConfigResponse)
async def get_delivered_config(owners: OwnersDep, delivery_id: str) -> Response:
    """One delivery with the configuration that it delivers: earlier versions can be compared and sent again."""
    request = configs.GetDeliveryRequest(delivery_id=plain_id(delivery_id, "delivery"))
    found = await owners.get_delivery(request)
    return answer({**delivery_json(found.delivery), "config": found.config})
