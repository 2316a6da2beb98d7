"""The socket of the agent plane, and everything that its connections share: timeouts, pings, the drain."""

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any, cast

from flowkit.telemetry import get_log
from opamp_gateway import websocket
from opamp_gateway.credentials import Credentials
from opamp_gateway.deadlines import Deadlines, Ticker, Wheel
from opamp_gateway.settings import OpampGatewaySettings
from opamp_gateway.telemetry import Telemetry
from opamp_gateway.transports import Application, Link

log = get_log()

_BACKLOG = 4096  # OpAMP clients come back at once and all together
_AT_ONCE = 50  # connections closed in one turn of the loop
_CLOSE_SECONDS = 5.0  # for the peer's side of a close handshake
_LAST_SECONDS = 1.0  # for those handshakes at a drain


class Listener:
    """Makes a Link of every connection."""

    def __init__(
        self,
        settings: OpampGatewaySettings,
        application: Application,
        credentials: Credentials,
        telemetry: Telemetry,
    ) -> None:
        self.application = application
        self.telemetry = telemetry
        self.credentials = credentials
        self.message = application.message
        self.path = settings.path
        self.limit = settings.max_message_bytes
        self.accepts_headerless = settings.accept_headerless
        self.is_draining = False
        self.handshakes: Deadlines[Link] = Deadlines(settings.handshake_timeout_seconds)
        self.bodies: Deadlines[Link] = Deadlines(settings.body_timeout_seconds)
        self.idle: Deadlines[Link] = Deadlines(settings.idle_timeout_seconds)
        self.stalled: Deadlines[Link] = Deadlines(settings.write_timeout_seconds)
        self.closing: Deadlines[Link] = Deadlines(_CLOSE_SECONDS)
        self.http: set[Link] = set()
        self.rejections: Counter[tuple[str, int]] = Counter()
        """Requests refused by their head or body, by protocol and HTTP status."""
        self.websockets: Wheel[Link] = Wheel(settings.ping_interval_seconds)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._is_empty = asyncio.Event()
        self._is_without_polls = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ticker: Ticker | None = None

    async def start(self) -> int:
        """Listen; returns the port. Raises OSError when the address is taken."""
        self._server = await self._loop.create_server(
            lambda: Link(self), self._settings.host, self._settings.port, backlog=_BACKLOG
        )
        self._ticker = Ticker(1.0, self.sweep)
        return int(cast(Any, self._server.sockets[0].getsockname())[1])

    def upgraded(self, link: Link) -> None:
        """A connection goes on as a WebSocket."""
        self.http.discard(link)
        self.websockets.add(link)

    def ending(self, link: Link) -> None:
        """This side of a connection is closed; the other has some seconds for it."""
        self.closing.start(link, self.now())
        self._release(link)

    def forget(self, link: Link) -> None:
        """A connection is closed, or is as soon as the last byte is sent."""
        self.closing.stop(link)
        self._release(link)

    def _release(self, link: Link) -> None:
        for deadlines in (self.handshakes, self.bodies, self.idle, self.stalled):
            deadlines.stop(link)
        self.http.discard(link)
        self.websockets.discard(link)
        if self.is_draining and not self.http:
            self._is_without_polls.set()
            if not self.closing and not len(self.websockets):
                self._is_empty.set()

    def sweep(self) -> None:
        """Once a second: drop what is late and ping the WebSockets whose turn it is."""
        now = self.now()
        for deadlines in (self.handshakes, self.bodies, self.idle, self.stalled, self.closing):
            for link in deadlines.expired(now):
                link.abort()
        for link in self.websockets.turn():
            link.ping()

    def credential_revoked(self, token_id: str) -> None:
        """Close the WebSockets that were made with an enrollment token."""
        links = [link for link in self.websockets if link.credential == token_id]
        if links:
            log.info("listener.revoked", credential=token_id, links=len(links))
        task = self._loop.create_task(_kick(links))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, code: int, reason: str) -> None:
        """Take no more, close every connection and wait for the handshakes.

        Agents that poll come again when it is time for them; those on WebSockets come at once, so that they are
        closed in a staggered way.
        """
        self.is_draining = True
        if self._server is not None:
            self._server.close()
        for link in list(self.http):
            link.kick(code, reason)
        if self.http:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_without_polls.wait(), _LAST_SECONDS)
        self.application.polls_ended()
        links = [*self.websockets]
        random.shuffle(links)
        began = self.now()
        for position, link in enumerate(links):
            if position % _AT_ONCE == 0:
                due = began + self._settings.drain_seconds * position / len(links)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_empty.wait(), max(0.0, due - self.now()))
            link.dismiss(code, reason)
        if self.closing or self.http:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), _LAST_SECONDS)
        if self._ticker is not None:
            self._ticker.stop()
        for link in (*self.closing, *self.http):
            link.abort()
        await asyncio.sleep(0)


async def _kick(links: list[Link]) -> None:
    for position, link in enumerate(links):
        link.kick(websocket.POLICY_VIOLATION, "enrollment token was revoked")
        if position % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # other agents are served in between
