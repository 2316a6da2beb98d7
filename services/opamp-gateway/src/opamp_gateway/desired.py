"""What should be true of the agents: a mirror of the KV bucket `agent_desired`, and the bodies that it names.

The bucket holds only what is not finished, so every replica keeps all of it in memory through one watcher, and a
report costs a dictionary look-up (architecture.md section 3).
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.errors import FlowGateError
from flowkit.telemetry import get_log
from opamp_gateway import replies
from opamp_gateway.connections import canonical

log = get_log()

CONFIG, COMMAND, STATE = "config", "command", "state"
_STREAM = f"KV_{contracts.AGENT_DESIRED}"
_PREFIX = f"$KV.{contracts.AGENT_DESIRED}."
_HEARTBEAT_SECONDS = 5.0  # NATS says so often that the watcher lives, when there is nothing else to say
_CHECK_SECONDS = 0.5
_SILENT_SECONDS = 12.0  # then it is made anew
_RETRY_SECONDS = 0.5
_CACHED_BYTES = 64 * 1024 * 1024
_WRONG_LAST_SEQUENCE = (10071, 10164)  # JetStream error codes


@dataclass(frozen=True, slots=True)
class Wish:
    """An entry of the bucket at its revision."""

    state: desired_pb2.DesiredState
    revision: int

    def is_expired(self, now: int) -> bool:
        """Not to be sent any more; `now` is in nanoseconds since 1970."""
        return 0 < self.state.expires_at_unix_nano < now


class Desired:
    """The mirror."""

    def __init__(self, bus: Bus) -> None:
        self.wishes: dict[bytes, dict[str, Wish]] = {}
        self.changed: Callable[[bytes], None] = lambda uid: None
        """Called with the uid of an agent of which something is wished."""
        self._bus = bus
        self._complete = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._next = 0
        self._is_broken = asyncio.Event()
        self._present: set[tuple[bytes, str]] | None = None

    @property
    def is_complete(self) -> bool:
        """The mirror has caught up with the bucket."""
        return self._complete.is_set()

    async def wait_complete(self, seconds: float) -> bool:
        """Wait for that, but not longer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), seconds)
        return self.is_complete

    def wish(self, uid: bytes, facet: str) -> Wish | None:
        """What is wished of the agent in this facet."""
        wishes = self.wishes.get(uid)
        return wishes.get(facet) if wishes is not None else None

    async def take(self, uid: bytes, facet: str, revision: int) -> bool:
        """Delete the entry if it still has this revision; whoever succeeds is the only one.

        Without NATS' word nothing is delivered: a command that is lost expires, one that comes twice does harm.
        """
        headers = {"KV-Operation": "DEL", api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        subject = f"{_PREFIX}{canonical(uid)}.{facet}"
        try:
            await self._bus.jetstream.publish(subject, b"", timeout=2.0, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                log.warning("desired.not_taken", subject=subject, error=repr(error))
            return False
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            log.warning("desired.not_taken", subject=subject, error=repr(error))
            return False
        self._drop(uid, facet)
        return True

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
                log.warning("desired.watch_retry", error=repr(error))
            finally:
                self._complete.clear()
                if subscription is not None:
                    try:
                        await subscription.unsubscribe()
                    except nats.errors.Error:
                        log.debug("desired.unsubscribe_failed")
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
            _STREAM,
            api.ConsumerConfig(
                deliver_subject=inbox,
                deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
                ack_policy=api.AckPolicy.NONE,
                replay_policy=api.ReplayPolicy.INSTANT,
                filter_subject=f"{_PREFIX}>",
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
            log.warning("desired.gap", expected=self._next, sequence=sequence)
            self._is_broken.set()
            return
        self._next += 1
        self._apply(message, revision)
        if not pending:
            self._caught_up()

    def _apply(self, message: Msg, revision: int) -> None:
        key, _, facet = message.subject.removeprefix(_PREFIX).rpartition(".")
        try:
            uid = UUID(key).bytes
            if message.headers and message.headers.get("KV-Operation"):
                self._drop(uid, facet)
                return
            wish = Wish(desired_pb2.DesiredState.FromString(message.data), revision)
        except (ValueError, DecodeError) as error:
            log.error("desired.unreadable", subject=message.subject, error=repr(error))
            return
        if self._present is not None:
            self._present.add((uid, facet))
        self.wishes.setdefault(uid, {})[facet] = wish
        self.changed(uid)

    def _caught_up(self) -> None:
        if self._present is None:
            return
        for uid, facets in list(self.wishes.items()):
            for facet in list(facets):
                if (uid, facet) not in self._present:
                    self._drop(uid, facet)
        self._present = None
        self._complete.set()

    def _drop(self, uid: bytes, facet: str) -> None:
        facets = self.wishes.get(uid)
        if facets is not None:
            facets.pop(facet, None)
            if not facets:
                del self.wishes[uid]


class Bodies:
    """Bodies of offers by name: each is fetched once and kept as the shared part of a ServerToAgent."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._cached: dict[str, bytes] = {}
        self._size = 0
        self._fetching: dict[str, asyncio.Task[bytes | None]] = {}

    def get(self, name: str) -> bytes | None:
        """The body if it is here."""
        body = self._cached.get(name)
        if body is not None:
            del self._cached[name]  # the one used last is dropped last
            self._cached[name] = body
        return body

    def fetch(self, name: str) -> "asyncio.Task[bytes | None]":
        """Fetch the body unless that is under way; None when it cannot be had."""
        task = self._fetching.get(name)
        if task is None:
            task = self._fetching[name] = asyncio.get_running_loop().create_task(self._fetch(name))
            task.add_done_callback(lambda _: self._fetching.pop(name, None))
        return task

    async def _fetch(self, name: str) -> bytes | None:
        try:
            body = replies.remote_config(await self._bus.get_body(contracts.BODIES, name))
        except (FlowGateError, nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            log.error("body.not_fetched", name=name, error=repr(error))
            return None
        self._cached[name] = body
        self._size += len(body)
        while self._size > _CACHED_BYTES and len(self._cached) > 1:
            oldest = next(iter(self._cached))
            self._size -= len(self._cached.pop(oldest))
        return body
