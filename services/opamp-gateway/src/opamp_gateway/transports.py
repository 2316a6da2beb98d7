"""Both OpAMP transports on one listener: an asyncio.Protocol that starts as HTTP and may go on as a WebSocket.

A connection has no task and no timer of its own, and after the upgrade nothing of HTTP is left, so that an idle one
costs 2 to 3 KB, transport included. What is said on it goes to the `Application`, which answers through the `Link`.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from flowkit.telemetry import get_log
from opamp_gateway import websocket
from opamp_gateway.exchange import Exchange
from opamp_gateway.replies import ACK_PREFIX
from opamp_gateway.websocket import read_single_frame

if TYPE_CHECKING:
    from opamp_gateway.connections import Agent
    from opamp_gateway.listener import Listener

log = get_log()

_HTTP, _WEBSOCKET, _LEAVING, _CLOSING, _CLOSED = range(5)
_ACK_FRAME = b"\x82\x13\x00" + ACK_PREFIX  # binary frame of 19 bytes, OpAMP header 0


class Application(Protocol):
    """What the transports need of what lies above them. Nothing here may block or raise."""

    def message(self, link: "Link", data: bytes) -> None:
        """A serialized AgentToServer; to be answered with exactly one `send`, `ack` or `refuse`."""

    def malformed(self, link: "Link", reason: str) -> None:
        """Something that is no AgentToServer; to be answered likewise."""

    def alive(self, link: "Link") -> None:
        """The peer of an idle WebSocket answered a ping."""

    def has_read(self, link: "Link", number: int) -> None:
        """The peer of a WebSocket has read all that was sent before the `probe` of this number."""

    def leaving(self, link: "Link") -> None:
        """The peer of a WebSocket is told to go elsewhere; its messages are still taken until it has read that."""

    def closed(self, link: "Link") -> None:
        """A WebSocket is gone."""

    def polls_ended(self) -> None:
        """No more requests of agents on plain HTTP are taken."""

    def retry_after(self) -> float:
        """Above 0 while no more agents are taken: seconds after which to come again."""


class Link(asyncio.Protocol):
    """A connection of an agent, or of several."""

    __slots__ = (
        "_deflate",
        "_exchange",
        "_frames",
        "_has_spoken",
        "_listener",
        "_probes",
        "_state",
        "_transport",
        "agent",
        "bad_messages",
        "credential",
        "others",
        "ousted",
    )

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._state = _HTTP
        self._exchange: Exchange | None = None
        self._frames: websocket.FrameReader | None = None
        self._deflate: websocket.Deflate | None = None
        self._has_spoken = True
        self._probes = 0
        self.credential = ""
        """Id of the enrollment token that the WebSocket, or the request that is answered, came with."""
        # The application's notes: the agent on a WebSocket, further ones by uid, and uids that belong elsewhere now.
        self.agent: Agent | None = None
        self.others: dict[bytes, Agent] | None = None
        self.ousted: dict[bytes, bytes] | None = None
        self.bad_messages = 0

    # -- for the application

    @property
    def is_websocket(self) -> bool:
        """It can be sent to at any time, as long as it is open."""
        return self._state in (_WEBSOCKET, _LEAVING)

    @property
    def is_open(self) -> bool:
        """An answer can still be sent."""
        return self._state < _LEAVING

    @property
    def is_heard(self) -> bool:
        """What the peer says is taken, even where it cannot be answered any more."""
        return self._state < _CLOSING

    @property
    def remote_address(self) -> str:
        """The peer's host:port."""
        peer = self._transport.get_extra_info("peername")
        return f"{peer[0]}:{peer[1]}" if peer else ""

    def ack(self, uid: bytes) -> None:
        """Answer with the bare acknowledgement."""
        if self._state == _WEBSOCKET:
            self._transport.write(_ACK_FRAME + uid)
        else:
            self.send(ACK_PREFIX + uid)

    def send(self, message: bytes) -> None:
        """Answer, or push on a WebSocket; dropped when the peer is gone."""
        if self._state == _WEBSOCKET:
            self._transport.write(websocket.binary_frame(b"\x00" + message, self._deflate))
        elif self._state == _HTTP and self._exchange is not None:
            self._exchange.answer(200, message)

    def probe(self) -> int:
        """Ping behind what was sent on a WebSocket: `Application.has_read` gets the number when the peer read it."""
        self._probes += 1
        self._transport.write(websocket.ping_frame(self._probes.to_bytes(4, "big")))
        return self._probes

    def refuse(self, message: bytes, retry_after: float) -> None:
        """Answer that the message was not taken. HTTP clients send it again by themselves after 503."""
        if self._state == _HTTP and self._exchange is not None:
            self._exchange.answer(503, message, (("retry-after", str(int(retry_after))),))
        else:
            self.send(message)

    def dismiss(self, code: int, reason: str) -> None:
        """Close a WebSocket in good order: what its peer says until it has read that is taken, though not answered."""
        if self._state == _WEBSOCKET:
            self._transport.write(websocket.close_frame(code, reason))
            self._end(_LEAVING)
            self._listener.application.leaving(self)

    def kick(self, code: int, reason: str) -> None:
        """Close from this side, with the close handshake on a WebSocket."""
        if self._state == _WEBSOCKET:
            self._transport.write(websocket.close_frame(code, reason))
            self._leave()
        elif self._state == _HTTP and (self._exchange is None or not self._exchange.is_busy):
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._exchange = Exchange(self, self._listener, self._transport)
        self._listener.handshakes.start(self, self._listener.now())
        self._listener.http.add(self)

    def data_received(self, data: bytes) -> None:
        if self._state == _WEBSOCKET:
            self._has_spoken = True
            if self._frames is None:
                listener = self._listener
                payload = read_single_frame(data, listener.limit)
                if payload is not None:
                    if payload and not payload[0]:
                        listener.message(self, payload[1:])
                    else:
                        self._odd_message(payload)
                    return
            self._read_frames(data)
        elif self._state == _HTTP and self._exchange is not None:
            self._exchange.receive(data)
        elif self._frames is not None:
            self._read_frames(data)

    def eof_received(self) -> bool:
        """Keep the other half open while a request is being answered."""
        return self._exchange is not None and self._exchange.is_busy

    def pause_writing(self) -> None:
        """The peer reads slower than it asks: read no more from it, and drop it when that lasts."""
        self._listener.stalled.start(self, self._listener.now())
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._listener.stalled.stop(self)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        state, self._state = self._state, _CLOSED
        self._listener.forget(self)
        if state in (_WEBSOCKET, _LEAVING):
            self._listener.application.closed(self)
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = self._frames = None

    # -- WebSocket

    def _odd_message(self, payload: bytes) -> None:
        """A message whose header is not the one byte 0 (WebSocket Message Format): any varint of 0 is fine."""
        application = self._listener.application
        length = next((i for i, byte in enumerate(payload[:10], 1) if byte < 0x80), 0)
        if length and not any(byte & 0x7F for byte in payload[:length]):
            application.message(self, payload[length:])
        elif payload and self._listener.accepts_headerless:
            application.message(self, payload)
        else:
            application.malformed(self, "message header is not 0" if length else "message header is cut")

    def _read_frames(self, data: bytes) -> None:
        if self._frames is None:
            self._frames = websocket.FrameReader(self._listener.limit, self._deflate is not None)
        frames = self._frames
        for event in frames.receive(data):
            match event:
                case websocket.Close() if self._state != _WEBSOCKET:
                    self._transport.close()
                case _ if self._state != _WEBSOCKET and not (self.is_heard and isinstance(event, websocket.Message)):
                    continue
                case websocket.Message(payload):
                    if payload and not payload[0]:
                        self._listener.application.message(self, payload[1:])
                    else:
                        self._odd_message(payload)
                case websocket.Ping(payload):
                    self._transport.write(websocket.pong_frame(payload))
                case websocket.Pong(payload):
                    self._listener.application.alive(self)
                    if payload:
                        self._listener.application.has_read(self, int.from_bytes(payload, "big"))
                case websocket.Text():
                    self._listener.application.malformed(self, "text frame; OpAMP messages are binary")
                case websocket.Close(code, _):
                    self._transport.write(websocket.close_frame(code))
                    self._leave()
                    self._transport.close()
                case websocket.Failed(code, reason):
                    log.info("link.failed", code=code, reason=reason, remote_address=self.remote_address)
                    self._transport.write(websocket.close_frame(code, reason))
                    self._leave()
                    self._transport.write_eof()  # what is on its way is dropped; closing at once would be a reset
        if frames.is_idle and self._state == _WEBSOCKET:
            self._frames = None

    def _leave(self) -> None:
        """The close frame is sent: nothing more is said here, and what comes is only looked at for its answer."""
        self._end(_CLOSING)
        self._listener.application.closed(self)

    def _end(self, state: int) -> None:
        self._state = state
        self._frames = self._frames or websocket.FrameReader(self._listener.limit, self._deflate is not None)
        self._listener.ending(self)

    def ping(self) -> None:
        """Visited once in a ping interval: a peer that said nothing since the last visit is gone."""
        if not self._has_spoken:
            log.info("link.silent", remote_address=self.remote_address)
            self._transport.abort()
            return
        self._has_spoken = False
        self._transport.write(websocket.ping_frame())

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # -- for the exchange

    def upgrade(self, deflate: websocket.Deflate | None, rest: bytes) -> None:
        """Go on as a WebSocket, of which `rest` has been read already."""
        self._deflate = deflate
        self._state = _WEBSOCKET
        self._exchange = None
        self._listener.upgraded(self)
        if rest:
            self.data_received(rest)

    def finish(self) -> None:
        """The last answer is written: close when it is sent."""
        self._state = _CLOSING
        self._listener.forget(self)
        self._transport.close()

    def linger(self) -> None:
        """A request is refused: what is still on its way is dropped, and not for long."""
        self._state = _CLOSING
        self._exchange = None
        self._listener.ending(self)
        self._transport.write_eof()
