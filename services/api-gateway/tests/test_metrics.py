"""What the API counts: by the template of a path, never by the path."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from httpx2 import ASGITransport, AsyncClient

from api_gateway.app import SERVICE, create_app
from api_gateway.live import Hub
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners
from flowkit.metrics import Metrics

SECONDS = "http_server_request_duration_seconds_count"


class Api:
    """The application, and what it tells."""

    def __init__(self, client: AsyncClient, metrics: Metrics) -> None:
        self.client = client
        self.metrics = metrics

    async def figures(self) -> dict[str, float]:
        _, page = await self.metrics.page()
        samples = (line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def requests(self) -> dict[str, float]:
        """Requests by their labels."""
        return {name.removeprefix(SECONDS): n for name, n in (await self.figures()).items() if name.startswith(SECONDS)}


def of(method: str, route: str, status: int) -> str:
    """The labels of a request as the text has them."""
    return f'{{http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"}}'


@pytest.fixture
async def api(owners: MemoryOwners, hub: Hub, settings: ApiGatewaySettings, token: str) -> AsyncIterator[Api]:
    metrics = Metrics(SERVICE)
    app = create_app(owners, hub, settings, metrics)
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://flowgate", headers=headers) as client:
        yield Api(client, metrics)


async def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    """Ids, unknown paths and unknown methods make no series of their own."""
    for path in ("0198e4b0-7c1d-7a3e-9f00-00000000000a", "0198e4b0-7c1d-7a3e-9f00-00000000000b"):
        assert (await api.client.get(f"/api/v1/gateways/{path}")).status_code == 404
    for path in ("/api/v1/nowhere", "/api/v1/neither"):
        assert (await api.client.get(path)).status_code == 404
    assert (await api.client.get("/api/v1/gateways")).status_code == 200
    assert (await api.client.get("/api/v1/gateways", headers={"Authorization": ""})).status_code == 401
    for method in ("BREW", "WHEN"):
        await api.client.request(method, "/api/v1/gateways")
    await api.client.get("/agents")  # a page of the UI, built or not
    found = await api.requests()
    assert found[of("GET", "/api/v1/gateways/{gateway_id}", 404)] == 2
    assert found[of("GET", "", 404)] == 2
    assert found[of("GET", "/api/v1/gateways", 200)] == 1
    assert found[of("GET", "", 401)] == 1  # refused before it was routed
    assert sum(count for labels, count in found.items() if 'method="_OTHER"' in labels) == 2
    assert sum(count for labels, count in found.items() if 'route="ui"' in labels) == 1
    assert sum(found.values()) == 9
    assert (await api.figures())["http_server_active_requests"] == 0


async def test_an_event_stream_is_a_client_as_long_as_it_lasts(api: Api, hub: Hub) -> None:
    """It is not among the requests, whose seconds tell how fast answers are."""
    client = 'flowgate_sse_clients{http_route="/api/v1/events"}'
    during: list[dict[str, float]] = []

    app = api.client._transport.app  # type: ignore[attr-defined]

    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, object]:
        for message in requests:
            return message
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body" and not during:
            during.append(await api.figures())
            await hub.stop()

    token = api.client.headers["authorization"].encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/events",
        "raw_path": b"/api/v1/events",
        "query_string": b"",
        "headers": [(b"authorization", token)],
        "client": ("127.0.0.1", 1),
        "server": ("flowgate", 80),
    }
    await app(scope, receive, send)
    assert (during[0][client], during[0]["http_server_active_requests"]) == (1, 1)
    after = await api.figures()
    assert (after[client], after["http_server_active_requests"]) == (0, 0)
    assert after['flowgate_sse_streams_total{http_route="/api/v1/events"}'] == 1
    assert await api.requests() == {}


async def test_sign_ins_are_counted(api: Api, token: str) -> None:
    """Those that were let in, and those that were not."""
    await api.client.post("/api/v1/session", json={"token": token})
    for _ in range(2):
        await api.client.post("/api/v1/session", json={"token": "wrong"})
    found = await api.figures()
    assert found['flowgate_sign_ins_total{outcome="begun"}'] == 1
    assert found['flowgate_sign_ins_total{outcome="refused"}'] == 2
