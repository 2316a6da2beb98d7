"""Which agent is on which connection: the newest one counts, and what an older one still says is another agent's."""

import os
import time
from collections.abc import Iterator
from typing import TypeVar
from uuid import UUID
from zlib import crc32

from flowgate.uplink.v1 import uplink_pb2
from opamp_gateway.deadlines import VariedDeadlines
from opamp_gateway.session import Session
from opamp_gateway.transports import Link

Value = TypeVar("Value")

_SILENT_HEARTBEATS = 3  # of an HTTP agent, until it counts as gone
_REMEMBERED = 20_000  # agents that went away, and uids that were given out


class Agent(Session):
    """A session together with where its agent is."""

    __slots__ = (
        "asked_revision",
        "credential",
        "entry_prefix",
        "held",
        "is_starting",
        "is_taking",
        "link",
        "settling_since",
        "shard",
        "unread",
        "unread_settings",
    )

    def __init__(self, uid: bytes, shards: int) -> None:
        super().__init__(uid)
        self.shard = crc32(uid) % shards
        self.link: Link | None = None
        """The WebSocket; None when the agent polls or is away."""
        self.credential = ""
        """Id of the enrollment token that it came with."""
        self.entry_prefix = b""
        """What all uplink entries of this connection have in common, serialized."""
        self.held: list[tuple[Link, bytes]] | None = None
        """Messages that wait until something slow is done for an earlier one."""
        self.is_taking = False
        """A command for it is being taken out of the desired state."""
        self.is_starting = False
        """It has no running collector yet. opampsupervisor v0.149 composes its first configuration while the answer to
        its first report comes in, and now and then loses an offer in it: nothing is offered before the next report."""
        self.settling_since = 0
        """When it was offered own telemetry, which restarts its collector, in nanoseconds since 1970; 0 when that is
        done. No command is sent before: opampsupervisor v0.149 would be left with two collectors."""
        self.asked_revision = 0
        """Revision of the wish for its full state that it was told of on this connection."""
        self.unread: list[tuple[int, uplink_pb2.UplinkEntry]] = []
        """Offers on its WebSocket that it may not have read: the number of the probe behind each, and what the uplink
        is told when it has."""
        self.unread_settings = b""
        """Connection settings in the last answer over HTTP, which a client that missed the answer asks for again."""

    def connect(self, link: Link, connected_at: int, previous_uid: bytes = b"") -> None:
        """The agent is on a new connection; `connected_at` is in nanoseconds since 1970."""
        self.reconnected()
        self.is_starting = False
        self.asked_revision = 0
        self.link = link if link.is_websocket else None
        self.credential = link.credential
        self.entry_prefix = uplink_pb2.UplinkEntry(
            instance_uid=self.uid,
            connection_id=os.urandom(16),
            connected_at_unix_nano=connected_at,
            transport=uplink_pb2.TRANSPORT_WEBSOCKET if link.is_websocket else uplink_pb2.TRANSPORT_HTTP,
            remote_address=link.remote_address,
            previous_instance_uid=previous_uid,
            credential_id=link.credential,
        ).SerializeToString()

    def forget_unread(self) -> None:
        """The connection is over: what the agent has not read was not offered."""
        for _, entry in self.unread:
            if entry.delivered.hash == self.offered_connection:
                self.offered_connection, self.heartbeat_seconds, self.settling_since = b"", 0, 0
            elif entry.delivered.hash == self.offered_hash:
                self.offered_hash = self.attempted_hash
        self.unread, self.unread_settings = [], b""

    def forget_previous(self) -> None:
        """The uplink knows by now under which uid the agent was known before."""
        entry = uplink_pb2.UplinkEntry.FromString(self.entry_prefix)
        if entry.previous_instance_uid:
            entry.ClearField("previous_instance_uid")
            self.entry_prefix = entry.SerializeToString()


