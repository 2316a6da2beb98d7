"""Who was heard of when: kept in memory by every replica, from what the ingress replicas tell once a second."""

from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.bus import Bus


class Presence:
    """Last time that each agent was heard of, seconds since 1970 by instance_uid (16 bytes).

    Attributes:
        started_at: since when this replica listens; before that it knows nothing.
    """

    def __init__(self, started_at: datetime) -> None:
        self.started_at = started_at
        self._seen: dict[bytes, float] = {}
        self._fresh: set[bytes] = set()

    async def follow(self, bus: Bus) -> None:
        """Listen to the ingress replicas from now on."""
        await bus.connection.subscribe(contracts.filter_of(desired_pb2.Presence), cb=self._take)

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
            self._fresh.add(uid)

    def last_seen(self, instance_uid: bytes, stored: datetime) -> datetime:
        """The later one of what is stored and what was heard."""
        heard = self._seen.get(instance_uid)
        return stored if heard is None else max(stored, datetime.fromtimestamp(heard, UTC))

    def take_fresh(self) -> tuple[list[bytes], list[float]]:
        """Uids heard of since the last call, and when."""
        fresh, self._fresh = list(self._fresh), set()
        return fresh, [self._seen[uid] for uid in fresh]

    def forget_before(self, at: float) -> None:
        """Drop agents that were not heard of since `at`: the store knows when they were."""
        self._seen = {uid: seen for uid, seen in self._seen.items() if seen >= at}
