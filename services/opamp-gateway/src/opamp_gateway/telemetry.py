"""Own telemetry of agents and supervisors: from an export request to the stream, answered when it is durable there."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

from flowgate.uplink.v1 import telemetry_pb2
from flowkit import tokens
from flowkit.telemetry import get_log
from opamp_gateway import access, http1, otlp
from opamp_gateway.credentials import Credentials
from opamp_gateway.settings import OpampGatewaySettings
from opamp_gateway.shards import MAX_ENTRY, Publish, Shards, framed

log = get_log()

Headers = tuple[tuple[str, str], ...]
Answer = Callable[[int, bytes, Headers], None]
"""(status, body, headers); does nothing when the client is gone."""

_PIECE = MAX_ENTRY - 1024  # bytes of an export request in one entry; the rest is for what is said about it
_SLOW = 256 * 1024  # bytes of a request that is read aside
_NO_INSTANCE = (
    f"resource attribute {otlp.INSTANCE_ID} has to be the agent's instance_uid, a UUID: set it in the resource section"
)
_TOO_LARGE = f"over the limit of {_PIECE} bytes for one record"


@dataclass(frozen=True, slots=True)
class Export:
    """An export request, as far as its head tells."""

    signal: otlp.Signal
    is_json: bool
    owner: bytes | None = None
    """The agent whose telemetry token it came with; None with an enrollment token."""

    @property
    def content_type(self) -> str:
        """Of the request, and of the answer."""
        return otlp.JSON if self.is_json else otlp.PROTOBUF

    def failure(self, status: int, reason: str) -> bytes:
        """The body of an answer with this status."""
        return otlp.failure(status, reason, self.is_json)


@dataclass(slots=True)
class _Waiting:
    """An export request that is answered when all its entries are durable, or when the first of them cannot be."""

    answer: Answer
    export: Export
    left: int
    content: "_Content"


class Telemetry:
    """Takes export requests. What it holds is bounded apart from OpAMP's reports, which it must not hinder."""

    def __init__(
        self, publish: Publish, gateway: str, settings: OpampGatewaySettings, credentials: Credentials
    ) -> None:
        self.limit = settings.max_telemetry_bytes
        """Bytes of a request's body, inflated."""
        self.held = 0
        """Bytes of requests that come in or wait for their answer; the connections keep account."""
        self.is_draining = False
        self._credentials = credentials
        self._key = settings.telemetry_key_bytes
        self._max_held = settings.max_telemetry_waiting_bytes
        self._retry_seconds = settings.telemetry_retry_after_seconds
        self._count = settings.uplink_shards
        self.requests: Counter[tuple[str, int]] = Counter()
        """Requests by signal and status of the answer."""
        self.records: Counter[tuple[str, str]] = Counter()
        """Log records, metrics and spans by signal and outcome: taken or refused, with their request."""
        self.rejected: Counter[str] = Counter()
        """Log records, data points and spans that a request was taken without."""
        self._shards: Shards[_Waiting] = Shards(
            publish,
            [telemetry_pb2.TelemetryBatch(shard=number, gateway=gateway) for number in range(self._count)],
            flush_seconds=settings.flush_seconds,
            deadline=settings.telemetry_deadline_seconds,
            max_waiters=settings.max_waiting_reports,
            max_bytes=settings.max_telemetry_waiting_bytes,
        )
        self._shards.stored, self._shards.refused = self._stored, self._refused
        self._loop = asyncio.get_running_loop()
        self._reader = ThreadPoolExecutor(1, "otlp")
        self._tasks: set[asyncio.Task[None]] = set()
        if not self._key:
            log.warning("telemetry.off", reason="FLOWGATE_OPAMP_GATEWAY_TELEMETRY_KEY is not set")

    @property
    def is_full(self) -> bool:
        """No more is taken now."""
        return self.held >= self._max_held or self._shards.is_full

    def admit(self, head: http1.Head) -> tuple[Export, access.Refusal | None]:
        """What a request to one of OTLP's paths is, and why it may not go on."""
        media_type = http1.media_type(head.headers.get("content-type", ""))
        export = Export(otlp.SIGNALS[head.path], media_type == otlp.JSON)
        if head.method != "POST":
            return export, (405, "OTLP is POST only", (("allow", "POST"),))
        if media_type not in (otlp.PROTOBUF, otlp.JSON):
            return export, (415, f"content-type has to be {otlp.PROTOBUF} or {otlp.JSON}", ())
        if not access.is_own_origin(head):
            return export, (403, "origin is foreign", ())
        if not self._key:
            return export, (503, "own telemetry is off: the server has no telemetry key", self.retry_after())
        token = access.bearer_token(head)
        owner = tokens.owner_of_telemetry_token(self._key, token)
        now = time.time_ns()
        if owner is None:
            is_good = self._credentials.token_id(token, now) is not None
        else:
            is_good = self._credentials.is_good(owner.credential, now)
        if not is_good:
            return export, (401, "a valid telemetry or enrollment token is needed", access.CHALLENGE)
        if self.is_draining or self.is_full:
            return export, (503, "busy, come again later", self.retry_after())
        return Export(export.signal, export.is_json, owner.uid if owner is not None else None), None

    def retry_after(self) -> Headers:
        """When to come again, spread so that they do not come all at once."""
        return (("retry-after", str(max(1, round(self._retry_seconds * (1.0 + random.random()))))),)

    def take(self, answer: Answer, export: Export, body: bytes) -> None:
        """A whole request; answered once, whatever becomes of it."""
        read = partial(_read, export, body)
        if export.is_json or len(body) > _SLOW:  # JSON takes fifty times as long as protobuf
            task = self._loop.create_task(self._take_aside(answer, export, read))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._take(answer, export, read)

    async def _take_aside(self, answer: Answer, export: Export, read: "Callable[[], _Content]") -> None:
        """Read the request in a thread, so that agents are served in between."""
        reading = self._loop.run_in_executor(self._reader, read)
        await asyncio.wait({reading})
        self._take(answer, export, reading.result)

    def _take(self, answer: Answer, export: Export, read: "Callable[[], _Content]") -> None:
        try:
            self._put(answer, export, read())
        except otlp.UndecodableError as error:
            self._fail(answer, export, 400, str(error))
        except Exception:
            log.exception("telemetry.failed", signal=export.signal.noun)
            self._fail(answer, export, 500, "internal error")

    def _put(self, answer: Answer, export: Export, content: "_Content") -> None:
        waiting = _Waiting(answer, export, len(content.pieces), content)
        if not content.pieces:
            self._succeed(waiting)
            return
        if self._shards.is_full:
            self._fail(answer, export, 503, "busy, come again later", content.records)
            return
        now = time.time_ns()
        for uid, piece in content.pieces:
            entry = telemetry_pb2.TelemetryEntry(
                instance_uid=uid, signal=export.signal.number, received_at_unix_nano=now, export_request=piece
            )
            self._shards.add(crc32(uid) % self._count, framed(entry.SerializeToString()), waiting)

    def _stored(self, requests: list[_Waiting]) -> None:
        for waiting in requests:
            waiting.left -= 1
            if not waiting.left:
                self._succeed(waiting)

    def _refused(self, requests: list[_Waiting]) -> None:
        for waiting in requests:
            if waiting.left > 0:
                waiting.left = -1  # what else is stored of it is told again by the client
                reason = "could not be stored in time"
                self._fail(waiting.answer, waiting.export, 503, reason, waiting.content.records)

    def _succeed(self, waiting: _Waiting) -> None:
        export, content = waiting.export, waiting.content
        self.requests[export.signal.name, 200] += 1
        self.records[export.signal.name, "taken"] += content.records
        self.rejected[export.signal.name] += content.rejected
        body = otlp.success(export.signal, export.is_json, content.rejected, content.reason)
        waiting.answer(200, body, (("content-type", export.content_type),))

    def _fail(self, answer: Answer, export: Export, status: int, reason: str, records: int = 0) -> None:
        self.requests[export.signal.name, status] += 1
        self.records[export.signal.name, "refused"] += records
        headers = (("content-type", export.content_type), *(self.retry_after() if status == 503 else ()))
        answer(status, export.failure(status, reason), headers)

    async def drain(self, seconds: float) -> None:
        """Wait until what was taken is durable, but not longer."""
        await self._shards.drain(seconds)
        for task in list(self._tasks):
            task.cancel()
        self._reader.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Content:
    """What an export request holds."""

    pieces: list[tuple[bytes, bytes]]
    """Agent and serialized request, each small enough for an entry, issued tokens masked."""
    records: int
    rejected: int
    reason: str


def _read(export: Export, body: bytes) -> _Content:
    """Raises otlp.UndecodableError."""
    signal = export.signal
    request: Any = otlp.decode(signal, body, export.is_json)
    parts, nameless = ({export.owner: request}, 0) if export.owner else otlp.by_agent(signal, request)
    pieces: list[tuple[bytes, bytes]] = []
    too_large = 0
    for uid, part in parts.items():
        if part is request and not export.is_json and len(body) <= _PIECE:
            cut, lost = [body], 0
        else:
            cut, lost = otlp.pieces(signal, part, _PIECE)
        pieces += [(uid, tokens.redact_bytes(piece)) for piece in cut if piece]
        too_large += lost
    reasons = [
        *([f"{nameless} {signal.noun}: {_NO_INSTANCE}"] if nameless else []),
        *([f"{too_large} {signal.noun}: {_TOO_LARGE}"] if too_large else []),
    ]
    return _Content(pieces, otlp.count(signal, request), nameless + too_large, "; ".join(reasons))