class Connections:
    """Every agent of this replica by its uid."""

    def __init__(self, shards: int, heartbeat_seconds: float) -> None:
        self._shards = shards
        self.agents: dict[bytes, Agent] = {}
        self.polling: VariedDeadlines[bytes] = VariedDeadlines(_SILENT_HEARTBEATS * heartbeat_seconds)
        """Agents on plain HTTP, which has no connection that could be lost."""
        self._away: dict[bytes, Agent] = {}
        self._renamed: dict[bytes, bytes] = {}
        self._former: dict[bytes, bytes] = {}

    def get(self, uid: bytes) -> Agent | None:
        """The agent if it is connected here."""
        return self.agents.get(uid)

    def on(self, link: Link, uid: bytes) -> Agent | None:
        """The agent if it is on this link; over HTTP every link will do on which it comes with the same token."""
        if not link.is_websocket:
            agent = self.agents.get(uid)
            is_here = agent is not None and agent.link is None and agent.credential == link.credential
            return agent if is_here else None
        if link.agent is not None and link.agent.uid == uid:
            return link.agent
        return link.others.get(uid) if link.others is not None else None

    def all_on(self, link: Link) -> Iterator[Agent]:
        """The agents on a WebSocket."""
        if link.agent is not None:
            yield link.agent
        if link.others is not None:
            yield from list(link.others.values())

    def attach(self, link: Link, uid: bytes) -> Agent:
        """The agent comes over this link; a link that had it before has it no more."""
        agent = self.agents.get(uid) or self._away.pop(uid, None) or Agent(uid, self._shards)
        agent.forget_unread()
        if agent.link is not None:
            self._unlink(agent.link, agent)
            agent.link.ousted = {**(agent.link.ousted or {}), uid: b""}
        self.polling.stop(uid)
        self.agents[uid] = agent
        agent.connect(link, time.time_ns(), self._former.pop(uid, b""))
        if link.is_websocket:
            if link.agent is None:
                link.agent = agent
            else:
                link.others = link.others if link.others is not None else {}
                link.others[uid] = agent
            if link.ousted is not None:
                link.ousted.pop(uid, None)
        return agent

    def polled(self, agent: Agent, now: float) -> None:
        """The agent was heard over HTTP; a longer heartbeat interval that it was offered gives it more time."""
        self.polling.start(agent.uid, now, _SILENT_HEARTBEATS * agent.heartbeat_seconds)

    def interval_changed(self, agent: Agent, now: float) -> None:
        """The agent was offered another heartbeat interval: its next poll may already come later."""
        if agent.link is None and self.agents.get(agent.uid) is agent:
            self.polled(agent, now)

    def detach(self, agent: Agent) -> None:
        """The agent is away; its session is kept for a while."""
        agent.forget_unread()
        if agent.link is not None:
            self._unlink(agent.link, agent)
            agent.link = None
        self.polling.stop(agent.uid)
        if self.agents.get(agent.uid) is agent:
            del self.agents[agent.uid]
            _remember(self._away, agent.uid, agent)

    @staticmethod
    def _unlink(link: Link, agent: Agent) -> None:
        if link.agent is agent:
            link.agent = None
        elif link.others is not None:
            link.others.pop(agent.uid, None)

    def rename(self, uid: bytes, now_ms: int) -> bytes:
        """The uid for an agent that asks for one; the same for the same question, since clients retry."""
        new_uid = self._renamed.get(uid)
        if new_uid is None:
            new_uid = uuid7(now_ms)
            _remember(self._renamed, uid, new_uid)
            _remember(self._former, new_uid, uid)
        return new_uid

    def former(self, uid: bytes) -> Agent | None:
        """The agent's entry under the uid that it had before `rename`, as long as that is connected."""
        return self.agents.get(self._former.get(uid, b""))

    def oust(self, link: Link, uid: bytes, now_ms: int) -> bytes | None:
        """The new uid for whoever still uses `uid` on a link that lost it to a newer one; None if that is not so."""
        if link.ousted is None or uid not in link.ousted:
            return None
        new_uid = link.ousted[uid] or uuid7(now_ms)
        link.ousted[uid] = new_uid
        return new_uid

    def split(self, uid: bytes, now_ms: int) -> bytes:
        """The new uid for one of two agents that poll under the same one. No former uid: the other one keeps it."""
        key = b"clone" + uid
        new_uid = self._renamed.get(key) or uuid7(now_ms)
        _remember(self._renamed, key, new_uid)
        return new_uid


def _remember(memory: dict[bytes, Value], key: bytes, value: Value) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


def uuid7(now_ms: int) -> bytes:
    """A UUIDv7 (RFC 9562 section 5.7) as 16 bytes."""
    random = int.from_bytes(os.urandom(10), "big")
    high = now_ms << 16 | 0x7000 | random >> 68
    return (high << 64 | 0b10 << 62 | random & (1 << 62) - 1).to_bytes(16, "big")


def canonical(uid: bytes) -> str:
    """The uid as UUID text."""
    return str(UUID(bytes=uid))
