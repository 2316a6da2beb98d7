"""Reports on their way to the bus: gathered per shard, one batch in flight per shard, answered when they are durable.

The first report after a quiet time goes at once, later ones when the batch before is acknowledged and the flush time
is over, or as soon as a batch is full: batches grow with the load by themselves (architecture.md section 3).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from struct import Struct
from typing import Any

from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts
from flowkit.telemetry import get_log
from opamp_gateway.connections import Agent
from opamp_gateway.transports import Link

log = get_log()

Waiter = tuple[Link | None, Agent, int, int]
"""Link to answer on (None: the agent is away), agent, verdict, sequence_num."""
Publish = Callable[[str, str, bytes], Awaitable[None]]
"""(subject, message id, payload): durable when it returns; raises UnavailableError."""

MAX_INLINE = 512 * 1024  # bytes; larger messages go by way of the object store
_FULL_BATCH = 256 * 1024  # bytes; with the largest entry on top still below NATS' max_payload of 1 MiB
_RETRY_SECONDS = 0.1

_TABLE = 1 << 14  # numbers whose varint has up to two bytes
_VARINTS = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(_TABLE))
_ENTRIES, _MESSAGE = b"\x1a", b"\x3a"  # tags: UplinkBatch.entries, UplinkEntry.agent_to_server
_pack_report = Struct("<3sQB").pack
_REPORT_TAGS, _FIELDS_TAG = b"\x08\x01\x29", 0x30  # kind=REPORT and received_at's tag; fields' tag
_REPORT_SIZE = 13  # of those with received_at, and of agent_to_server's tag


def varint(number: int) -> bytes:
    """A protobuf varint."""
    if number < _TABLE:
        return _VARINTS[number]
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _ignore(waiters: list[Waiter]) -> None:
    """Nobody listens yet."""


class _Batch:
    __slots__ = ("entries", "expiry", "kept", "size", "waiters")

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.kept: list[bytes] = []  # those that nobody would tell again
        self.waiters: list[Waiter] = []
        self.size = 0
        self.expiry: asyncio.Handle


class _Shard:
    __slots__ = ("flushed_at", "header", "in_flight", "queue", "subject", "timer")

    def __init__(self, number: int, gateway: str) -> None:
        batch = uplink_pb2.UplinkBatch(shard=number, gateway=gateway)
        self.subject = contracts.subject_of(batch)
        self.header = batch.SerializeToString()
        self.queue: deque[_Batch] = deque()
        self.in_flight: _Batch | None = None
        self.flushed_at = 0.0
        self.timer: asyncio.Handle | None = None


class Uplink:
    """Puts entries on the bus in the order in which they come, per agent and shard."""

    def __init__(
        self,
        publish: Publish,
        gateway: str,
        *,
        shards: int,
        flush_seconds: float,
        reply_deadline: float,
        max_reports: int,
        max_bytes: int,
    ) -> None:
        self.stored: Callable[[list[Waiter]], None] = _ignore
        """Gets the waiters of a batch that is durable."""
        self.refused: Callable[[list[Waiter]], None] = _ignore
        """Gets those that waited longer than the deadline."""
        self._publish = publish
        self._gateway = gateway
        self._shards = [_Shard(number, gateway) for number in range(shards)]
        self._flush_seconds = flush_seconds
        self._reply_deadline = reply_deadline
        self._max_reports = max_reports
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches = 0
        self._bytes = 0
        self._reports = 0

    @property
    def is_full(self) -> bool:
        """More than a bounded number of reports wait."""
        return self._reports >= self._max_reports or self._bytes >= self._max_bytes

    @property
    def is_idle(self) -> bool:
        """Everything is durable."""
        return not any(shard.in_flight or shard.queue for shard in self._shards)

    def report(self, agent: Agent, fields: int, received_at: int, data: bytes, waiter: Waiter) -> bool:
        """Put a message of an agent on its way; False when too much waits already.

        The entry is written by hand: as a protobuf message it would cost three times as much, once to fill and once
        to serialize.
        """
        if self._reports >= self._max_reports or self._bytes >= self._max_bytes:
            return False
        size, prefix = len(data), agent.entry_prefix
        fields_text = _VARINTS[fields] if fields < _TABLE else varint(fields)
        size_text = _VARINTS[size] if size < _TABLE else varint(size)
        length = len(prefix) + _REPORT_SIZE + len(fields_text) + len(size_text) + size
        framed = b"".join(
            (
                _ENTRIES,
                _VARINTS[length] if length < _TABLE else varint(length),
                prefix,
                _pack_report(_REPORT_TAGS, received_at, _FIELDS_TAG),
                fields_text,
                _MESSAGE,
                size_text,
                data,
            )
        )
        shard = self._shards[agent.shard]
        queue = shard.queue
        batch = queue[-1] if queue and queue[-1].size < _FULL_BATCH else self._open(shard)
        batch.entries.append(framed)
        batch.waiters.append(waiter)
        length = len(framed)
        batch.size += length
        self._bytes += length
        self._reports += 1
        if batch.size >= _FULL_BATCH and shard.in_flight is None:
            self._flush(shard)
        return True

    def report_body(self, agent: Agent, fields: int, received_at: int, body_object: str, waiter: Waiter) -> bool:
        """Likewise for a message that lies in the object store."""
        if self.is_full:
            return False
        entry = uplink_pb2.UplinkEntry(
            kind=uplink_pb2.ENTRY_KIND_REPORT,
            received_at_unix_nano=received_at,
            fields=fields,
            body_object=body_object,
        )
        self._add(agent, entry, waiter)
        return True

    def tell(self, agent: Agent, entry: uplink_pb2.UplinkEntry, waiter: Waiter | None = None) -> None:
        """Put something on its way that happened here, whatever waits already: nobody would tell it again."""
        self._add(agent, entry, waiter, is_kept=True)

    def follow(self, agent: Agent, waiter: Waiter) -> bool:
        """Let `waiter` wait for what is under way in the agent's shard; False when nothing is."""
        shard = self._shards[agent.shard]
        batch = shard.queue[-1] if shard.queue else shard.in_flight
        if batch is None or not batch.waiters:
            return False
        batch.waiters.append(waiter)
        self._reports += 1
        return True

    def _add(
        self, agent: Agent, entry: uplink_pb2.UplinkEntry, waiter: Waiter | None, *, is_kept: bool = False
    ) -> None:
        shard = self._shards[agent.shard]
        queue = shard.queue
        batch = queue[-1] if queue and queue[-1].size < _FULL_BATCH else self._open(shard)
        serialized = agent.entry_prefix + entry.SerializeToString()
        framed = _ENTRIES + varint(len(serialized)) + serialized
        batch.entries.append(framed)
        if is_kept:
            batch.kept.append(framed)
        if waiter is not None:
            batch.waiters.append(waiter)
            self._reports += 1
        batch.size += len(framed)
        self._bytes += len(framed)
        if batch.size >= _FULL_BATCH and shard.in_flight is None:
            self._flush(shard)

    def _open(self, shard: _Shard) -> _Batch:
        now = self._loop.time()
        batch = _Batch()
        batch.expiry = self._loop.call_at(now + self._reply_deadline, self._expire, shard, batch)
        shard.queue.append(batch)
        if shard.in_flight is None and shard.timer is None:
            self._schedule(shard, now)
        return batch

    def _schedule(self, shard: _Shard, now: float) -> None:
        due = shard.flushed_at + self._flush_seconds
        # Even "at once" is after whatever else arrived in this turn of the loop.
        if due <= now:
            shard.timer = self._loop.call_soon(self._flush, shard)
        else:
            shard.timer = self._loop.call_at(due, self._flush, shard)

    def _flush(self, shard: _Shard) -> None:
        if shard.timer is not None:
            shard.timer.cancel()
            shard.timer = None
        if shard.in_flight is not None or not shard.queue:
            return
        batch = shard.in_flight = shard.queue.popleft()
        shard.flushed_at = self._loop.time()
        task = self._loop.create_task(self._send(shard, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, shard: _Shard, batch: _Batch) -> None:
        payload = shard.header + b"".join(batch.entries)
        self._batches += 1
        message_id = f"{self._gateway}-{self._batches}"
        while batch.entries:
            try:
                await self._publish(shard.subject, message_id, payload)
                break
            except Exception as error:  # noqa: BLE001 whatever it was: a shard that stops would refuse for ever
                # The same id again: JetStream stores it once, whether or not it has it already.
                log.warning("uplink.retry", subject=shard.subject, entries=len(batch.entries), error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
        batch.expiry.cancel()
        shard.in_flight = None
        self._bytes -= batch.size
        waiters = self._take_waiters(batch)
        if shard.queue:
            if shard.queue[0].size >= _FULL_BATCH:
                self._flush(shard)
            else:
                self._schedule(shard, self._loop.time())
        self.stored(waiters)

    def _take_waiters(self, batch: _Batch) -> list[Waiter]:
        waiters, batch.waiters = batch.waiters, []
        self._reports -= len(waiters)
        return waiters

    def _expire(self, shard: _Shard, batch: _Batch) -> None:
        """The deadline is over. What is in flight may be stored by now and is tried on; the rest is dropped."""
        if batch is not shard.in_flight:
            self._bytes -= batch.size
            batch.entries = list(batch.kept)
            batch.size = sum(map(len, batch.entries))
            self._bytes += batch.size
            if batch.entries:  # more reports may join what is kept
                batch.expiry = self._loop.call_later(self._reply_deadline, self._expire, shard, batch)
            else:
                shard.queue.remove(batch)
        waiters = self._take_waiters(batch)
        if waiters:
            log.warning("uplink.refused", subject=shard.subject, reports=len(waiters))
            self.refused(waiters)

    async def drain(self, seconds: float) -> None:
        """Wait until everything is durable, but not longer."""
        until = self._loop.time() + seconds
        while self._tasks or not self.is_idle:
            for shard in self._shards:
                self._flush(shard)
            left = until - self._loop.time()
            if left <= 0:
                log.error("uplink.not_drained", bytes=self._bytes)
                break
            await asyncio.wait([*self._tasks] or [asyncio.create_task(asyncio.sleep(0))], timeout=min(left, 0.05))
        for task in list(self._tasks):
            task.cancel()


def disconnected(reason: int, now: int) -> uplink_pb2.UplinkEntry:
    """The entry that tells the end of a connection."""
    reason_value: Any = reason
    return uplink_pb2.UplinkEntry(
        kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, received_at_unix_nano=now, reason=reason_value
    )


def delivered(facet: str, wish_id: str, now: int, *, offered: bytes = b"", error: str = "") -> uplink_pb2.UplinkEntry:
    """The entry that tells what was sent to the agent, or why it was not."""
    return uplink_pb2.UplinkEntry(
        kind=uplink_pb2.ENTRY_KIND_DELIVERED,
        received_at_unix_nano=now,
        delivered=uplink_pb2.Delivered(facet=facet, hash=offered, id=wish_id, error=error),
    )
