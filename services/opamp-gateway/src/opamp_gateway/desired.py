"""What should be true of the agents: a mirror of the KV bucket `agent_desired`, and the bodies that it names.

The bucket holds only what is not finished, so every replica keeps all of it in memory through one watcher, and a
report costs a dictionary look-up (architecture.md section 3).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import nats.errors
import nats.js.errors
from nats.js import api

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.errors import NotFoundError, UnavailableError
from flowkit.telemetry import get_log
from opamp_gateway import replies
from opamp_gateway.connections import canonical
from opamp_gateway.mirror import Mirror

log = get_log()

CONFIG, COMMAND, STATE = "config", "command", "state"
CONNECTION, REFUSAL = "connection", "refusal"
_CACHED_BYTES = 64 * 1024 * 1024
_PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds after each try to fetch a body
_WRONG_LAST_SEQUENCE = (10071, 10164)  # JetStream error codes


@dataclass(frozen=True, slots=True)
class Wish:
    """An entry of the bucket at its revision."""

    state: desired_pb2.DesiredState
    revision: int
    seen_at: int
    """When this replica got it, nanoseconds since 1970."""

    def is_expired(self, now: int) -> bool:
        """Not to be sent any more; `now` is in nanoseconds since 1970."""
        return 0 < self.state.expires_at_unix_nano < now


class Desired:
    """The wishes of all agents, kept up to date by `mirror`."""

    def __init__(self, bus: Bus) -> None:
        self.wishes: dict[bytes, dict[str, Wish]] = {}
        self.changed: Callable[[bytes], None] = lambda uid: None
        """Called with the uid of an agent of which something is wished."""
        self.mirror = Mirror(bus, contracts.AGENT_DESIRED, self._put, self._drop)
        self._bus = bus

    def wish(self, uid: bytes, facet: str) -> Wish | None:
        """What is wished of the agent in this facet."""
        wishes = self.wishes.get(uid)
        return wishes.get(facet) if wishes is not None else None

    async def take(self, uid: bytes, facet: str, revision: int) -> bool:
        """Delete the entry if it still has this revision; whoever succeeds is the only one.

        Without NATS' word nothing is delivered: a command that is lost expires, one that comes twice does harm.
        """
        headers = {**contracts.KV_REMOVED, api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        key = f"{canonical(uid)}.{facet}"
        try:
            await self._bus.jetstream.publish(f"{self.mirror.prefix}{key}", b"", timeout=2.0, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                log.warning("desired.not_taken", key=key, error=repr(error))
            return False
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            log.warning("desired.not_taken", key=key, error=repr(error))
            return False
        self._drop(key)
        return True

    def _put(self, key: str, value: bytes, revision: int) -> None:
        uid, facet = _parsed(key)
        self.wishes.setdefault(uid, {})[facet] = Wish(
            desired_pb2.DesiredState.FromString(value), revision, time.time_ns()
        )
        self.changed(uid)

    def _drop(self, key: str) -> None:
        try:
            uid, facet = _parsed(key)
        except ValueError:
            return  # it never was a wish
        facets = self.wishes.get(uid)
        if facets is not None:
            facets.pop(facet, None)
            if not facets:
                del self.wishes[uid]


def _parsed(key: str) -> tuple[bytes, str]:
    """Uid and facet of a key."""
    uid, _, facet = key.rpartition(".")
    return UUID(uid).bytes, facet


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
        """Fetch the body unless that is under way; None when it cannot be had, after several tries."""
        task = self._fetching.get(name)
        if task is None:
            task = self._fetching[name] = asyncio.get_running_loop().create_task(self._fetch(name))
            task.add_done_callback(lambda _: self._fetching.pop(name, None))
        return task

    async def _fetch(self, name: str) -> bytes | None:
        for pause in _PAUSES:
            try:
                body = replies.remote_config(await self._bus.get_body(contracts.BODIES, name))
                break
            except NotFoundError as error:
                log.error("body.not_fetched", name=name, error=str(error))
                return None
            except UnavailableError as error:
                log.warning("body.fetch_retry", name=name, error=str(error))
                await asyncio.sleep(pause)
        else:
            log.error("body.not_fetched", name=name, error="NATS does not give it")
            return None
        self._cached[name] = body
        self._size += len(body)
        while self._size > _CACHED_BYTES and len(self._cached) > 1:
            oldest = next(iter(self._cached))
            self._size -= len(self._cached.pop(oldest))
        return body
