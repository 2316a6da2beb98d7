"""One listener for WebSocket and HTTP: selection, limits, codings, errors, credentials, timeouts, the close."""

import asyncio
import base64
import gzip
import hashlib
import os
import socket
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from flowgate.uplink.v1 import uplink_pb2
from flowkit.testing import eventually
from opamp.v1 import opamp_pb2
from opamp_gateway.settings import OpampGatewaySettings

OpenAgent = Callable[..., Awaitable]
BAD_REQUEST = opamp_pb2.ServerErrorResponseType_BadRequest
UPGRADE = {
    "content_type": None,
    "content_length": None,
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": base64.b64encode(bytes(16)).decode(),
}


@pytest.fixture
async def http(gateway, open_http: OpenAgent):
    """A kept HTTP connection."""
    return (await open_http(gateway)).http


def report(**fields) -> bytes:
    return opamp_pb2.AgentToServer(instance_uid=os.urandom(16), **fields).SerializeToString()


def is_bare_error(reply: opamp_pb2.ServerToAgent, kind: int) -> bool:
    """Items 37, 145: nothing but the error, and retry_info only with UNAVAILABLE."""
    names = {field.name for field, _ in reply.ListFields()}
    has_retry = reply.error_response.HasField("retry_info")
    return (
        names <= {"instance_uid", "error_response"}
        and reply.error_response.type == kind
        and has_retry == (kind == opamp_pb2.ServerErrorResponseType_Unavailable)
        and bool(reply.error_response.error_message)
    )


# -- A. endpoint and transport selection


async def test_both_transports_share_one_url(gateway, open_ws: OpenAgent, open_http: OpenAgent) -> None:
    """Item 1: POST and upgrade on the same URL."""
    for agent in (await open_ws(gateway), await open_http(gateway)):
        assert (await agent.send(agent.full())).instance_uid == agent.uid


def test_the_defaults_are_those_of_opamp() -> None:
    """Item 2: port 4320, path /v1/opamp; Item 14: 64 MiB."""
    settings = OpampGatewaySettings(enrollment_token_sha256="0" * 64)
    assert (settings.port, settings.path, settings.max_message_bytes) == (4320, "/v1/opamp", 64 << 20)


