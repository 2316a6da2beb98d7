"""HTTP/1.1, server side, as far as an OpAMP ingress needs it: bytes in, events out; no I/O and no clock.

RFC 9112. One reading of a request and no other, because a proxy in front may have a different one: two body
lengths, repeated Content-Length or Host, odd whitespace, bare LF, folded lines, unknown codings are all refused.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

_MAX_HEAD = 16 * 1024  # bytes of request line and headers
_MAX_HEADERS = 64
_MAX_CHUNK_LINE = 256  # bytes of a chunk's size and extensions
_REQUEST_LINE = re.compile(rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,4096}) HTTP/1\.([01])$")
_FIELD = re.compile(rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*$")
_LENGTH = re.compile(r"^[0-9]{1,18}$")
_CHUNK = re.compile(rb"^([0-9A-Fa-f]{1,15})[ \t]*(;[\x20-\x7e\t]*)?$")
_ABSOLUTE = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)  # RFC 9112 section 3.2.2: the authority is Host's
_SINGLE = frozenset(
    ("content-length", "host", "transfer-encoding", "authorization", "content-type", "sec-websocket-key")
)


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers; header names in lower case, repeated ones joined by a comma."""

    method: str
    path: str
    headers: dict[str, str]
    is_http10: bool = False
    length: int | None = 0
    """Bytes of the body, None when it is chunked."""

    @property
    def is_keep_alive(self) -> bool:
        """The client wants to use the connection again (RFC 9112 section 9.3)."""
        options = tokens(self.headers.get("connection", ""))
        return "keep-alive" in options if self.is_http10 else "close" not in options

    @property
    def expects_continue(self) -> bool:
        """The client waits for 100 before it sends the body (RFC 9110 section 10.1.1)."""
        return not self.is_http10 and self.headers.get("expect", "").lower() == "100-continue"

    @property
    def is_upgrade(self) -> bool:
        """The client wants to go on as a WebSocket (RFC 6455 section 4.2.1)."""
        return "websocket" in tokens(self.headers.get("upgrade", "")) and "upgrade" in tokens(
            self.headers.get("connection", "")
        )


@dataclass(frozen=True, slots=True)
class Data:
    """Some of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The request is whole. The next one is read after `RequestReader.next_request`."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be read; answer with `status` and close. Nothing is read after it."""

    status: int
    reason: str


Event = Head | Data | End | Failed


class _State(Enum):
    HEAD = 0
    BODY = 1
    CHUNK_SIZE = 2
    CHUNK_DATA = 3
    CHUNK_END = 4
    TRAILERS = 5
    END = 6
    DONE = 7
    FAILED = 8


