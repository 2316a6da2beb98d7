"""OpAMP's words in Python: names of capabilities, canonical ids, and how an agent is told to be managed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from flowgate.agent.v1.events_pb2 import ManagementMode
from opamp.v1 import anyvalue_pb2, opamp_pb2
from opamp.v1.opamp_pb2 import AgentCapabilities

MAX_TEXT = 65_536  # characters of an error; the whole output of a collector's validation fits
_MAX_NAME, _MAX_VALUE, _MAX_ATTRIBUTES = 255, 4096, 128  # characters, characters, attributes of a description
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PREFIX = "AgentCapabilities_"
_BITS = {
    value.number: value.name.removeprefix(_PREFIX) for value in AgentCapabilities.DESCRIPTOR.values if value.number
}

# Bits that the plain opampextension never sets and that every opampsupervisor with a task sets: observed with
# v0.149.0, see docs/adr/0003. Restart alone does not tell: the extension has it behind a feature gate.
SUPERVISOR_BITS: int = (
    AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig
    | AgentCapabilities.AgentCapabilities_ReportsRemoteConfig
    | AgentCapabilities.AgentCapabilities_AcceptsOpAMPConnectionSettings
    | AgentCapabilities.AgentCapabilities_ReportsHeartbeat
)


def field_bit(name: str) -> int:
    """Bit of a field of AgentToServer in the masks of the uplink: bit n for field number n."""
    return 1 << opamp_pb2.AgentToServer.DESCRIPTOR.fields_by_name[name].number


def capability_names(bits: int) -> list[str]:
    """Names of the capabilities that are set, lowest bit first; bits unknown to OpAMP v0.20 as hex numbers."""
    return [_BITS.get(1 << n, hex(1 << n)) for n in range(bits.bit_length()) if bits >> n & 1]


def capability_name(bit: int) -> str:
    """Name of one capability."""
    return _BITS.get(bit, hex(bit))


def management_mode(capabilities: int) -> ManagementMode:
    """How an agent with these capabilities is managed: only a supervisor reports what makes it manageable."""
    if capabilities & SUPERVISOR_BITS:
        return ManagementMode.MANAGEMENT_MODE_SUPERVISOR
    return ManagementMode.MANAGEMENT_MODE_EXTENSION


def tells_of_crash(error: str) -> bool:
    """Whether a supervisor says that its collector ended and it did not want that (words of opampsupervisor v0.149)."""
    return "exited unexpectedly" in error


def uid_text(uid: bytes) -> str:
    """Canonical UUID text of a 16-byte instance_uid.

    Raises:
        ValueError: it has not 16 bytes.
    """
    return str(UUID(bytes=uid))


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """What an agent says, as text that PostgreSQL takes (without NUL) and a fact has room for: no more than `limit`
    characters. Everything that goes into a column of text or into a fact comes through here."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def attribute_text(value: anyvalue_pb2.AnyValue) -> str:
    """A value as text for search and display; lists and maps in JSON-like form."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "array_value":
        return "[" + ", ".join(attribute_text(item) for item in value.array_value.values) + "]"
    if kind == "kvlist_value":
        return "{" + ", ".join(f"{item.key}: {attribute_text(item.value)}" for item in value.kvlist_value.values) + "}"
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return str(getattr(value, kind))


def attributes(pairs: Iterable[anyvalue_pb2.KeyValue]) -> dict[str, str]:
    """The first attributes by name, values as text."""
    return {
        clean_text(pair.key, _MAX_NAME): clean_text(attribute_text(pair.value), _MAX_VALUE)
        for pair in islice(pairs, _MAX_ATTRIBUTES)
    }


def time_of(unix_nano: int) -> datetime | None:
    """Point in time of nanoseconds since 1970, to the microsecond; None for 0 and for times out of range."""
    if not unix_nano:
        return None
    try:
        return EPOCH + timedelta(microseconds=unix_nano // 1000)
    except OverflowError:
        return None


def timestamp(at: datetime | None) -> Timestamp | None:
    """Protobuf's form of a point in time."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def moment(stamp: Timestamp) -> datetime:
    """A point in time from protobuf's form, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)