async def test_another_path_can_be_set(start_gateway, open_http: OpenAgent) -> None:
    """Item 2."""
    agent = await open_http(await start_gateway(path="/fleet"))
    assert (await agent.http.request(report(), path="/v1/opamp")).status == 404
    assert (await agent.http.request(report(), path="/fleet")).status == 200


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "Application/X-Protobuf; charset=utf-8"])
async def test_content_type_tells_plain_http(http, content_type: str) -> None:
    """Items 3, 20: in any case and with parameters; the reply has the same type."""
    response = await http.request(report(), content_type=content_type)
    assert (response.status, response.headers["content-type"]) == (200, "application/x-protobuf")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"content_type": None}, 426),
        ("POST", {"content_type": None}, 415),
        ("POST", {"content_type": "application/json"}, 415),
        ("GET", {**UPGRADE, "sec_websocket_version": "12"}, 426),
        ("GET", {**UPGRADE, "sec_websocket_key": "short"}, 400),
        ("GET", {**UPGRADE, "connection": "close"}, 426),
        ("POST", UPGRADE, 415),
    ],
)
async def test_neither_transport_is_a_clients_error(http, method: str, headers: dict, status: int) -> None:
    """Item 3: 4xx, never 5xx."""
    assert (await http.request(b"", method=method, **headers)).status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_plain_http_is_post_only(http, method: str) -> None:
    """Item 4: 405 and Allow."""
    http.writer.write(
        f"{method} /v1/opamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\r\n".encode()
    )
    head = (await http.reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 405 ") and "allow: POST" in head


# -- B. WebSocket


@pytest.mark.parametrize("header", [b"\x80\x00", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"])
async def test_a_long_form_of_header_zero_is_fine(gateway, open_ws: OpenAgent, header: bytes) -> None:
    """Item 9: the header is a varint of 1 to 10 bytes."""
    agent = await open_ws(gateway)
    await agent.socket.send(header + agent.full().SerializeToString())
    assert (await agent.receive()).capabilities


@pytest.mark.parametrize("message", [b"\x01", b"\x80\x01", b"\x80", b"", b"\x80" * 10 + b"\x00", b"\x00", b"\x00\xff"])
async def test_a_malformed_message_is_answered(gateway, open_ws: OpenAgent, message: bytes) -> None:
    """Items 8, 9, 10, 142, 143: BAD_REQUEST without a uid, and the socket stays."""
    agent = await open_ws(gateway)
    await agent.socket.send(message)
    reply = await agent.receive()
    assert is_bare_error(reply, BAD_REQUEST) and not reply.instance_uid
    await agent.start()


async def test_messages_without_a_header_are_taken_if_wished(gateway, start_gateway, open_ws: OpenAgent) -> None:
    """Item 11: strict by default, lenient by a setting."""
    agent = await open_ws(gateway)
    await agent.socket.send(agent.full().SerializeToString())
    assert is_bare_error(await agent.receive(), BAD_REQUEST)
    agent = await open_ws(await start_gateway(accept_headerless=True))
    await agent.socket.send(agent.full().SerializeToString())
    assert (await agent.receive()).capabilities


async def test_a_text_frame_is_answered(gateway, open_ws: OpenAgent) -> None:
    """Item 13: never silence."""
    agent = await open_ws(gateway)
    await agent.socket.send("x")
    assert is_bare_error(await agent.receive(), BAD_REQUEST)


async def test_malformed_messages_do_not_touch_other_agents(start_gateway, open_ws: OpenAgent) -> None:
    """Item 143: five are answered and another agent on the socket goes on; in the end it is closed with 1008."""
    agent = await (await open_ws(await start_gateway(max_bad_messages=6))).start()
    for _ in range(5):
        await agent.socket.send(b"\x07")
        assert is_bare_error(await agent.receive(), BAD_REQUEST)
        assert not (await agent.healthy()).HasField("error_response")
    await agent.socket.send(b"\x07")
    assert is_bare_error(await agent.receive(), BAD_REQUEST)
    with pytest.raises(ConnectionClosed):
        await agent.receive()
    assert agent.socket.close_code == 1008


async def test_fragmented_messages_work(gateway, open_ws: OpenAgent) -> None:
    """Item 12."""
    agent = await open_ws(gateway)
    data = b"\x00" + agent.full().SerializeToString()
    await agent.socket.send([data[:1], data[1:9], data[9:]])
    assert (await agent.receive()).capabilities


@pytest.mark.parametrize("client", [{}, {"client_no_context_takeover": True}, {"server_max_window_bits": 10}])
async def test_compressed_messages_work(gateway, wishes, open_ws: OpenAgent, client: dict) -> None:
    """Item 12: permessage-deflate both ways, whatever the client offers."""
    factory = ClientPerMessageDeflateFactory(**client)
    headers = {"Authorization": "Bearer of-a-test"}
    async with connect(gateway.ws_url, additional_headers=headers, compression=None, extensions=[factory]) as ws:
        agent = await (await open_ws(gateway, socket=ws, capabilities=3)).start()
        for _ in range(3):
            assert not (await agent.healthy()).HasField("error_response")
        text = b"receivers: {}\n" * 1000
        await wishes.config(agent.uid, text)
        assert (await agent.receive()).remote_config.config.config_map[""].body == text


async def test_the_limit_of_a_message(start_gateway, open_ws: OpenAgent) -> None:
    """Item 14: over the limit, raw or inflated, closes with 1009; the largest that is allowed passes."""
    gateway = await start_gateway(max_message_bytes=100_000)
    agent = await open_ws(gateway)
    config = opamp_pb2.EffectiveConfig()
    config.config_map.config_map[""].body = bytes(99_000)
    await agent.start(effective_config=config)
    headers = {"Authorization": "Bearer of-a-test"}
    for compression in ("deflate", None):
        async with connect(gateway.ws_url, additional_headers=headers, compression=compression) as ws:
            await ws.send(bytes(2 << 20))
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1009
    assert not (await agent.healthy()).HasField("error_response")


async def test_memory_stays_flat_under_bombs(start_gateway, open_ws: OpenAgent) -> None:
    """Items 14, 23: a megabyte limit holds while 256 MiB of zeros come deflated to 256 KB."""
    gateway = await start_gateway(max_message_bytes=1 << 20)
    deflater = zlib.compressobj(wbits=-15)
    bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(256)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    before = resident()
    headers = {"Authorization": "Bearer of-a-test"}
    async with connect(gateway.ws_url, additional_headers=headers) as ws:
        data = Frame(Opcode.BINARY, bomb[:-4]).serialize(mask=True)
        ws.transport.write(bytes((data[0] | 0x40,)) + data[1:])
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1009
    assert resident() - before < 40 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_pings_are_answered(gateway, open_ws: OpenAgent) -> None:
    """Item 19."""
    agent = await open_ws(gateway)
    async with asyncio.timeout(2):
        await (await agent.socket.ping(b"payload"))


async def test_a_dead_peer_is_found(start_gateway, heard, open_ws: OpenAgent) -> None:
    """Item 19: a socket that answers no ping is dropped, and its agent is offline."""
    gateway = await start_gateway(ping_interval_seconds=1)
    agent = await (await open_ws(gateway)).start()
    agent.socket.transport.pause_reading()
    await eventually(lambda: heard.reasons(agent.uid) == [uplink_pb2.DISCONNECT_REASON_CLOSED])
    agent.socket.transport.abort()


async def test_a_close_is_echoed(gateway, open_ws: OpenAgent) -> None:
    """Item 17: with the client's code, promptly."""
    agent = await open_ws(gateway)
    async with asyncio.timeout(1):
        await agent.socket.close(4001, "bye")
    assert (agent.socket.close_code, agent.socket.protocol.close_rcvd.code) == (4001, 4001)


async def test_a_drain_closes_with_the_handshake(start_gateway, heard, open_ws: OpenAgent) -> None:
    """Items 16, 79: clients see 1012, not 1006, and the connection ends as drained."""
    gateway = await start_gateway()
    agents = [await (await open_ws(gateway)).start() for _ in range(5)]
    stopping = asyncio.create_task(gateway.stop())
    for agent in agents:
        with pytest.raises(ConnectionClosed):
            await agent.receive()
        assert agent.socket.close_code == 1012
    await stopping
    for agent in agents:
        await eventually(lambda a=agent: heard.reasons(a.uid) == [uplink_pb2.DISCONNECT_REASON_DRAIN])


async def test_broken_framing_is_closed_with_its_code(gateway, open_ws: OpenAgent) -> None:
    """Item 16: a frame without a mask is 1002."""
    agent = await open_ws(gateway)
    agent.socket.transport.write(b"\x82\x01x")
    with pytest.raises(ConnectionClosed):
        await agent.receive()
    assert agent.socket.close_code == 1002


# -- C. plain HTTP


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity"])
async def test_request_codings(http, coding: str) -> None:
    """Item 21."""
    body = report() if coding == "identity" else gzip.compress(report())
    assert (await http.request(body, content_encoding=coding)).status == 200


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip"])
async def test_an_unknown_coding_is_refused(http, coding: str) -> None:
    """Item 21: 415, not parsed as if it were plain; the connection goes on."""
    response = await http.request(report(), content_encoding=coding)
    assert (response.status, response.headers["accept-encoding"]) == (415, "gzip, identity")
    assert (await http.request(report())).status == 200


async def test_corrupt_gzip_is_a_bad_request(http) -> None:
    """Item 21."""
    assert (await http.request(b"no gzip at all", content_encoding="gzip")).status == 400


@pytest.mark.parametrize(("accept", "coding"), [("gzip", "gzip"), ("*", "gzip"), ("gzip;q=0", None), (None, None)])
async def test_response_codings(http, accept: str | None, coding: str | None) -> None:
    """Item 22: with Vary."""
    response = await http.request(report(), accept_encoding=accept)
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "accept-encoding"
    assert len(response.message.instance_uid) == 16


async def test_the_limit_of_a_request(start_gateway, open_http: OpenAgent) -> None:
    """Item 23: raw by its length, chunked, and inflated: 413, and the rest is not read for ever."""
    gateway = await start_gateway(max_message_bytes=100_000)
    http = (await open_http(gateway)).http
    assert (await http.request(bytes(100_001))).status == 413
    http = (await open_http(gateway)).http
    http.writer.write(b"POST /v1/opamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
    http.writer.write(b"Authorization: Bearer of-a-test\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        http.writer.write(b"9C40\r\n" + bytes(40_000) + b"\r\n")
    assert (await http.response()).status == 413
    assert await http.reader.read() == b""
    http = (await open_http(gateway)).http
    assert (await http.request(gzip.compress(bytes(5_000_000)), content_encoding="gzip")).status == 413


async def test_chunked_requests_as_go_sends_them(gateway, open_http: OpenAgent) -> None:
    """Item 25: as the real supervisor does, with the OpAMP-Instance-UID header, which is not needed."""
    http = (await open_http(gateway)).http
    body = report()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for uid in (None, "01a208ef-61bc-7b5b-a0f5-7dcb6f5afcf0", "nonsense"):
        headers = {"transfer_encoding": "chunked", "content_length": None, "opamp_instance_uid": uid}
        response = await http.request(chunked, **headers)
        assert response.message.instance_uid == body[2:18]


async def test_pipelined_requests_are_answered_in_order(gateway, open_http: OpenAgent) -> None:
    """Item 27: fifty requests of one agent at once."""
    agent = await open_http(gateway)
    bodies = [agent.full().SerializeToString()]
    bodies += [agent.message(health={"status": str(n)}).SerializeToString() for n in range(49)]
    for body in bodies:
        head = f"POST /v1/opamp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/x-protobuf\r\nAuthorization: Bearer of-a-test\r\n\r\n"
        agent.http.writer.write(head.encode() + body)
    replies = [(await agent.http.response()).message for _ in bodies]
    assert [0x27, *[0] * 49] == [reply.capabilities for reply in replies]
    assert not any(reply.flags for reply in replies)


async def test_a_malformed_report_is_an_answer_and_no_http_error(http) -> None:
    """Items 32, 142: 200 with BAD_REQUEST."""
    for body in (b"\xff\xff", b"", opamp_pb2.AgentToServer(instance_uid=b"short").SerializeToString()):
        response = await http.request(body)
        assert response.status == 200 and is_bare_error(response.message, BAD_REQUEST)


async def test_nesting_beyond_the_parser_is_a_bad_request(http) -> None:
    """Item 81: a health tree 60 deep is no crash, one 45 deep is taken."""
    for depth, is_fine in ((45, True), (60, False)):
        message = opamp_pb2.AgentToServer(instance_uid=os.urandom(16))
        health = message.health
        for _ in range(depth):
            health = health.component_health_map["x"]
        reply = (await http.request(message.SerializeToString())).message
        assert reply.HasField("error_response") is not is_fine


async def test_continue_is_said_to_those_who_wait(gateway, open_http: OpenAgent) -> None:
    http = (await open_http(gateway)).http
    body = report()
    http.writer.write(b"POST /v1/opamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
    http.writer.write(
        b"Authorization: Bearer of-a-test\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert await http.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    http.writer.write(body)
    assert (await http.response()).status == 200


async def test_the_idle_timeout_is_not_near_the_poll(gateway) -> None:
    """Item 33: agents poll every 30 s; kept connections live four times as long."""
    assert gateway.settings.idle_timeout_seconds > 60


async def test_http_without_keep_alive_is_closed_after_the_answer(http) -> None:
    response = await http.request(report(), connection="close")
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert await http.reader.read() == b""


async def test_smuggled_requests_are_not_answered(http) -> None:
    """Item 150: two lengths in one request: refused and closed."""
    response = await http.request(b"0\r\n\r\nPOST /v1/opamp", transfer_encoding="chunked")
    assert response.status == 400
    assert await http.reader.read() == b""


# -- S. authentication, origins, timeouts


@pytest.mark.parametrize(
    "credential", [None, "Bearer wrong", "Bearer ", "of-a-test", "Basic b2YtYS10ZXN0", "Bearer of-a-tes"]
)
async def test_a_wrong_credential_is_401(gateway, http, credential: str | None) -> None:
    """Item 150: on POST and on the upgrade, before 101, with WWW-Authenticate."""
    response = await http.request(report(), authorization=credential)
    assert response.status == 401 and response.headers["www-authenticate"].startswith("Bearer")
    headers = {"Authorization": credential} if credential else {}
    with pytest.raises(InvalidStatus) as refused:
        await connect(gateway.ws_url, additional_headers=headers)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["www-authenticate"].startswith("Bearer")


async def test_one_of_several_tokens_is_enough(start_gateway, open_http: OpenAgent) -> None:
    """Item 150: tokens are rotated by naming both for a while."""
    digests = ",".join(hashlib.sha256(token).hexdigest() for token in (b"former", b"of-a-test"))
    http = (await open_http(await start_gateway(digests=digests))).http
    for token, status in (("former", 200), ("of-a-test", 200), ("other", 401)):
        assert (await http.request(report(), authorization=f"bearer {token}")).status == status


async def test_a_foreign_origin_is_refused(gateway) -> None:
    """Item 156: a page of another site cannot connect."""
    headers = {"Authorization": "Bearer of-a-test"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(gateway.ws_url, additional_headers=headers, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    async with connect(gateway.ws_url, additional_headers=headers, origin=f"http://127.0.0.1:{gateway.port}"):
        pass


async def test_slow_requests_are_dropped(start_gateway, open_http: OpenAgent) -> None:
    """Item 155: headers, bodies and idle connections have their time."""
    gateway = await start_gateway(handshake_timeout_seconds=0.2, body_timeout_seconds=0.2, idle_timeout_seconds=0.2)
    silent, headers, body, idle = [(await open_http(gateway)).http for _ in range(4)]
    headers.writer.write(b"POST /v1/opamp HTTP/1.1\r\n")
    body.writer.write(b"POST /v1/opamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
    body.writer.write(b"Authorization: Bearer of-a-test\r\nContent-Length: 10\r\n\r\nabc")
    assert (await idle.request(report())).status == 200
    for connection in (silent, headers, body, idle):
        async with asyncio.timeout(5):
            try:
                assert await connection.reader.read() == b""
            except ConnectionResetError:
                continue  # the connection is cut without a word, which is as good


async def test_a_peer_that_does_not_read_is_dropped(start_gateway, heard, open_ws: OpenAgent) -> None:
    """Item 155: others are not affected."""
    gateway = await start_gateway(write_timeout_seconds=0.5)
    stuck = await (await open_ws(gateway)).start()
    other = await (await open_ws(gateway)).start()
    stuck.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.socket.transport.pause_reading()
    frame = Frame(Opcode.BINARY, b"\x00" + stuck.message().SerializeToString()).serialize(mask=True)

    def ask() -> bool:
        if not stuck.socket.transport.is_closing():
            stuck.socket.transport.write(frame * 5000)
        return bool(heard.reasons(stuck.uid))

    await eventually(ask, seconds=20)
    assert not (await other.healthy()).HasField("error_response")
