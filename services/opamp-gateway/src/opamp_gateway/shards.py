"""Entries on their way to a stream: gathered per shard, one batch in flight per shard, told when they are durable.

The first entry after a quiet time goes at once, later ones when the batch before is acknowledged and the flush time
is over, or as soon as a batch is full: batches grow with the load by themselves (architecture.md section 3).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from flowgate.uplink.v1 import telemetry_pb2, uplink_pb2
from flowkit import contracts, metrics
from flowkit.telemetry import get_log

log = get_log()

Waiter = TypeVar("Waiter")
Publish = Callable[[str, str, bytes], Awaitable[None]]
"""(subject, message id, payload): durable when it returns; raises UnavailableError."""

MAX_ENTRY = 512 * 1024  # bytes; larger ones go another way
ENTRIES = b"\x1a"  # tag of `entries` in a batch
_FULL_BATCH = 256 * 1024  # bytes; with the largest entry on top still below NATS' max_payload of 1 MiB
_RETRY_SECONDS = 0.1
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # entries
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)

TABLE = 1 << 14  # numbers whose varint has up to two bytes
VARINTS = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(TABLE))


def varint(number: int) -> bytes:
    """A protobuf varint."""
    if number < TABLE:
        return VARINTS[number]
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def framed(entry: bytes) -> bytes:
    """A serialized entry as part of a batch."""
    return ENTRIES + varint(len(entry)) + entry


class _Batch(Generic[Waiter]):
    __slots__ = ("entries", "expiry", "kept", "opened_at", "size", "waiters")

    def __init__(self, opened_at: float) -> None:
        self.opened_at = opened_at
        self.entries: list[bytes] = []
        self.kept: list[bytes] = []  # those that nobody would tell again
        self.waiters: list[Waiter] = []
        self.size = 0
        self.expiry: asyncio.Handle


class _Shard(Generic[Waiter]):
    __slots__ = ("flushed_at", "header", "in_flight", "queue", "subject", "timer")

    def __init__(self, subject: str, header: bytes) -> None:
        self.subject = subject
        self.header = header
        self.queue: deque[_Batch[Waiter]] = deque()
        self.in_flight: _Batch[Waiter] | None = None
        self.flushed_at = 0.0
        self.timer: asyncio.Handle | None = None


class Shards(Generic[Waiter]):
    """Puts entries on the bus in the order in which they come, per shard.

    Args:
        publish: stores a batch.
        batches: an empty one for each shard, of which the subject and what goes before the entries are taken.
        flush_seconds: how long entries are gathered.
        deadline: seconds after which what is not durable is given up; its waiters are told so.
        max_waiters: how many may wait.
        max_bytes: how much may wait.
    """

    def __init__(
        self,
        publish: Publish,
        batches: Sequence[uplink_pb2.UplinkBatch | telemetry_pb2.TelemetryBatch],
        *,
        flush_seconds: float,
        deadline: float,
        max_waiters: int,
        max_bytes: int,
    ) -> None:
        self.stored: Callable[[list[Waiter]], None] = _ignore
        """Gets the waiters of a batch that is durable."""
        self.refused: Callable[[list[Waiter]], None] = _ignore
        """Gets those that waited longer than the deadline."""
        self._publish = publish
        self._gateway = batches[0].gateway
        self._shards: list[_Shard[Waiter]] = [
            _Shard(contracts.subject_of(batch), batch.SerializeToString()) for batch in batches
        ]
        self._flush_seconds = flush_seconds
        self._deadline = deadline
        self._max_waiters = max_waiters
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches = 0
        self._bytes = 0
        self._waiters = 0
        self.sizes = metrics.Tally(_SIZES)
        """Entries of each batch that is durable."""
        self.latency = metrics.Tally(_SECONDS)
        """Seconds from the first entry of a batch until its waiters have been told."""
        self.retries = 0
        """Batches sent again, since JetStream did not confirm them."""

    @property
    def waiting(self) -> tuple[int, int]:
        """How many wait now, and how many bytes do."""
        return self._waiters, self._bytes

    @property
    def is_full(self) -> bool:
        """More than a bounded number of entries wait."""
        return self._waiters >= self._max_waiters or self._bytes >= self._max_bytes

    @property
    def is_idle(self) -> bool:
        """Everything is durable."""
        return not any(shard.in_flight or shard.queue for shard in self._shards)

    def add(self, number: int, entry: bytes, waiter: Waiter | None, *, is_kept: bool = False) -> None:
        """Put an entry, framed and of at most MAX_ENTRY bytes, on its way; one that is kept outlives the deadline."""
        shard = self._shards[number]
        queue = shard.queue
        batch = queue[-1] if queue and queue[-1].size < _FULL_BATCH else self._open(shard)
        batch.entries.append(entry)
        if is_kept:
            batch.kept.append(entry)
        if waiter is not None:
            batch.waiters.append(waiter)
            self._waiters += 1
        length = len(entry)
        batch.size += length
        self._bytes += length
        if batch.size >= _FULL_BATCH and shard.in_flight is None:
            self._flush(shard)

    def follow(self, number: int, waiter: Waiter) -> bool:
        """Let `waiter` wait for what others wait for in the shard; False when nobody does."""
        shard = self._shards[number]
        under_way = [*([shard.in_flight] if shard.in_flight is not None else []), *shard.queue]
        batch = next((one for one in reversed(under_way) if one.waiters), None)
        if batch is None:
            return False
        batch.waiters.append(waiter)
        self._waiters += 1
        return True

    def _open(self, shard: _Shard[Waiter]) -> _Batch[Waiter]:
        now = self._loop.time()
        batch: _Batch[Waiter] = _Batch(now)
        batch.expiry = self._loop.call_at(now + self._deadline, self._expire, shard, batch)
        shard.queue.append(batch)
        if shard.in_flight is None and shard.timer is None:
            self._schedule(shard, now)
        return batch

    def _schedule(self, shard: _Shard[Waiter], now: float) -> None:
        due = shard.flushed_at + self._flush_seconds
        # Even "at once" is after whatever else arrived in this turn of the loop.
        if due <= now:
            shard.timer = self._loop.call_soon(self._flush, shard)
        else:
            shard.timer = self._loop.call_at(due, self._flush, shard)

    def _flush(self, shard: _Shard[Waiter]) -> None:
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

    async def _send(self, shard: _Shard[Waiter], batch: _Batch[Waiter]) -> None:
        payload = shard.header + b"".join(batch.entries)
        self._batches += 1
        message_id = f"{self._gateway}-{self._batches}"
        while batch.entries:
            try:
                await self._publish(shard.subject, message_id, payload)
                break
            except Exception as error:  # noqa: BLE001 whatever it was: a shard that stops would refuse for ever
                # The same id again: JetStream stores it once, whether or not it has it already.
                self.retries += 1
                log.warning("batch.retry", subject=shard.subject, entries=len(batch.entries), error=repr(error))
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
        self.sizes.add(len(batch.entries))
        self.latency.add(self._loop.time() - batch.opened_at)

    def _take_waiters(self, batch: _Batch[Waiter]) -> list[Waiter]:
        waiters, batch.waiters = batch.waiters, []
        self._waiters -= len(waiters)
        return waiters

    def _expire(self, shard: _Shard[Waiter], batch: _Batch[Waiter]) -> None:
        """The deadline is over. What is in flight may be stored by now and is tried on; the rest is dropped."""
        if batch is not shard.in_flight:
            self._bytes -= batch.size
            batch.entries = list(batch.kept)
            batch.size = sum(map(len, batch.entries))
            self._bytes += batch.size
            if batch.entries:  # more entries may join what is kept
                batch.expiry = self._loop.call_later(self._deadline, self._expire, shard, batch)
            else:
                shard.queue.remove(batch)
        waiters = self._take_waiters(batch)
        if waiters:
            log.warning("batch.refused", subject=shard.subject, waiters=len(waiters))
            self.refused(waiters)

    async def drain(self, seconds: float) -> None:
        """Wait until everything is durable, but not longer."""
        until = self._loop.time() + seconds
        while self._tasks or not self.is_idle:
            for shard in self._shards:
                self._flush(shard)
            left = until - self._loop.time()
            if left <= 0:
                log.error("batch.not_drained", subject=self._shards[0].subject, bytes=self._bytes)
                break
            await asyncio.wait([*self._tasks] or [asyncio.create_task(asyncio.sleep(0))], timeout=min(left, 0.05))
        for task in list(self._tasks):
            task.cancel()


def _ignore(waiters: list[Waiter]) -> None:
    """Nobody listens yet."""
