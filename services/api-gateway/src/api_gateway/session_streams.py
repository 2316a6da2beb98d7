"""Streams that sessions of people have opened: each ends with its session, on whichever replica it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.sessions import Session
from flowgate.session.v1.session_pb2 import SessionEnded
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.telemetry import get_log

log = get_log()


async def _nobody(session_id: str) -> None:
    """There are no other replicas."""


class SessionStreams:
    """Cuts streams when their session is over: a request is looked at once, and a stream may last for days."""

    def __init__(self) -> None:
        self._open: dict[str, set[asyncio.Timeout]] = {}
        self._tell: Callable[[str], Awaitable[None]] = _nobody

    async def join(self, bus: Bus) -> None:
        """Be told of sessions that end at other replicas, and tell those."""
        subject = contracts.filter_of(SessionEnded)

        async def told(message: Msg) -> None:
            try:
                self._cut(SessionEnded.FromString(message.data).session_id)
            except DecodeError:
                log.warning("session.unreadable", subject=subject)

        async def tell(session_id: str) -> None:
            try:
                await bus.connection.publish(subject, SessionEnded(session_id=session_id).SerializeToString())
            except NatsError as error:
                log.warning("session.not_told", error=repr(error))

        await bus.connection.subscribe(subject, cb=told)
        self._tell = tell

    async def end(self, session: Session) -> None:
        """Somebody has signed out."""
        self._cut(session.session_id)
        await self._tell(session.session_id)

    def _cut(self, session_id: str) -> None:
        for leash in self._open.get(session_id, ()):
            leash.reschedule(asyncio.get_running_loop().time())

    async def run(self, app: ASGIApp, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer a request of a session; when it answers by a stream, until the session is over."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
                if any(kind.startswith(b"text/event-stream") for kind in kinds):
                    leash.reschedule(asyncio.get_running_loop().time() + session.expires_at - time.time())
                    self._open.setdefault(session.session_id, set()).add(leash)
            await send(message)

        try:
            async with asyncio.timeout(None) as leash:
                await app(scope, receive, watched)
        except TimeoutError:
            if not leash.expired():
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            others = self._open.get(session.session_id, set())
            others.discard(leash)
            if not others:
                self._open.pop(session.session_id, None)
