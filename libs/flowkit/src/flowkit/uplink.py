"""The uplink: what agents said, as the ingress hands it on."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as FastUUID  # a UUID in C, ten times faster to make
from google.protobuf.message import Message

from flowgate.uplink.v1 import dead_letters_pb2, uplink_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.errors import NotFoundError
from flowkit.opamp import EPOCH, clean_text, field_bit, time_of
from flowkit.telemetry import get_log
from opamp.v1 import opamp_pb2

log = get_log()

_HEALTH, _CONFIG_STATUS = field_bit("health"), field_bit("remote_config_status")


class Report:
    """One entry of the uplink.

    Attributes:
        entry: the entry as the ingress wrote it.
        gateway: the ingress replica.
        uid: the agent.
        is_lost: what the agent said is not there any more; only that it was there is known.
    """

    __slots__ = ("_message", "_received_at", "entry", "gateway", "is_lost", "uid")

    def __init__(self, entry: uplink_pb2.UplinkEntry, gateway: str) -> None:
        self.entry = entry
        self.gateway = gateway
        self.is_lost = False
        self.uid: UUID = FastUUID(entry.instance_uid)
        self._received_at: datetime | None = None
        self._message: opamp_pb2.AgentToServer | None = None

    @property
    def received_at(self) -> datetime:
        """When the ingress got it."""
        if self._received_at is None:
            self._received_at = time_of(self.entry.received_at_unix_nano) or EPOCH
        return self._received_at

    @property
    def connected_at(self) -> datetime:
        """When the connection began that it came on."""
        return time_of(self.entry.connected_at_unix_nano) or EPOCH

    def has(self, fields: int) -> bool:
        """Whether one of these fields of AgentToServer is set (bits of `opamp.field_bit`)."""
        return bool(self.entry.fields & fields)

    @property
    def instance_uid(self) -> str:
        """The agent, canonical UUID text."""
        return str(self.uid)

    @property
    def connection_id(self) -> UUID:
        """The connection that it came on."""
        return FastUUID(self.entry.connection_id)

    @property
    def message(self) -> opamp_pb2.AgentToServer:
        """What the agent said, its errors as `opamp.clean_text`; parsed when first asked for. Empty for entries that
        are no message of the agent.

        Raises:
            google.protobuf.message.DecodeError: the bytes are damaged.
        """
        if self._message is None:
            self._message = message = opamp_pb2.AgentToServer.FromString(self.entry.agent_to_server)
            if self.entry.fields & _HEALTH:
                _clean(message.health, "last_error", "status")
            if self.entry.fields & _CONFIG_STATUS:
                _clean(message.remote_config_status, "error_message")
        return self._message


def _clean(message: Message, *names: str) -> None:
    for name in names:
        said = getattr(message, name)
        text = clean_text(said)
        if text is not said:
            setattr(message, name, text)


class Uplink:
    """The stream UPLINK, for `shards.ShardConsumer`.

    Args:
        wanted_fields: fields of AgentToServer that the service cares for; reports with none of them are left out.
        wanted_kinds: kinds of entries other than reports that it cares for.
        wants_connections: it also cares for reports without any of the fields, since they tell of a connection.
        wants: has a closer look at a report that the masks let through.
    """

    stream = contracts.UPLINK

    def __init__(
        self,
        bus: Bus,
        *,
        wanted_fields: int,
        wanted_kinds: frozenset[uplink_pb2.EntryKind] = frozenset(),
        wants_connections: bool = False,
        wants: Callable[[Report], bool] | None = None,
    ) -> None:
        self._bus = bus
        self._wanted_fields = wanted_fields
        self._wanted_kinds = wanted_kinds
        self._wants_all_reports = wants_connections
        self._wants_report = wants

    async def read(self, payload: bytes) -> list[Report]:
        """The wanted reports of a batch, with their bodies. One whose body is lost says nothing any more."""
        batch = uplink_pb2.UplinkBatch.FromString(payload)
        reports = [Report(entry, batch.gateway) for entry in batch.entries if self._wants(entry)]
        for report in reports:
            if report.entry.body_object:
                try:
                    body = await self._bus.get_body(contracts.UPLINK_BODIES, report.entry.body_object)
                except NotFoundError as error:
                    log.error("uplink.body_lost", instance_uid=report.instance_uid, error=str(error))
                    report.is_lost, report.entry.fields, body = True, 0, b""
                report.entry.agent_to_server = body
        reports = [one for one in reports if self._wants(one.entry)]
        return [one for one in reports if self._wants_report(one)] if self._wants_report is not None else reports

    def letter(self, entry: Report) -> dead_letters_pb2.DeadLetter:
        """A report as a dead letter; a large body stays where it is, as long as it is kept there."""
        letter = dead_letters_pb2.DeadLetter(entry=entry.entry)
        if letter.entry.body_object:
            letter.entry.ClearField("agent_to_server")
        return letter

    def agent(self, entry: Report) -> str:
        """The agent that it is of."""
        return entry.instance_uid

    def _wants(self, entry: uplink_pb2.UplinkEntry) -> bool:
        if entry.kind == uplink_pb2.ENTRY_KIND_REPORT:
            return self._wants_all_reports or bool(entry.fields & self._wanted_fields)
        return entry.kind in self._wanted_kinds
