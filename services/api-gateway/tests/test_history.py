"""Configurations that were sent to an agent before."""

from httpx2 import AsyncClient

from api_gateway.schemas.config import DeliveredConfigResponse, DeliveryListResponse
from api_gateway.testing import make_gateway

AGENT = make_gateway(2, supervised=True).gateway


async def test_earlier_versions_are_kept(client: AsyncClient) -> None:
    """Newest first, by either id; the text of each as it was sent."""
    for text in ("receivers: {}\n", "exporters: {}\n"):
        response = await client.post(f"/api/v1/supervisor/ui/agents/{AGENT.instance_id}/config", json={"config": text})
        assert response.status_code == 202
    history = (await client.get(f"/api/v1/gateways/{AGENT.gateway_id}/config/history")).json()
    DeliveryListResponse.model_validate(history)
    texts = []
    for item in history["items"]:
        body = (await client.get(f"/api/v1/deliveries/{item['delivery_id']}/config")).json()
        DeliveredConfigResponse.model_validate(body)
        texts.append(body["config"])
    assert texts == ["exporters: {}\n", "receivers: {}\n"]
    assert (await client.get("/api/v1/deliveries/none/config")).status_code == 404
