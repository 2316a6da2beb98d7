"""WebSocket framing, server side: bytes in, events out; no I/O and no clock.

RFC 6455 section 5 (framing), 5.4 (fragmentation), 5.5 (control frames), 7 (closing) and RFC 7692
(permessage-deflate, always without context takeover, so that an idle connection keeps no compressor). OpAMP puts a
header before the protobuf data in each binary message; that belongs to the caller, the limit here covers both.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from websockets.speedups import apply_mask

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_STATUS = 1005
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
TOO_LARGE = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _RSV1, _RSV23 = 0x80, 0x40, 0x30
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_COMPRESS_FROM = 1024  # bytes; smaller messages gain nothing from deflate
_EMPTY_BLOCK = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1: taken off each message, put back to inflate


@dataclass(frozen=True, slots=True)
class Message:
    """A whole binary message, unmasked, reassembled and inflated."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message. OpAMP knows none, so its content is dropped."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping; the payload goes back in the pong."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong, asked for or not."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer closes; `code` is NO_STATUS when it gave none. Nothing is read after it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The peer broke the framing or a limit; close with `code`. Nothing is read after it."""

    code: int
    reason: str


Event = Message | Text | Ping | Pong | Close | Failed


def read_single_frame(data: bytes, limit: int) -> bytes | None:
    """The payload, if `data` is exactly one masked, unfragmented, uncompressed binary frame within `limit` bytes.

    None otherwise: FrameReader then says what it is. Nearly every report of an agent comes this way.
    """
    size = len(data)
    if size < 6 or data[0] != 0x82:
        return None
    length = data[1] - 0x80  # below 0 when the frame is not masked
    if length < 126:
        if length != size - 6 or length > limit:
            return None
        return apply_mask(data[6:], data[2:6])
    if length == 126 and size > 8 + 125:
        length = data[2] << 8 | data[3]
        if length != size - 8 or length > limit:
            return None
        return apply_mask(data[8:], data[4:8])
    return None


class FrameReader:
    """Reads frames however the bytes are cut.

    `limit` bounds a message before and after inflation; `has_deflate`: permessage-deflate was negotiated.
    """

    __slots__ = (
        "_buffer",
        "_compressed",
        "_done",
        "_has_deflate",
        "_limit",
        "_opcode",
        "_parts",
        "_size",
        "_wanted",
    )

    def __init__(self, limit: int, has_deflate: bool = False) -> None:
        self._limit = limit
        self._has_deflate = has_deflate
        self._buffer = bytearray()
        self._wanted = 2  # bytes in the buffer before it is worth looking at again
        self._parts: list[bytes] = []
        self._size = 0  # of the parts
        self._opcode = 0  # of the message under way, 0 when there is none
        self._compressed = False
        self._done = False

    @property
    def is_idle(self) -> bool:
        """Nothing is under way, so that the reader can be thrown away."""
        return not self._buffer and not self._opcode and not self._done

    def receive(self, data: bytes) -> list[Event]:
        """The events that `data` completes. After Close or Failed there are no more."""
        if self._done:
            return []
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return []
        events: list[Event] = []
        position = 0
        while not self._done:
            length = len(buffer) - position
            if length < 2:
                self._wanted = 2
                break
            first, second = buffer[position], buffer[position + 1]
            size, start = second & 0x7F, 6
            if size > 125:
                start = 8 if size == 126 else 14
                if length < start - 4:
                    self._wanted = start - 4
                    break
                size = int.from_bytes(buffer[position + 2 : position + start - 4], "big")
            failed = self._check(first, second, size, start)
            if failed is not None:
                self._done = True
                events.append(failed)
                break
            if length < start + size:
                self._wanted = start + size
                break
            body = position + start
            with memoryview(buffer) as view:
                payload = apply_mask(view[body : body + size], bytes(view[body - 4 : body]))
            position = body + size
            event = self._frame(first, payload)
            if event is not None:
                events.append(event)
        if self._done:
            buffer.clear()
        elif position:
            del buffer[:position]
        return events

    def _check(self, first: int, second: int, size: int, start: int) -> Failed | None:
        """What is wrong with a frame, as far as its header tells."""
        opcode = first & 0x0F
        if not second & 0x80:
            return Failed(PROTOCOL_ERROR, "frame is not masked")
        if first & _RSV23:
            return Failed(PROTOCOL_ERROR, "reserved bit is set")
        # RFC 6455 section 5.2: the shortest form is the only one, and the top bit of a 64-bit length is 0
        if (start == 8 and size < 126) or (start == 14 and (size < 65536 or size >> 63)):
            return Failed(PROTOCOL_ERROR, "length is not in its shortest form")
        if opcode >= _CLOSE:
            if opcode > _PONG:
                return Failed(PROTOCOL_ERROR, "unknown opcode")
            if not first & _FIN or size > 125 or first & _RSV1:
                return Failed(PROTOCOL_ERROR, "control frame is fragmented, too long or compressed")
            return None
        if opcode > _BINARY:
            return Failed(PROTOCOL_ERROR, "unknown opcode")
        if (opcode == _CONTINUATION) != bool(self._opcode):
            return Failed(PROTOCOL_ERROR, "fragments out of order")
        if first & _RSV1 and (opcode == _CONTINUATION or not self._has_deflate):
            return Failed(PROTOCOL_ERROR, "compression was not negotiated")
        if self._size + size > self._limit:
            return Failed(TOO_LARGE, "message is too large")
        return None

    def _frame(self, first: int, payload: bytes) -> Event | None:
        opcode = first & 0x0F
        if opcode == _PING:
            return Ping(payload)
        if opcode == _PONG:
            return Pong(payload)
        if opcode == _CLOSE:
            self._done = True
            return _closed(payload)
        if opcode != _CONTINUATION:
            self._opcode = opcode
            self._compressed = bool(first & _RSV1)
        self._parts.append(payload)
        self._size += len(payload)
        if not first & _FIN:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        opcode, self._opcode, self._size = self._opcode, 0, 0
        self._parts.clear()
        if self._compressed:
            inflated = _inflate(data, self._limit)
            if isinstance(inflated, Failed):
                self._done = True
                return inflated
            data = inflated
        return Message(data) if opcode == _BINARY else Text()


def _inflate(data: bytes, limit: int) -> bytes | Failed:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(data + _EMPTY_BLOCK, limit + 1)
    except zlib.error:
        return Failed(INVALID_DATA, "message does not inflate")
    if len(plain) > limit:
        return Failed(TOO_LARGE, "message is too large when inflated")
    return plain


def _closed(payload: bytes) -> Close | Failed:
    if not payload:
        return Close(NO_STATUS, "")
    if len(payload) == 1:
        return Failed(PROTOCOL_ERROR, "close code is cut")
    code = int.from_bytes(payload[:2], "big")
    if not (3000 <= code < 5000 or (1000 <= code < 1015 and code not in (1004, 1005, 1006))):
        return Failed(PROTOCOL_ERROR, "close code is not allowed")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Failed(INVALID_DATA, "close reason is not UTF-8")


def _header(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def binary_frame(payload: bytes, deflate: "Deflate | None" = None) -> bytes:
    """A binary message in one frame, compressed when that was negotiated and pays."""
    if deflate is not None and len(payload) >= _COMPRESS_FROM:
        payload = deflate.compress(payload)
        return _header(_FIN | _RSV1 | _BINARY, len(payload)) + payload
    return _header(_FIN | _BINARY, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; NO_STATUS gives an empty one, and a reason longer than 123 bytes is cut."""
    if code == NO_STATUS:
        return _header(_FIN | _CLOSE, 0)
    payload = code.to_bytes(2, "big") + reason.encode()[:123].decode(errors="ignore").encode()
    return _header(_FIN | _CLOSE, len(payload)) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping."""
    return _header(_FIN | _PING, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _header(_FIN | _PONG, len(payload)) + payload


def accept_token(key: str) -> str | None:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key; None when that is not 16 bytes in base64 (section 4.2.1)."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except ValueError:
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True, slots=True)
class Deflate:
    """permessage-deflate as negotiated: only the window of what the server sends is open to agreement."""

    server_window_bits: int = 15

    def compress(self, data: bytes) -> bytes:
        """The message without the empty block at its end (RFC 7692 section 7.2.1)."""
        deflater = zlib.compressobj(wbits=-self.server_window_bits)
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(_EMPTY_BLOCK)]

    @property
    def answer(self) -> str:
        """Sec-WebSocket-Extensions of the answer."""
        window = f"; server_max_window_bits={self.server_window_bits}" if self.server_window_bits < 15 else ""
        return f"permessage-deflate; server_no_context_takeover; client_no_context_takeover{window}"


_WINDOW_BITS = re.compile(r"^(8|9|1[0-5])$")


def negotiate_deflate(offers: str) -> Deflate | None:
    """The first acceptable permessage-deflate offer of Sec-WebSocket-Extensions, or None (section 5.1)."""
    return next(chain.from_iterable(_acceptable(offer) for offer in offers.split(",")), None)


def _acceptable(offer: str) -> Iterator[Deflate]:
    name, *parameters = (part.strip() for part in offer.split(";"))
    if name.lower() != "permessage-deflate":
        return
    bits, seen = 15, set()
    for parameter in parameters:
        key, separator, value = (part.strip() for part in parameter.partition("="))
        value = value.strip('"')
        if key in seen:
            return
        seen.add(key)
        if key in ("server_no_context_takeover", "client_no_context_takeover"):
            if separator:
                return
        elif key == "client_max_window_bits":
            if separator and not _WINDOW_BITS.match(value):
                return
        elif key == "server_max_window_bits":
            if not _WINDOW_BITS.match(value) or value == "8":  # zlib has no raw window of 256 bytes
                return
            bits = int(value)
        else:
            return
    yield Deflate(bits)
