"""The opamp-gateway put together: who talks to whom."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass

from flowgate.uplink.v1 import uplink_pb2
from flowkit import bus as buses
from flowkit import service, tasks
from flowkit.errors import UnavailableError
from flowkit.metrics import Metrics, connected
from flowkit.telemetry import get_log
from opamp_gateway import metrics, websocket
from opamp_gateway.connections import Connections
from opamp_gateway.credentials import Credentials
from opamp_gateway.deadlines import Ticker
from opamp_gateway.delivery import Delivery
from opamp_gateway.desired import Bodies, Desired
from opamp_gateway.handlers import Handlers
from opamp_gateway.handover import Handover
from opamp_gateway.jetstream import Publisher
from opamp_gateway.listener import Listener
from opamp_gateway.presence import Presence
from opamp_gateway.settings import OpampGatewaySettings
from opamp_gateway.shards import Shards
from opamp_gateway.telemetry import Telemetry
from opamp_gateway.uplink import Uplink

log = get_log()

_MAX_PAYLOAD = 1 << 20  # bytes; NATS' default, and what the largest batch may need
_MIRROR_SECONDS = 10.0  # for each of the buckets to be read at the start


@dataclass(frozen=True)
class Running(service.Running):
    """An ingress that takes agents."""

    port: int


@contextlib.asynccontextmanager
async def lifespan(settings: OpampGatewaySettings) -> AsyncIterator[service.Running]:
    """The ingress as the run loop wants it."""
    async with ingress(settings) as running:
        yield running


@contextlib.asynccontextmanager
async def ingress(settings: OpampGatewaySettings) -> AsyncIterator[Running]:
    """Start the ingress; at the end close every connection, store what is on its way, hand the sessions over."""
    gateway = uuid.uuid4().hex
    nats_url = settings.nats_url.get_secret_value()
    bus = await buses.connect(nats_url, f"opamp-gateway-{gateway}", replicas=settings.nats_replicas)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(bus.close)
        # A connection of its own: a flood of telemetry must not stand before the reports of agents.
        telemetry_bus = await buses.connect(nats_url, f"opamp-gateway-telemetry-{gateway}")
        stack.push_async_callback(telemetry_bus.close)
        await bus.ensure(settings.uplink_shards)
        if bus.connection.max_payload < _MAX_PAYLOAD:
            raise UnavailableError(f"NATS' max_payload is {bus.connection.max_payload}, less than {_MAX_PAYLOAD}")
        publisher, telemetry_publisher = Publisher(bus), Publisher(telemetry_bus)
        await publisher.start()
        await telemetry_publisher.start()

        connections = Connections(settings.uplink_shards, settings.heartbeat_interval_seconds)
        shards = range(settings.uplink_shards)
        uplink = Uplink(
            Shards(
                publisher.publish,
                [uplink_pb2.UplinkBatch(shard=number, gateway=gateway) for number in shards],
                flush_seconds=settings.flush_seconds,
                deadline=settings.reply_deadline_seconds,
                max_waiters=settings.max_waiting_reports,
                max_bytes=settings.max_waiting_bytes,
            )
        )
        desired = Desired(bus)
        credentials = Credentials(bus, settings.token_digests)
        telemetry = Telemetry(telemetry_publisher.publish, gateway, settings, credentials)
        presence = Presence(bus.connection.publish, gateway)
        delivery = Delivery(
            connections, desired, Bodies(bus), uplink, settings.max_message_bytes, settings.telemetry_key_bytes
        )
        handlers = Handlers(settings, bus, connections, uplink, delivery, presence, Handover(bus))
        uplink.shards.stored, uplink.shards.refused = handlers.reports_stored, handlers.reports_refused
        desired.changed = delivery.desired_changed

        work = [_start(stack, one) for one in (desired.mirror.run(), credentials.mirror.run(), presence.run())]
        if not await credentials.mirror.wait_complete(_MIRROR_SECONDS):
            raise UnavailableError("NATS does not give the enrollment tokens")
        if not await desired.mirror.wait_complete(_MIRROR_SECONDS):
            raise UnavailableError("NATS does not give the desired state of the agents")
        listener = Listener(settings, handlers, credentials, telemetry)

        def revoked(token_id: str) -> None:
            listener.credential_revoked(token_id)
            handlers.credential_revoked(token_id)

        credentials.revoked = revoked
        try:
            port = await listener.start()
        except OSError as error:
            raise UnavailableError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
        tickers = [Ticker(1.0, handlers.agents_silent), Ticker(1.0, lambda: credentials.expire(time.time_ns()))]
        log.info("gateway.listening", host=settings.host, port=port, path=settings.path, gateway=gateway)

        async def ready() -> dict[str, bool]:
            return {
                "nats": bus.is_connected and telemetry_bus.is_connected,
                "desired": desired.mirror.is_complete,
                "credentials": credentials.mirror.is_complete,
            }

        told = Metrics("opamp-gateway")
        told.add(lambda: connected({"main": bus, "telemetry": telemetry_bus}))
        told.add(lambda: metrics.figures(listener, connections, handlers, uplink, delivery, desired, telemetry))
        try:
            yield Running(ready, told, work, port)
        finally:
            handlers.is_draining = telemetry.is_draining = True
            for ticker in tickers:
                ticker.stop()
            await listener.drain(websocket.SERVICE_RESTART, "restarting")
            await asyncio.gather(handlers.drain(), telemetry.drain(2.0))


def _start(stack: contextlib.AsyncExitStack, work: Coroutine[None, None, None]) -> "asyncio.Future[None]":
    started = asyncio.ensure_future(work)
    stack.push_async_callback(tasks.cancel, started)
    return started
