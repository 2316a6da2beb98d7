"""HTTP on a connection: one request at a time, until it is closed or goes on as a WebSocket.

Two things are served: OpAMP at its one path, and OTLP/HTTP for own telemetry.
"""

import asyncio
import time
from typing import TYPE_CHECKING, cast

from opamp_gateway import access, http1, otlp, websocket
from opamp_gateway.content_coding import (
    Body,
    NotInflatableError,
    TooLargeError,
    accepts_gzip,
    compress,
    is_supported,
)

if TYPE_CHECKING:
    from opamp_gateway.listener import Listener
    from opamp_gateway.telemetry import Export
    from opamp_gateway.transports import Link

_MAX_PIPELINED = 64 * 1024  # bytes read ahead of the request that is being answered
_PROTOBUF_HEADERS = (("content-type", access.PROTOBUF), ("vary", "accept-encoding"))

Headers = tuple[tuple[str, str], ...]


class Exchange:
    """What HTTP needs while the connection is HTTP."""

    __slots__ = (
        "_body",
        "_export",
        "_head",
        "_held",
        "_is_advancing",
        "_is_over",
        "_link",
        "_listener",
        "_reader",
        "_transport",
        "is_busy",
    )

    def __init__(self, link: "Link", listener: "Listener", transport: asyncio.Transport) -> None:
        self._link = link
        self._listener = listener
        self._transport = transport
        self._reader = http1.RequestReader(max(listener.limit, listener.telemetry.limit))
        self._head: http1.Head = cast(http1.Head, None)
        self._body: Body | None = None
        self._export: Export | None = None  # the request is one of OTLP
        self._held = 0  # bytes of it that count as held
        self._is_advancing = False
        self._is_over = False
        self.is_busy = False
        """A request is being answered."""

    def receive(self, data: bytes) -> None:
        """Bytes of the peer."""
        if not self.is_busy and self._reader.is_between:
            self._listener.idle.stop(self._link)
            self._listener.handshakes.start(self._link, self._listener.now())
        self._reader.receive(data)
        if self.is_busy:
            if self._reader.buffered > _MAX_PIPELINED:
                self._transport.pause_reading()
        else:
            self._advance()

    def close(self) -> None:
        """The connection is gone: nobody waits for an answer any more."""
        self._is_over = True
        self.is_busy = False
        self._release()

    def answer(self, status: int, message: bytes, headers: Headers = ()) -> None:
        """Answer the request with a serialized ServerToAgent."""
        if not self.is_busy:
            return
        if accepts_gzip(self._head.headers.get("accept-encoding")):
            message = compress(message)
            headers = (*headers, ("content-encoding", "gzip"))
        self.respond(status, message, (*_PROTOBUF_HEADERS, *headers))

    def respond(self, status: int, body: bytes, headers: Headers) -> None:
        """Answer the request; nothing happens when its client is gone."""
        if not self.is_busy:
            return
        self._release()
        is_closing = not self._head.is_keep_alive or self._listener.is_draining
        self._transport.write(http1.response(status, body, headers, is_closing=is_closing))
        self.is_busy = False
        if is_closing:
            self._is_over = True
            self._link.finish()
            return
        self._reader.next_request()
        self._listener.idle.start(self._link, self._listener.now())
        if self._reader.buffered:
            if not self._transport.is_closing():
                self._transport.resume_reading()
            if not self._is_advancing:
                self._advance()

    def _advance(self) -> None:
        self._is_advancing = True
        while not self.is_busy and not self._is_over:
            match self._reader.next_event():
                case None:
                    break
                case http1.Head() as head:
                    self._begin(head)
                case http1.Data(data):
                    self._take(data)
                case http1.End():
                    self._dispatch()
                case http1.Failed(status, reason):
                    self._reject(status, reason)
        self._is_advancing = False

    def _begin(self, head: http1.Head) -> None:
        listener = self._listener
        listener.handshakes.stop(self._link)
        self._head, self._body, self._export = head, None, None
        if head.path in otlp.SIGNALS:
            self._export, refusal = listener.telemetry.admit(head)
            if refusal is not None:
                self._decline(*refusal)
            else:
                self._expect(head, listener.telemetry.limit)
            return
        credential = listener.credentials.token_id(access.bearer_token(head), time.time_ns())
        refusal = access.refusal(head, listener.path, credential is not None, listener.application.retry_after())
        self._link.credential = credential or ""
        if refusal is not None:
            self._decline(*refusal)
        elif head.method == "GET":
            self._upgrade(head)
        else:
            self._expect(head, listener.limit)

    def _expect(self, head: http1.Head, limit: int) -> None:
        """The request may go on: take its body, of not more than `limit` bytes."""
        coding = head.headers.get("content-encoding", "")
        if not is_supported(coding):
            self._decline(415, "content-encoding is not known", (("accept-encoding", "gzip, identity"),))
        elif head.length is not None and head.length > limit:
            self._reject(413, "body is too large")
        else:
            self._body = Body(limit, coding)
            self._listener.bodies.start(self._link, self._listener.now())
            if head.expects_continue and not self._reader.buffered:
                self._transport.write(http1.CONTINUE)

    def _decline(self, status: int, reason: str, headers: Headers) -> None:
        """Refuse a request by its head; a short body is skipped, so that the connection can go on."""
        head = self._head
        if head.length is None or head.length > _MAX_PIPELINED or head.expects_continue or not head.is_keep_alive:
            self._reject(status, reason, headers)
        else:
            body, content_type = self._complaint(status, reason)
            self._transport.write(http1.response(status, body, (*headers, content_type)))
            self._listener.bodies.start(self._link, self._listener.now())

    def _reject(self, status: int, reason: str, headers: Headers = ()) -> None:
        """Refuse and close; what is still on its way is dropped, and not for long."""
        body, content_type = self._complaint(status, reason)
        self._transport.write(http1.response(status, body, (*headers, content_type), is_closing=True))
        self._is_over = True
        self._release()
        self._link.linger()

    def _complaint(self, status: int, reason: str) -> tuple[bytes, tuple[str, str]]:
        """Body and content type of a refusal, as the client of either protocol understands it."""
        self._listener.rejections["opamp" if self._export is None else "otlp", status] += 1
        if self._export is None:
            return f"{reason}\n".encode(), ("content-type", "text/plain")
        return self._export.failure(status, reason), ("content-type", self._export.content_type)

    def _release(self) -> None:
        self._listener.telemetry.held -= self._held
        self._held = 0

    def _take(self, data: bytes) -> None:
        if self._body is None:
            return
        try:
            self._body.add(data)
        except TooLargeError:
            self._reject(413, "body is too large when inflated")
            return
        except NotInflatableError as error:
            self._reject(400, f"body does not inflate: {error}")
            return
        if self._export is not None:
            telemetry = self._listener.telemetry
            if telemetry.is_full:
                self._reject(503, "busy, come again later", telemetry.retry_after())
                return
            telemetry.held += self._body.size - self._held
            self._held = self._body.size

    def _dispatch(self) -> None:
        self._listener.bodies.stop(self._link)
        body, self._body = self._body, None
        if body is None:  # the request was declined
            self._reader.next_request()
            self._listener.idle.start(self._link, self._listener.now())
            return
        try:
            data = body.whole()
        except NotInflatableError as error:
            self._reject(400, f"body does not inflate: {error}")
            return
        self.is_busy = True
        if self._export is None:
            self._listener.application.message(self._link, data)
        else:
            self._listener.telemetry.take(self.respond, self._export, data)

    def _upgrade(self, head: http1.Head) -> None:
        token = websocket.accept_token(head.headers.get("sec-websocket-key", ""))
        if token is None:
            self._reject(400, "sec-websocket-key is malformed")
            return
        headers = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", token)]
        deflate = websocket.negotiate_deflate(head.headers.get("sec-websocket-extensions", ""))
        if deflate is not None:
            headers.append(("sec-websocket-extensions", deflate.answer))
        self._transport.write(http1.response(101, headers=tuple(headers)))
        self._is_over = True
        self._link.upgrade(deflate, self._reader.rest())
