"""The run loop of a service: logs, signals, health and readiness, graceful stop."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import uvloop

from flowkit import telemetry
from flowkit.errors import FlowGateError
from flowkit.settings import ServiceSettings
from flowkit.telemetry import get_log

log = get_log()

Settings = TypeVar("Settings", bound=ServiceSettings)

Ready = Callable[[], Awaitable[dict[str, bool]]]
"""Tells by name which of the things that a service needs are there."""


def run(name: str, settings: Settings, lifespan: Callable[[Settings], AbstractAsyncContextManager[Ready]]) -> None:
    """Run a service until SIGTERM or SIGINT; exits with 1 when it cannot start or breaks.

    Args:
        name: the service, such as agent-registry.
        settings: its settings.
        lifespan: starts it when entered and stops it when left.
    """
    telemetry.configure(name, settings.log_level)
    sys.exit(uvloop.run(_main(name, settings, lifespan)))


async def _main(
    name: str, settings: Settings, lifespan: Callable[[Settings], AbstractAsyncContextManager[Ready]]
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = _Health()
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
    lifespan: Callable[[Settings], AbstractAsyncContextManager[Ready]],
    health: "_Health",
    stop: asyncio.Event,
) -> int:
    try:
        async with lifespan(settings) as ready:
            health.ready = ready
            log.info("service.ready", health_port=port)
            await stop.wait()
    except FlowGateError as error:
        log.error("service.failed", error=str(error))
        return 1
    except Exception as error:
        log.error("service.failed", error=repr(error), exc_info=True)
        return 1
    log.info("service.stopped")
    return 0


class _Health:
    """Answers GET /healthz (the process lives) and /readyz (it can do its work), without credentials."""

    def __init__(self) -> None:
        self.ready: Ready | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            async with asyncio.timeout(5.0):
                request = await reader.readuntil(b"\r\n\r\n")
                status, body = await self._answer(request.split(b" ", 2)[1])
                head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("health.bad_request")
        finally:
            writer.close()

    async def _answer(self, path: bytes) -> tuple[str, bytes]:
        if path == b"/healthz":
            return "200 OK", b"ok\n"
        if path != b"/readyz":
            return "404 Not Found", b"only /healthz and /readyz\n"
        if self.ready is None:
            return "503 Service Unavailable", b"starting or stopping\n"
        states = await self.ready()
        lines = "".join(f"{name} {'ok' if is_ready else 'not ready'}\n" for name, is_ready in states.items())
        return ("200 OK" if all(states.values()) else "503 Service Unavailable"), lines.encode()
