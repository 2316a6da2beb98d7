"""WebSocket framing without any I/O (RFC 6455, RFC 7692)."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from opamp_gateway import websocket
from opamp_gateway.websocket import (
    Close,
    Event,
    Failed,
    FrameReader,
    Message,
    Ping,
    Pong,
    Text,
    read_single_frame,
)

LIMIT = 1 << 20


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False, mask: bool = True) -> bytes:
    """A frame as the websockets library writes it."""
    data = Frame(Opcode(opcode), payload, fin).serialize(mask=mask)
    return bytes((data[0] | 0x40 * rsv1,)) + data[1:]


def read(data: bytes, limit: int = LIMIT, has_deflate: bool = False) -> list[Event]:
    return FrameReader(limit, has_deflate).receive(data)


def deflated(payload: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_binary_frame_of_any_size_is_read(size: int) -> None:
    """Item 7: a binary WebSocket message is one OpAMP message."""
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    assert [Message(payload)] == read(frame(2, payload))


@given(st.binary(max_size=70_000))
def test_the_fast_path_agrees_with_the_reader(payload: bytes) -> None:
    data = frame(2, payload)
    single = read_single_frame(data, LIMIT)
    if single is not None:
        assert [Message(single)] == read(data)
    else:
        assert len(payload) > 65535


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82",
        frame(1, b"text"),
        frame(9),
        frame(2, b"abc", fin=False),
        frame(2, b"abc", mask=False),
        frame(2, b"abc", rsv1=True),
        frame(2, b"abc")[:-1],
        frame(2, b"abc") + b"\x82",
        b"\x82\xfe\x00\x03maskabc",  # a length of 3 written in 16 bits
        frame(2, bytes(LIMIT + 1)),
    ],
)
def test_the_fast_path_leaves_everything_else_to_the_reader(data: bytes) -> None:
    assert read_single_frame(data, LIMIT) is None


def test_the_fast_path_keeps_the_limit() -> None:
    assert read_single_frame(frame(2, bytes(100)), 99) is None
    assert read_single_frame(frame(2, bytes(1000)), 999) is None


def test_fragments_make_one_message_with_control_frames_between() -> None:
    """Item 12: fragmented messages work, and a ping may come between the fragments."""
    data = frame(2, b"one ", fin=False) + frame(9, b"p") + frame(0, b"two ", fin=False) + frame(0, b"three")
    assert [Ping(b"p"), Message(b"one two three")] == read(data)


def test_a_compressed_message_is_inflated() -> None:
    """Item 12: permessage-deflate, fragmented as well."""
    whole = deflated(b"report " * 100)
    data = frame(2, whole[:10], fin=False, rsv1=True) + frame(0, whole[10:])
    assert [Message(b"report " * 100)] == read(data, has_deflate=True)


def test_compression_without_agreement_is_a_protocol_error() -> None:
    assert [Failed(1002, "compression was not negotiated")] == read(frame(2, deflated(b"x"), rsv1=True))


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x00\x05"])
def test_a_message_that_does_not_inflate_fails(payload: bytes) -> None:
    assert [Failed(1007, "message does not inflate")] == read(frame(2, payload, rsv1=True), has_deflate=True)


def test_the_limit_holds_for_a_frame_before_it_has_arrived() -> None:
    """Item 14: a message over the limit is refused with 1009 at its header, not after its bytes."""
    data = frame(2, bytes(2000))[:14]
    assert [Failed(1009, "message is too large")] == read(data, limit=1000)


def test_the_limit_holds_over_fragments() -> None:
    """Item 14: fragments count together."""
    data = frame(2, bytes(600), fin=False) + frame(0, bytes(600), fin=False)
    assert [Failed(1009, "message is too large")] == read(data, limit=1000)


def test_the_limit_holds_after_inflation() -> None:
    """Item 14: 2 MiB of zeros deflated to 2 KB are refused as well."""
    bomb = deflated(bytes(2 << 20))
    assert len(bomb) < 4096
    expected = [Failed(1009, "message is too large when inflated")]
    assert expected == read(frame(2, bomb, rsv1=True), limit=1 << 20, has_deflate=True)
    assert [Message(bytes(1 << 20))] == read(
        frame(2, deflated(bytes(1 << 20)), rsv1=True), limit=1 << 20, has_deflate=True
    )


def test_a_text_message_is_reported_without_its_content() -> None:
    """Item 13: a text frame is never met with silence."""
    assert [Text(), Message(b"next")] == read(frame(1, b"hello") + frame(2, b"next"))


def test_ping_pong_and_close_are_reported() -> None:
    data = frame(9, b"a") + frame(10, b"b") + frame(8, (1001).to_bytes(2, "big") + b"bye") + frame(2, b"late")
    assert [Ping(b"a"), Pong(b"b"), Close(1001, "bye")] == read(data)


def test_a_close_without_a_code_has_no_status() -> None:
    assert [Close(1005, "")] == read(frame(8))


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xec", b"\x00\x01", b"\x0b\xb7", b"\xff\xff"])
def test_a_close_code_that_must_not_be_sent_is_a_protocol_error(payload: bytes) -> None:
    events = read(frame(8, payload))
    assert isinstance(events[0], Failed) and events[0].code == 1002


def test_a_close_reason_that_is_no_text_fails() -> None:
    assert [Failed(1007, "close reason is not UTF-8")] == read(frame(8, b"\x03\xe8\xff"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(2, b"x", mask=False), "frame is not masked"),
        (b"\xa2\x80mask", "reserved bit is set"),
        (b"\x83\x80mask", "unknown opcode"),
        (b"\x8b\x80mask", "unknown opcode"),
        (b"\x09\x80mask", "control frame is fragmented, too long or compressed"),
        (b"\x89\xfe\x00\x7e", "control frame is fragmented, too long or compressed"),
        (frame(0, b"x"), "fragments out of order"),
        (frame(2, b"x", fin=False) + frame(2, b"y"), "fragments out of order"),
        (b"\x82\xfe\x00\x7d", "length is not in its shortest form"),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", "length is not in its shortest form"),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", "length is not in its shortest form"),
    ],
)
def test_broken_framing_is_a_protocol_error(data: bytes, reason: str) -> None:
    assert [Failed(1002, reason)] == read(data + bytes(20))


def test_nothing_is_read_after_a_failure() -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.receive(b"\xf2\x80mask" + frame(2, b"x"))) == 1
    assert reader.receive(frame(2, b"x")) == []


frames = st.one_of(
    st.binary(max_size=300).map(lambda payload: frame(2, payload)),
    st.binary(max_size=300).map(lambda payload: frame(2, deflated(payload), rsv1=True)),
    st.binary(max_size=125).map(lambda payload: frame(9, payload)),
    st.binary(max_size=125).map(lambda payload: frame(10, payload)),
    st.lists(st.binary(max_size=50), min_size=1, max_size=4).map(
        lambda parts: b"".join(frame(0 if i else 2, part, fin=i == len(parts) - 1) for i, part in enumerate(parts))
    ),
    st.text(max_size=50).map(lambda text: frame(1, text.encode())),
    st.binary(max_size=20),
)


@given(st.lists(frames, max_size=6).map(b"".join), st.lists(st.integers(0, 2000), max_size=12))
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    expected = read(data, has_deflate=True)
    reader, events, start = FrameReader(LIMIT, True), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        events += reader.receive(data[start:cut])
        start = cut
    assert expected == events


@given(st.binary(max_size=200))
def test_random_bytes_give_events_and_never_an_exception(data: bytes) -> None:
    for event in read(data, limit=100, has_deflate=True):
        assert isinstance(event, Event)


def test_a_reader_that_owes_nothing_is_idle() -> None:
    reader = FrameReader(LIMIT)
    assert reader.is_idle
    reader.receive(frame(2, b"abc")[:4])
    assert not reader.is_idle
    reader = FrameReader(LIMIT)
    reader.receive(frame(2, b"a", fin=False))
    assert not reader.is_idle
    reader.receive(frame(0, b"b"))
    assert reader.is_idle


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_what_is_written_is_read_by_the_library(size: int) -> None:
    """Item 7: opcode 2, not masked, FIN set."""
    data = websocket.binary_frame(bytes(size))
    assert Frame(Opcode.BINARY, bytes(size)).serialize(mask=False) == data


def test_control_frames_are_written_as_the_library_does() -> None:
    assert Frame(Opcode.PING, b"x").serialize(mask=False) == websocket.ping_frame(b"x")
    assert Frame(Opcode.PONG, b"x").serialize(mask=False) == websocket.pong_frame(b"x")
    assert Frame(Opcode.CLOSE, b"\x03\xe9bye").serialize(mask=False) == websocket.close_frame(1001, "bye")
    assert Frame(Opcode.CLOSE, b"").serialize(mask=False) == websocket.close_frame(1005)


def test_a_long_close_reason_is_cut_between_characters() -> None:
    data = websocket.close_frame(1008, "é" * 100)
    assert len(data) <= 2 + 125
    assert data[4:].decode() == "é" * 61


def test_the_library_inflates_what_is_compressed() -> None:
    factory = ClientPerMessageDeflateFactory()
    extension = factory.process_response_params(
        [("server_no_context_takeover", None), ("client_no_context_takeover", None)], []
    )
    for text in (b"config: 1\n" * 500, b"other: 2\n" * 500):
        data = websocket.binary_frame(text, websocket.Deflate())
        assert data[0] == 0xC2 and len(data) < 200
        decoded = extension.decode(Frame(Opcode.BINARY, data[2:], rsv1=True))
        assert decoded.data == text


def test_short_messages_are_not_compressed() -> None:
    assert websocket.binary_frame(b"abc", websocket.Deflate()) == b"\x82\x03abc"


@pytest.mark.parametrize(
    ("offer", "bits"),
    [
        ("permessage-deflate", 15),
        ("permessage-deflate; client_max_window_bits", 15),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15),
        ('permessage-deflate; server_max_window_bits="10"', 10),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", 15),
        ("x-other, permessage-deflate; client_max_window_bits=12", 15),
        ("", None),
        ("permessage-deflate; mystery", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=1", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
    ],
)
def test_the_first_acceptable_offer_is_taken(offer: str, bits: int | None) -> None:
    deflate = websocket.negotiate_deflate(offer)
    assert (None if deflate is None else deflate.server_window_bits) == bits


def test_the_answer_names_a_smaller_window() -> None:
    assert websocket.Deflate(10).answer.endswith("; server_max_window_bits=10")
    assert websocket.Deflate().answer == ("permessage-deflate; server_no_context_takeover; client_no_context_takeover")


def test_the_accept_token_is_that_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    assert websocket.accept_token("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "abc", "dGhlIHNhbXBsZSBub25j", "!!!!", "dGhlIHNhbXBsZSBub25jZQ==\n"])
def test_a_key_that_is_not_16_bytes_has_no_token(key: str) -> None:
    assert websocket.accept_token(key) is None
