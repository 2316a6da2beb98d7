"""HTTP/1.1 requests and content codings without any I/O (RFC 9112, RFC 9110)."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opamp_gateway import http1
from opamp_gateway.content_coding import (
    Body,
    NotInflatableError,
    TooLargeError,
    accepts_gzip,
    compress,
    is_supported,
)
from opamp_gateway.http1 import Data, End, Event, Failed, Head, RequestReader

LIMIT = 1 << 16
POST = b"POST /v1/opamp HTTP/1.1\r\nHost: gate\r\n"


def read(data: bytes, limit: int = LIMIT) -> list[Event]:
    """All events of all requests in `data`, with the body in one piece."""
    reader = RequestReader(limit)
    reader.receive(data)
    return drain(reader)


def drain(reader: RequestReader) -> list[Event]:
    events: list[Event] = []
    while (event := reader.next_event()) is not None:
        if isinstance(event, Data) and events and isinstance(events[-1], Data):
            events[-1] = Data(events[-1].data + event.data)
        else:
            events.append(event)
        if isinstance(event, End):
            reader.next_request()
    return events


def status(data: bytes, limit: int = LIMIT) -> int:
    failed = read(data, limit)[-1]
    assert isinstance(failed, Failed), failed
    return failed.status


def test_a_request_with_a_length_is_read() -> None:
    head, body, end = read(POST + b"Content-Length: 5\r\nX-A: 1\r\nx-a:  2 \r\n\r\nhello")
    assert isinstance(head, Head)
    assert (head.method, head.path, head.length) == ("POST", "/v1/opamp", 5)
    assert head.headers["x-a"] == "1, 2"
    assert (body, end) == (Data(b"hello"), End())


def test_a_chunked_request_is_read() -> None:
    """Real agents send their reports chunked (Go's client)."""
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n"
    assert [Data(b"abc0123456789"), End()] == read(data)[1:]


def test_requests_follow_each_other_on_one_connection() -> None:
    """Item 27: back-to-back requests are read in order."""
    one = POST + b"Content-Length: 1\r\n\r\n"
    events = read(one + b"a" + b"\r\n" + one + b"b" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [event.data for event in events if isinstance(event, Data)] == [b"a", b"b"]
    assert sum(isinstance(event, End) for event in events) == 3


def test_the_next_request_waits_until_the_first_is_answered() -> None:
    reader = RequestReader(LIMIT)
    reader.receive(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(reader.next_event(), Head)
    assert reader.next_event() == End()
    assert reader.next_event() is None
    reader.next_request()
    head = reader.next_event()
    assert isinstance(head, Head) and head.path == "/b"


@pytest.mark.parametrize("target", ["/v1/opamp", "/v1/opamp?x=1", "http://gate:4320/v1/opamp", "HTTPS://g/v1/opamp?"])
def test_the_path_is_found_in_any_form_of_target(target: str) -> None:
    (head, _) = read(f"GET {target} HTTP/1.1\r\nHost: gate\r\n\r\n".encode())
    assert isinstance(head, Head) and head.path == "/v1/opamp"


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        POST + b"Content-Length: 1, 1\r\n\r\n",
        POST + b"Content-Length: +1\r\n\r\n",
        POST + b"Content-Length: 0x1\r\n\r\n",
        POST + b"Content-Length: 1_0\r\n\r\n",
        POST + "Content-Length: ¹\r\n\r\n".encode("latin-1"),
        POST + b"Content-Length:\r\n\r\n",
        POST + b"Host: other\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"X : 1\r\n\r\n",
        POST + b" folded: 1\r\n\r\n",
        POST + b"X: 1\r\n folded\r\n\r\n",
        POST + b"X: a\x00b\r\n\r\n",
        POST + b"X: a\rb\r\n\r\n",
        POST + b"no-colon\r\n\r\n",
        POST + b": empty\r\n\r\n",
        POST + b"X: 1\nY: 2\r\n\r\n",
        b"POST /v1/opamp HTTP/1.1\n",
        b"POST /v1/opamp HTTP/1.1\r\n\r\n",
        b"POST  /v1/opamp HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/opamp HTTP/2.0\r\nHost: x\r\n\r\n",
        b"POST /v1/opamp\r\n\r\n",
        b"POST /a\x7fb HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PO(ST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    assert status(data) == 400


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked"])
def test_other_transfer_codings_are_not_known(coding: bytes) -> None:
    assert status(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n") == 501


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"-1\r\n",
        b" 1\r\na\r\n",
        b"0x1\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1;\x00\r\n",
        b"1" * 300,
        b"0\r\nbad trailer\r\n",
        b"FFFFFFFFFFFFFFFF\r\n",
    ],
)
def test_a_bad_chunk_is_refused(chunks: bytes) -> None:
    assert status(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == 400


def test_a_body_over_the_limit_is_refused_by_its_length() -> None:
    """Item 23: 413 before the body has come."""
    assert status(POST + b"Content-Length: 101\r\n\r\n", limit=100) == 413
    assert read(POST + b"Content-Length: 100\r\n\r\n" + bytes(100), limit=100)[-1] == End()


def test_a_chunked_body_over_the_limit_is_refused() -> None:
    """Item 23: without Content-Length as well, at the size of the chunk that is too much."""
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"32\r\n" + bytes(50) + b"\r\n"
    assert status(data + b"33\r\n", limit=100) == 413


def test_too_long_and_too_many_headers_are_refused() -> None:
    assert status(POST + b"X: " + b"a" * 20_000) == 431
    assert status(POST + b"".join(b"X%d: 1\r\n" % n for n in range(100)) + b"\r\n") == 431


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        (b"HTTP/1.1\r\nHost: x\r\n", True),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0\r\n", False),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_connections_are_kept_as_the_client_says(lines: bytes, is_kept: bool) -> None:
    head = read(b"GET / " + lines + b"\r\n")[0]
    assert isinstance(head, Head) and head.is_keep_alive is is_kept


def test_an_upgrade_needs_both_headers() -> None:
    """Item 3: GET with Upgrade and Connection wants a WebSocket."""
    both = b"Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    for headers, expected in ((both, True), (b"Upgrade: websocket\r\n", False), (b"Connection: upgrade\r\n", False)):
        head = read(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")[0]
        assert isinstance(head, Head) and head.is_upgrade is expected


REQUESTS = st.one_of(
    st.binary(max_size=40).map(lambda b: POST + b"Content-Length: %d\r\n\r\n" % len(b) + b),
    st.lists(st.binary(min_size=1, max_size=40), max_size=4).map(
        lambda parts: (
            POST
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            + b"0\r\n\r\n"
        )
    ),
    st.just(b"GET /x HTTP/1.1\r\nHost: y\r\n\r\n"),
    st.binary(max_size=30),
)


@given(st.lists(REQUESTS, max_size=4).map(b"".join), st.lists(st.integers(0, 600), max_size=10))
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    expected = read(data)
    reader, events, start = RequestReader(LIMIT), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        reader.receive(data[start:cut])
        for event in drain(reader):
            if isinstance(event, Data) and events and isinstance(events[-1], Data):
                events[-1] = Data(events[-1].data + event.data)
            else:
                events.append(event)
        start = cut
    assert expected == events


@given(st.binary(max_size=300))
def test_random_bytes_give_events_and_never_an_exception(data: bytes) -> None:
    for event in read(data) + read(POST + data) + read(POST + b"Transfer-Encoding: chunked\r\n\r\n" + data):
        assert isinstance(event, Event)


def test_a_response_tells_its_length() -> None:
    assert http1.response(200, b"abc", (("x-a", "1"),)) == (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 3\r\n\r\nabc"
    )
    assert b"connection: close\r\n" in http1.response(413, is_closing=True)
    assert b"content-length" not in http1.response(101)


def test_media_types_are_compared_without_case_and_parameters() -> None:
    """Item 3: `Application/X-Protobuf; charset=utf-8` is plain HTTP."""
    assert http1.media_type("Application/X-Protobuf ; charset=utf-8") == "application/x-protobuf"


# -- content codings


def body(data: bytes, coding: str, limit: int = 1000, step: int = 7) -> bytes:
    whole = Body(limit, coding)
    for start in range(0, len(data), step):
        whole.add(data[start : start + step])
    return whole.whole()


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", " gzip "])
def test_a_gzip_body_is_inflated(coding: str) -> None:
    """Item 21: gzip, in any case."""
    assert is_supported(coding)
    assert body(gzip.compress(b"report"), coding) == b"report"


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_an_identity_body_is_taken_as_it_is(coding: str) -> None:
    assert is_supported(coding)
    assert body(b"report", coding) == b"report"


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip", "gzip;q=1", "x"])
def test_other_codings_are_not_supported(coding: str) -> None:
    """Item 21: an unknown coding is not parsed as if it were none."""
    assert not is_supported(coding)


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"report")[:-3], gzip.compress(b"a") + b"more"])
def test_a_corrupt_gzip_body_is_told(data: bytes) -> None:
    """Item 21: corrupt gzip gives 400."""
    with pytest.raises(NotInflatableError):
        body(data, "gzip")


def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    """Item 23: what is inflated never exceeds the limit by more than a byte."""
    bomb = gzip.compress(bytes(50_000_000))
    whole = Body(1000, "gzip")
    with pytest.raises(TooLargeError):
        whole.add(bomb)
    assert body(gzip.compress(bytes(1000)), "gzip") == bytes(1000)
    with pytest.raises(TooLargeError):
        body(bytes(1001), "")


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("identity", False),
        ("br", False),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip_is_used_when_it_is_accepted(header: str | None, is_accepted: bool) -> None:
    """Item 22: q-values and `*` are honoured."""
    assert accepts_gzip(header) is is_accepted


@given(st.binary(max_size=2000))
def test_what_is_compressed_can_be_inflated(data: bytes) -> None:
    assert zlib.decompress(compress(data), 31) == data
