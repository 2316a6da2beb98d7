"""What goes up: an agent's reports, the ends of its connections, what was delivered to it, as entries of the uplink."""

from struct import Struct
from typing import Any

from flowgate.uplink.v1 import uplink_pb2
from opamp_gateway.connections import Agent
from opamp_gateway.shards import ENTRIES, MAX_ENTRY, TABLE, VARINTS, Shards, framed, varint
from opamp_gateway.transports import Link

Waiter = tuple[Link | None, Agent, int, int]
"""Link to answer on (None: the agent is away), agent, verdict, sequence_num."""

MAX_INLINE = MAX_ENTRY  # larger messages go by way of the object store

_MESSAGE = b"\x3a"  # tag of UplinkEntry.agent_to_server
_pack_report = Struct("<3sQB").pack
_REPORT_TAGS, _FIELDS_TAG = b"\x08\x01\x29", 0x30  # kind=REPORT and received_at's tag; fields' tag
_REPORT_SIZE = 13  # of those with received_at, and of agent_to_server's tag


class Uplink:
    """Puts entries on their way, in the order in which they come, per agent and shard."""

    def __init__(self, shards: Shards[Waiter]) -> None:
        self.shards = shards
        self._add = shards.add

    def report(self, agent: Agent, fields: int, received_at: int, data: bytes, waiter: Waiter) -> bool:
        """Put a message of an agent on its way; False when too much waits already.

        The entry is written by hand: as a protobuf message it would cost three times as much, once to fill and once
        to serialize.
        """
        if self.shards.is_full:
            return False
        size, prefix = len(data), agent.entry_prefix
        fields_text = VARINTS[fields] if fields < TABLE else varint(fields)
        size_text = VARINTS[size] if size < TABLE else varint(size)
        length = len(prefix) + _REPORT_SIZE + len(fields_text) + len(size_text) + size
        entry = b"".join(
            (
                ENTRIES,
                VARINTS[length] if length < TABLE else varint(length),
                prefix,
                _pack_report(_REPORT_TAGS, received_at, _FIELDS_TAG),
                fields_text,
                _MESSAGE,
                size_text,
                data,
            )
        )
        self._add(agent.shard, entry, waiter)
        return True

    def report_body(self, agent: Agent, fields: int, received_at: int, body_object: str, waiter: Waiter) -> bool:
        """Likewise for a message that lies in the object store."""
        if self.shards.is_full:
            return False
        entry = uplink_pb2.UplinkEntry(
            kind=uplink_pb2.ENTRY_KIND_REPORT,
            received_at_unix_nano=received_at,
            fields=fields,
            body_object=body_object,
        )
        self._add(agent.shard, framed(agent.entry_prefix + entry.SerializeToString()), waiter)
        return True

    def tell(self, agent: Agent, entry: uplink_pb2.UplinkEntry, waiter: Waiter | None = None) -> None:
        """Put something on its way that happened here, whatever waits already: nobody would tell it again."""
        self._add(agent.shard, framed(agent.entry_prefix + entry.SerializeToString()), waiter, is_kept=True)

    def follow(self, agent: Agent, waiter: Waiter) -> bool:
        """Let `waiter` wait for what is under way in the agent's shard; False when nothing is."""
        return self.shards.follow(agent.shard, waiter)


def disconnected(reason: int, now: int) -> uplink_pb2.UplinkEntry:
    """The entry that tells the end of a connection."""
    reason_value: Any = reason
    return uplink_pb2.UplinkEntry(
        kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, received_at_unix_nano=now, reason=reason_value
    )


def delivered(said: uplink_pb2.Delivered, now: int) -> uplink_pb2.UplinkEntry:
    """The entry that tells what was sent to the agent, or why it was not."""
    return uplink_pb2.UplinkEntry(kind=uplink_pb2.ENTRY_KIND_DELIVERED, received_at_unix_nano=now, delivered=said)
