"""The run loop of a service: logs, signals, health and readiness, graceful stop."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from flowkit import telemetry, tracing
from flowkit.errors import FlowGateError
from flowkit.metrics import Metrics, TokenGuard
from flowkit.settings import ServiceSettings
from flowkit.telemetry import get_log

log = get_log()

Settings = TypeVar("Settings", bound=ServiceSettings)

Ready = Callable[[], Awaitable[dict[str, bool]]]
"""Tells by name which of the things that a service needs are there."""


@dataclass(frozen=True)
class Running:
    """A service that does its work.

    Attributes:
        ready: whether it can, by what it needs.
        metrics: what it tells at /metrics.
        work: what goes on as long as it does; the end of any of it is the end of the service.
    """

    ready: Ready
    metrics: Metrics
    work: Sequence["asyncio.Future[None]"]


Lifespan = Callable[[Settings], AbstractAsyncContextManager[Running]]
"""Starts a service when entered and stops it when left."""


def run(name: str, settings: Settings, lifespan: Lifespan[Settings]) -> None:
    """Run a service until SIGTERM or SIGINT; exits with 1 when it cannot start or breaks.

    Args:
        name: the service, such as agent-registry.
        settings: its settings.
        lifespan: starts it when entered and stops it when left.
    """
    telemetry.configure(name, settings.log_level)
    tracing.configure(name)
    code = uvloop.run(_main(name, settings, lifespan))
    tracing.stop()
    sys.exit(code)


async def _main(name: str, settings: Settings, lifespan: Lifespan[Settings]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = _Health(TokenGuard(settings.metrics_token_sha256))
    try:
        server = await asyncio.start_server(health.serve, settings.health_host, settings.health_port)
    except OSError as error:
        log.error("service.failed", error=f"health listener: {error}")
        return 1
    port = server.sockets[0].getsockname()[1]
    async with server:
        work = asyncio.create_task(_live(name, port, settings, lifespan, health, stop))
        await asyncio.wait({work, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("service.stopping")
            health.ready = None
            _, late = await asyncio.wait({work}, timeout=settings.stop_seconds)
            if late:
                log.error("service.stop_timeout", seconds=settings.stop_seconds)
                return 1
    return work.result()


async def _live(
    name: str,
    port: int,
    settings: Settings,
    lifespan: Lifespan[Settings],
    health: "_Health",
    stop: asyncio.Event,
) -> int:
    try:
        async with lifespan(settings) as running:
            health.ready, health.metrics = running.ready, running.metrics
            log.info("service.ready", health_port=port)
            stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait([stopped, *running.work], return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {stopped}:
                error = None if ended.cancelled() else ended.exception()
                raise RuntimeError("work that should go on for ever has ended") from error
    except FlowGateError as error:
        log.error("service.failed", error=str(error))
        return 1
    except Exception as error:
        log.error("service.failed", error=repr(error), exc_info=True)
        return 1
    log.info("service.stopped")
    return 0


class _Health:
    """Answers GET /healthz (the process lives) and /readyz (what it needs was there), without credentials; and /metrics
    to who shows the token for it.

    Who was ready once stays so until the service stops, and the lines say what is missing now: what one replica lacks
    all of them lack, and who is sent to none of them hears less than who is told to come again.
    """

    def __init__(self, guard: TokenGuard) -> None:
        self.ready: Ready | None = None
        self.metrics: Metrics | None = None
        self._was_ready = False
        self._guard = guard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            async with asyncio.timeout(5.0):
                request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
                }
                status, content_type, body = await self._answer(request.split(" ", 2)[1], headers)
                head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
                challenge = "WWW-Authenticate: Bearer\r\n" if status.startswith("401") else ""
                writer.write(f"{head}{challenge}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("health.bad_request")
        finally:
            writer.close()

    async def _answer(self, path: str, headers: dict[str, str]) -> tuple[str, str, bytes]:
        if path == "/metrics" and self._guard.is_open:
            return await self._figures(headers)
        status, text = await self._health(path)
        return status, "text/plain", text.encode()

    async def _health(self, path: str) -> tuple[str, str]:
        if path == "/healthz":
            return "200 OK", "ok\n"
        if path != "/readyz":
            return "404 Not Found", "only /healthz and /readyz\n"
        if self.ready is None:
            return "503 Service Unavailable", "starting or stopping\n"
        states = await self.ready()
        lines = "".join(f"{name} {'ok' if is_ready else 'not ready'}\n" for name, is_ready in states.items())
        self._was_ready |= all(states.values())
        return ("200 OK" if self._was_ready else "503 Service Unavailable"), lines

    async def _figures(self, headers: dict[str, str]) -> tuple[str, str, bytes]:
        if not self._guard.admits(headers.get("authorization", "")):
            return "401 Unauthorized", "text/plain", b"the token of the metrics is needed\n"
        if self.metrics is None:
            return "503 Service Unavailable", "text/plain", b"starting\n"
        return "200 OK", *await self.metrics.page(headers.get("accept", ""))
