"""A KV bucket in memory: one watcher that keeps all of it, in order, however often NATS goes away."""

import asyncio
import contextlib
from collections.abc import Callable

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from flowkit.bus import Bus
from flowkit.telemetry import get_log

log = get_log()

_HEARTBEAT_SECONDS = 5.0  # NATS says so often that the watcher lives, when there is nothing else to say
_CHECK_SECONDS = 0.5
_SILENT_SECONDS = 12.0  # then it is made anew
_RETRY_SECONDS = 0.5


class Mirror:
    """Tells every entry of `bucket` and every change of it.

    Args:
        bus: where the bucket is.
        bucket: its name.
        put: gets key, value and revision of an entry that is there or changed, the same one perhaps again; raises
            ValueError or DecodeError when it cannot be read, which is logged.
        drop: gets the key of an entry that is gone, of which `put` may never have heard.
    """

    def __init__(
        self, bus: Bus, bucket: str, put: Callable[[str, bytes, int], None], drop: Callable[[str], None]
    ) -> None:
        self.prefix = f"$KV.{bucket}."
        """What precedes a key in a subject."""
        self._bus = bus
        self._bucket = bucket
        self._put = put
        self._drop = drop
        self._complete = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._next = 0
        self._is_broken = asyncio.Event()
        self._keys: set[str] = set()
        self._present: set[str] | None = None

    @property
    def is_complete(self) -> bool:
        """The mirror has caught up with the bucket."""
        return self._complete.is_set()

    async def wait_complete(self, seconds: float) -> bool:
        """Wait for that, but not longer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), seconds)
        return self.is_complete

    async def run(self) -> None:
        """Keep the mirror up to date until cancelled."""
        while True:
            subscription: Subscription | None = None
            try:
                reconnects = self._bus.connection.stats["reconnects"]
                subscription = await self._watch()
                while not self._is_broken.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._is_broken.wait(), _CHECK_SECONDS)
                    is_silent = self._loop.time() - self._heard_at > _SILENT_SECONDS
                    if is_silent or self._bus.connection.stats["reconnects"] != reconnects:
                        break  # a restarted server has forgotten the watcher
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
                log.warning("mirror.watch_retry", bucket=self._bucket, error=repr(error))
            finally:
                self._complete.clear()
                if subscription is not None:
                    try:
                        await subscription.unsubscribe()
                    except nats.errors.Error:
                        log.debug("mirror.unsubscribe_failed", bucket=self._bucket)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self) -> Subscription:
        """An ordered push consumer of our own: nats-py's does not notice when it dies with its server."""
        connection = self._bus.connection
        self._is_broken.clear()
        self._next = 1
        self._present = set()
        self._heard_at = self._loop.time()
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, cb=self._receive)
        info = await self._bus.jetstream.add_consumer(
            f"KV_{self._bucket}",
            api.ConsumerConfig(
                deliver_subject=inbox,
                deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
                ack_policy=api.AckPolicy.NONE,
                replay_policy=api.ReplayPolicy.INSTANT,
                filter_subject=f"{self.prefix}>",
                idle_heartbeat=_HEARTBEAT_SECONDS,
                max_deliver=1,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=60.0,
            ),
        )
        if not info.num_pending and self._next == 1:
            self._caught_up()
        return subscription

    async def _receive(self, message: Msg) -> None:
        self._heard_at = self._loop.time()
        if not message.reply.startswith("$JS.ACK."):  # a heartbeat
            last = (message.headers or {}).get("Nats-Last-Consumer")
            if last is not None and int(last) >= self._next:
                self._is_broken.set()
            return
        parts = message.reply.split(".")
        revision, sequence, pending = int(parts[-4]), int(parts[-3]), int(parts[-1])
        if sequence != self._next:
            log.warning("mirror.gap", bucket=self._bucket, expected=self._next, sequence=sequence)
            self._is_broken.set()
            return
        self._next += 1
        self._apply(message, revision)
        if not pending:
            self._caught_up()

    def _apply(self, message: Msg, revision: int) -> None:
        key = message.subject.removeprefix(self.prefix)
        if message.headers and message.headers.get("KV-Operation"):
            self._keys.discard(key)
            self._drop(key)
            return
        self._keys.add(key)
        if self._present is not None:
            self._present.add(key)
        try:
            self._put(key, message.data, revision)
        except (ValueError, DecodeError) as error:
            log.error("mirror.unreadable", subject=message.subject, error=repr(error))

    def _caught_up(self) -> None:
        if self._present is None:
            return
        for key in self._keys - self._present:
            self._keys.discard(key)
            self._drop(key)
        self._present = None
        self._complete.set()