@dataclass(slots=True)
class RequestReader:
    """Reads requests one after the other however the bytes are cut; `limit` bounds a body as sent (413)."""

    limit: int
    _buffer: bytearray = field(default_factory=bytearray)
    _state: _State = _State.HEAD
    _left: int = 0
    _total: int = 0

    def receive(self, data: bytes) -> None:
        """Take bytes; `next_event` says what they mean."""
        if self._state is not _State.FAILED:
            self._buffer += data

    @property
    def buffered(self) -> int:
        """Bytes that wait to be read."""
        return len(self._buffer)

    @property
    def is_between(self) -> bool:
        """No request is under way."""
        return self._state is _State.HEAD and not self._buffer

    def rest(self) -> bytes:
        """What came after the last request, for the protocol that follows an upgrade."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next_request(self) -> None:
        """Go on to the next request, after End."""
        if self._state is _State.DONE:
            self._state = _State.HEAD

    def next_event(self) -> Event | None:
        """The next event, or None when more bytes are needed or the request is whole."""
        while True:
            match self._state:
                case _State.HEAD:
                    return self._head()
                case _State.BODY | _State.CHUNK_DATA:
                    return self._data()
                case _State.CHUNK_SIZE | _State.CHUNK_END | _State.TRAILERS:
                    line = self._line()
                    if line is None or isinstance(line, Failed):
                        return line
                    failed = self._chunk_line(line)
                    if failed is not None:
                        return failed
                case _State.END:
                    self._state = _State.DONE
                    return End()
                case _:
                    return None

    def _fail(self, status: int, reason: str) -> Failed:
        self._state = _State.FAILED
        self._buffer.clear()
        return Failed(status, reason)

    def _head(self) -> Event | None:
        buffer = self._buffer
        if buffer[:2] == b"\r\n":  # RFC 9112 section 2.2: one empty line before a request is ignored
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or end > _MAX_HEAD:
            if len(buffer) > _MAX_HEAD:
                return self._fail(431, "request line and headers are too large")
            if buffer.startswith(b"\n") or re.search(rb"[^\r]\n", buffer):
                return self._fail(400, "line does not end in CRLF")
            return None
        lines = bytes(buffer[:end]).split(b"\r\n")
        del buffer[: end + 4]
        request = _REQUEST_LINE.match(lines[0])
        if request is None:
            return self._malformed(lines, "request line is malformed")
        if len(lines) > _MAX_HEADERS + 1:
            return self._fail(431, "too many headers")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            match = _FIELD.match(line)
            if match is None:
                return self._malformed(lines, "header is malformed")
            name, value = match[1].decode().lower(), match[2].decode("latin-1")
            if name in headers:
                if name in _SINGLE:
                    return self._fail(400, f"{name} is repeated")
                value = f"{headers[name]}, {value}"
            headers[name] = value
        return self._framing(request, headers)

    def _malformed(self, lines: list[bytes], reason: str) -> Failed:
        """The reason is the same however the bytes were cut: a lone LF is seen before the head is whole."""
        return self._fail(400, "line does not end in CRLF" if any(b"\n" in line for line in lines) else reason)

    def _framing(self, request: re.Match[bytes], headers: dict[str, str]) -> Event:
        """How long the body is (RFC 9112 section 6.3)."""
        is_http10 = request[3] == b"0"
        length: int | None = 0
        if not is_http10 and "host" not in headers:
            return self._fail(400, "host is missing")
        if (coding := headers.get("transfer-encoding")) is not None:
            if "content-length" in headers or is_http10:
                return self._fail(400, "transfer-encoding does not go with content-length or HTTP/1.0")
            if coding.lower() != "chunked":
                return self._fail(501, "transfer coding is not known")
            length, self._state = None, _State.CHUNK_SIZE
        elif (declared := headers.get("content-length")) is not None:
            if not _LENGTH.match(declared):
                return self._fail(400, "content-length is malformed")
            length = int(declared)
            self._state = _State.BODY if length else _State.END
            self._left = length
        else:
            self._state = _State.END
        self._total = 0
        target = _ABSOLUTE.sub("", request[2].decode()) or "/"
        path = target.partition("?")[0]
        return Head(request[1].decode(), path, headers, is_http10, length)

    def _data(self) -> Event | None:
        if self._state is _State.BODY and self._left > self.limit:
            return self._fail(413, "body is too large")
        if not self._buffer:
            return None
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        if not self._left:
            self._state = _State.END if self._state is _State.BODY else _State.CHUNK_END
        return Data(data)

    def _line(self) -> bytes | Failed | None:
        end = self._buffer.find(b"\n", 0, _MAX_CHUNK_LINE)
        if end < 0:
            if len(self._buffer) >= _MAX_CHUNK_LINE:
                return self._fail(400, "chunk line is too long")
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            return self._fail(400, "line does not end in CRLF")
        return line[:-2]

    def _chunk_line(self, line: bytes) -> Failed | None:
        if self._state is _State.CHUNK_END:
            if line:
                return self._fail(400, "chunk is longer than its size")
            self._state = _State.CHUNK_SIZE
            return None
        if self._state is _State.TRAILERS:
            self._total += 1
            if not line:
                self._state = _State.END
            elif self._total > _MAX_HEADERS or not _FIELD.match(line):
                return self._fail(400, "trailer is malformed")
            return None
        match = _CHUNK.match(line)
        if match is None:
            return self._fail(400, "chunk size is malformed")
        self._left = int(match[1], 16)
        self._total += self._left
        if self._total > self.limit:
            return self._fail(413, "body is too large")
        if self._left:
            self._state = _State.CHUNK_DATA
        else:
            self._state, self._total = _State.TRAILERS, 0
        return None


def tokens(value: str) -> frozenset[str]:
    """The members of a comma-separated header, in lower case."""
    return frozenset(part.strip().lower() for part in value.split(","))


def media_type(value: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return value.partition(";")[0].strip().lower()


def response(
    status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = (), *, is_closing: bool = False
) -> bytes:
    """A whole response with Content-Length; 101 has no body."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if status != 101:
        lines.append(f"content-length: {len(body)}")
        if is_closing:
            lines.append("connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
