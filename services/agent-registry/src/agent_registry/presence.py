"""Who was heard of when: kept in memory by every replica, from what the ingress replicas tell once a second."""

import contextlib
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import nats.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.bus import Bus

_LOOKS_SECONDS = 30.0  # between two looks at most; who slept longer, on a suspended machine say, has missed something


@dataclass(frozen=True)
class Heard:
    """An agent that was heard of: 16 bytes, when in seconds since 1970, and the ingress replica that told so."""

    uid: bytes
    at: float
    ingress: str


class Presence:
    """Last time that each agent was heard of, seconds since 1970 by instance_uid (16 bytes).

    Attributes:
        started_at: since when this replica listens without a break; of the time before it knows nothing.
    """

    def __init__(self, started_at: datetime) -> None:
        self.started_at = started_at
        self._looked_at = started_at
        self._connection: Client | None = None
        self._echo = ""
        self._sent = self._heard = 0
        self._seen: dict[bytes, float] = {}
        self._fresh: dict[bytes, str] = {}

    async def follow(self, bus: Bus) -> None:
        """Listen to the ingress replicas from now on."""
        self._connection = bus.connection
        self._echo = bus.connection.new_inbox()
        await bus.connection.subscribe(contracts.filter_of(desired_pb2.Presence), cb=self._take)
        await bus.connection.subscribe(self._echo, cb=self._take_echo)

    async def _take_echo(self, message: Msg) -> None:
        self._heard = int(message.data)

    async def check(self, now: datetime) -> None:
        """Listen for oneself, every few seconds: as long as NATS does not bring that, nobody else was heard either."""
        self.has_listened(now, timedelta(0))
        if self._heard < self._sent:
            self.started_at = now
        if self._connection is not None:
            self._sent += 1
            with contextlib.suppress(nats.errors.Error):
                await self._connection.publish(self._echo, str(self._sent).encode())

    def has_listened(self, now: datetime, patience: timedelta) -> bool:
        """Whether this replica has heard all that was told for so long; to be asked every few seconds."""
        if now - self._looked_at > timedelta(seconds=_LOOKS_SECONDS):
            self.started_at = now
        self._looked_at = now
        return now - self.started_at >= patience

    async def _take(self, message: Msg) -> None:
        try:
            told = desired_pb2.Presence.FromString(message.data)
        except DecodeError:
            return
        self.record(told)

    def record(self, told: desired_pb2.Presence) -> None:
        """Take in what one ingress replica told."""
        at, uids = told.at_unix_nano / 1e9, told.instance_uids
        for start in range(0, len(uids) - 15, 16):
            uid = uids[start : start + 16]
            self._seen[uid] = at
            self._fresh[uid] = told.gateway

    def last_seen(self, instance_uid: bytes, stored: datetime) -> datetime:
        """The later one of what is stored and what was heard."""
        heard = self._seen.get(instance_uid)
        return stored if heard is None else max(stored, datetime.fromtimestamp(heard, UTC))

    def was_heard(self, instance_uid: bytes, since: datetime) -> bool:
        """Whether the agent was heard of since then."""
        return self._seen.get(instance_uid, 0.0) >= since.timestamp()

    def take_fresh(self) -> list[Heard]:
        """Who was heard of since the last call."""
        fresh, self._fresh = self._fresh, {}
        return [Heard(uid, self._seen[uid], ingress) for uid, ingress in fresh.items()]

    def forget_before(self, at: float) -> None:
        """Drop agents that were not heard of since `at`: the store knows when they were."""
        self._seen = {uid: seen for uid, seen in self._seen.items() if seen >= at}


class Missing:
    """Connected agents that the store does not know, with the end of the uplink when that was seen.

    An agent whose first report still waits on the bus is unknown as well. So one is lost only if it is unknown when
    everything is worked off that was on the bus then, and lost again only from there on: a backlog would make a large
    fleet report over and over else.
    """

    def __init__(self) -> None:
        self._since: dict[UUID, int] = {}

    def lost(self, heard: Set[UUID], unknown: Set[UUID], end: int, done: int) -> list[UUID]:
        """Those that are to be asked for everything.

        Args:
            heard: who was heard of.
            unknown: who of them the store does not know.
            end: sequence at which the uplink ends now.
            done: sequence up to which the store has taken it in.
        """
        for known in heard - unknown:
            self._since.pop(known, None)
        lost = []
        for uid in unknown:
            since = self._since.get(uid)
            if since is None or since > end:  # missed for the first time, or of a stream that was made anew since
                self._since[uid] = end
            elif since <= done:
                self._since[uid] = end
                lost.append(uid)
        return lost
