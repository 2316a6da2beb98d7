"""A fleet of two agents, one in each mode, and a client with the admin token."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from api_gateway.app import create_app
from api_gateway.live import Hub
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners, make_gateway
from api_gateway.testing_events import MemoryEventLog
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry

TOKEN = "admin-token-of-the-tests"


@pytest.fixture
def token() -> str:
    """The admin token."""
    return TOKEN


@pytest.fixture
def settings() -> ApiGatewaySettings:
    """Settings as `flowgate up` gives them."""
    return ApiGatewaySettings(
        admin_token_sha256=sha256(TOKEN.encode()).hexdigest(), max_body_bytes=4096, events_queue=50
    )


@pytest.fixture
def owners() -> MemoryOwners:
    """Gateway 1 in extension mode, gateway 2 in supervisor mode; the three owners know them."""
    owners = MemoryOwners()
    for detail in (make_gateway(1), make_gateway(2, supervised=True)):
        owners.fleet[detail.gateway.gateway_id] = detail
    supervised = detail.gateway
    owners.supervisors[supervised.instance_id] = supervisors.Supervisor(
        instance_id=supervised.instance_id, collector_state="running", collector_starts=3
    )
    owners.records[supervised.instance_id] = [
        telemetry.AgentLogRecord(
            severity="ERROR", severity_number=17, source="collector", body="it broke", attributes_json='{"code": 1}'
        ),
        telemetry.AgentLogRecord(severity="INFO", severity_number=9, source="flowgate", body="it connected"),
    ]
    return owners


@pytest.fixture
def events() -> MemoryEventLog:
    """Event streams in memory."""
    return MemoryEventLog()


@pytest.fixture
async def hub(events: MemoryEventLog, settings: ApiGatewaySettings) -> AsyncIterator[Hub]:
    """A hub that reads them."""
    hub = Hub(events, settings.events_queue)
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
def app(owners: MemoryOwners, hub: Hub, settings: ApiGatewaySettings) -> FastAPI:
    """The application over them."""
    return create_app(owners, hub, settings)


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client without a credential."""
    async with AsyncClient(transport=ASGITransport(app), base_url="http://flowgate") as client:
        yield client


@pytest.fixture
async def client(anonymous: AsyncClient, token: str) -> AsyncClient:
    """A client with the admin token."""
    anonymous.headers["Authorization"] = f"Bearer {token}"
    return anonymous
