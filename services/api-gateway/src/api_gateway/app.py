"""Composition root of the api-gateway: the owners, the events, the application over them, and the listener."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from api_gateway import problems, streams
from api_gateway.auth import SESSION_PATH, OperatorGuard
from api_gateway.event_log import JetStreamEventLog
from api_gateway.frame import RequestFrame
from api_gateway.live import Hub
from api_gateway.metrics import HttpMetrics
from api_gateway.owners import Owners, RpcOwners
from api_gateway.routers import (
    about,
    commands,
    configs,
    deliveries,
    diagnosis,
    enrollment,
    events,
    fleet,
    gateways,
    operations,
    policies,
    session,
    supervisor_ui,
    supervisors,
    telemetry,
    ui_agents,
)
from api_gateway.schemas.problem import Problem
from api_gateway.session_streams import SessionStreams
from api_gateway.sessions import Sessions
from api_gateway.settings import ApiGatewaySettings
from api_gateway.ui import BuiltUi, default_dir, is_ui
from flowkit.bus import connect
from flowkit.errors import FlowGateError, UnavailableError
from flowkit.metrics import ClientMetrics, Metrics, connected
from flowkit.rpc import RpcClient
from flowkit.service import Running
from flowkit.telemetry import get_log

SERVICE = "api-gateway"
ROUTERS = (
    gateways,
    diagnosis,
    supervisors,
    telemetry,
    supervisor_ui,
    ui_agents,
    configs,
    policies,
    operations,
    enrollment,
    commands,
    deliveries,
    events,
    fleet,
    session,
    about,
)

_TAGS = [
    {"name": "gateways", "description": "The fleet, in both modes."},
    {"name": "supervisor", "description": "Supervisor-managed agents: state, description, logs, restart."},
    {"name": "supervisor-ui", "description": "The same joined for the UI, and pushing configurations."},
    {"name": "enrollment", "description": "Tokens with which agents come into the fleet."},
    {"name": "fleet", "description": "The fleet in numbers."},
    {"name": "events", "description": "Fleet events as they happen."},
    {"name": "session", "description": "Signing in at the UI; programs send the admin token with each request."},
]
_KEEP_ALIVE_SECONDS = 75  # above the 60 s of common proxies: a request must not meet a connection that is being closed
_STOP_SECONDS = 3  # requests under way may take this long at a stop

log = get_log()


def create_app(owners: Owners, hub: Hub, settings: ApiGatewaySettings, metrics: Metrics | None = None) -> FastAPI:
    """The application over these owners and events; it counts its requests in `metrics`."""
    counted = HttpMetrics((metrics or Metrics(SERVICE)).registry)
    app = FastAPI(
        title="FlowGate",
        version=version(SERVICE),
        description="Manages fleets of OpenTelemetry Collectors over OpAMP. "
        "`gateway_id` and `instance_id` are both accepted wherever one of them is; every error is a problem document "
        "(RFC 9457); times are RFC 3339 in UTC.",
        openapi_url="/api/v1/openapi.json",
        docs_url="/api/v1/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        openapi_tags=_TAGS,
        redirect_slashes=False,
        # Spans by FastAPI itself, when flowkit/tracing.py has switched them on; the figures are those of /metrics.
        telemetry={"tracing": True, "metrics": False, "logs": False, "auto_configure": False},
    )
    sessions = Sessions(settings.admin_token_sha256, settings.session_key.get_secret_value(), settings.session_seconds)
    app.state.owners, app.state.hub, app.state.sessions, app.state.settings = owners, hub, sessions, settings
    app.state.metrics, app.state.streams, app.state.is_leaving = counted, SessionStreams(), False
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(FlowGateError, problems.of_flowgate)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(RequestValidationError, problems.of_validation)
    # The last one added is the outermost.
    app.add_middleware(BuiltUi, directory=settings.ui_dir or default_dir())
    app.add_middleware(
        OperatorGuard,
        sessions=sessions,
        streams=app.state.streams,
        is_open=lambda path: path == SESSION_PATH or is_ui(path),
    )
    app.add_middleware(RequestFrame, max_body_bytes=settings.max_body_bytes, metrics=counted)
    plain = app.openapi
    app.openapi = lambda: _described(plain())  # type: ignore[method-assign]
    return app


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Adds to OpenAPI's description what FastAPI does not know: the credential and the problem document."""
    components = schema.setdefault("components", {})
    if "securitySchemes" not in components:
        components["securitySchemes"] = {
            "adminToken": {"type": "http", "scheme": "bearer", "description": "The admin token of `flowgate up`."}
        }
        schema["security"] = [{"adminToken": []}]
        _, models = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {}).update(models["$defs"])
    return schema


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the run loop has it."""

    def capture_signals(self) -> Any:
        return nullcontext()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise UnavailableError(f"operator plane: cannot listen on {host}:{port}: {error.strerror or error}") from error


@asynccontextmanager
async def serve(app: FastAPI, host: str, port: int, leave_seconds: float = 0.0) -> AsyncIterator[int]:
    """Serve the application while entered; gives the port. At the end each answer closes its connection for
    `leave_seconds`, since a request on a kept one would meet its close.

    Raises:
        UnavailableError: the port is in use, or the address is not this machine's.
    """
    listener = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_STOP_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield cast(int, listener.getsockname()[1])
    finally:
        app.state.is_leaving = True
        await asyncio.sleep(leave_seconds)
        server.should_exit = True
        await serving


@asynccontextmanager
async def lifespan(settings: ApiGatewaySettings) -> AsyncIterator[Running]:
    """The service, running while entered."""
    bus = await connect(settings.nats_url.get_secret_value(), SERVICE, replicas=settings.nats_replicas)
    hub = Hub(JetStreamEventLog(bus), settings.events_queue)
    try:
        await bus.ensure(settings.uplink_shards)
        await hub.start()
        metrics = Metrics(SERVICE)
        metrics.add(lambda: connected({"main": bus}))
        metrics.ask("streams", lambda: streams.figures(bus, settings.uplink_shards))
        client = RpcClient(bus, settings.rpc_timeout_seconds, ClientMetrics(metrics.registry))
        app = create_app(RpcOwners(client), hub, settings, metrics)
        await app.state.streams.join(bus)

        async def ready() -> dict[str, bool]:
            return {"nats": bus.is_connected, "events": hub.is_running}

        async with serve(app, settings.host, settings.port, settings.leave_seconds) as port:
            log.info("api.listening", host=settings.host, port=port)
            try:
                yield Running(ready, metrics, hub.work)
            finally:
                await hub.stop()  # lets the listeners of events go, for which the server would wait
    finally:
        await hub.stop()
        await bus.close()
