"""An agent's OpAMP session as a pure state machine: a report in, a verdict out.

Agent Status Compression (specification, Status Reporting): a sub-message that is absent is unchanged, so a report
that was lost shows as a gap in `sequence_num` and the server asks for the full state. What the text leaves open is
read as docs/conformance.md says.
"""

from opamp.v1 import opamp_pb2

# Verdicts on a report, combined as bits. Plain integers: enum.Flag costs a microsecond an operation.
STORE = 1  # it carries state: put it on the uplink and answer when it is durable
ASK_FULL_STATE = 2  # the answer carries ServerToAgentFlags_ReportFullState
RETRY = 4  # the same bytes again: answer, but do not process
CARRIES_CONFIG_STATUS = 8  # it says which configuration the agent has
CLONE = 16  # a second agent polls under the same uid
FAREWELL = 32  # it carries agent_disconnect: bare answer
ASK_COMPONENTS = 64  # the answer carries ServerToAgentFlags_ReportAvailableComponents
ANNOUNCES = 128  # the first that the uplink hears of this connection

UID, SEQUENCE_NUM, DESCRIPTION, CAPABILITIES, HEALTH, EFFECTIVE_CONFIG, CONFIG_STATUS = (1 << n for n in range(1, 8))
PACKAGES, DISCONNECT, FLAGS, SETTINGS_REQUEST, CUSTOM_CAPABILITIES, CUSTOM_MESSAGE = (1 << n for n in range(8, 14))
COMPONENTS, SETTINGS_STATUS = 1 << 14, 1 << 15
_ENVELOPE = UID | SEQUENCE_NUM | CAPABILITIES
STATE = (1 << 16) - 2 & ~(_ENVELOPE | DISCONNECT | FLAGS)

ACCEPTS_REMOTE_CONFIG = opamp_pb2.AgentCapabilities_AcceptsRemoteConfig
REPORTS_REMOTE_CONFIG = opamp_pb2.AgentCapabilities_ReportsRemoteConfig
ACCEPTS_RESTART_COMMAND = opamp_pb2.AgentCapabilities_AcceptsRestartCommand
REPORTS_HEARTBEAT = opamp_pb2.AgentCapabilities_ReportsHeartbeat
REPORTS_OWN_LOGS = opamp_pb2.AgentCapabilities_ReportsOwnLogs
REPORTS_OWN_METRICS = opamp_pb2.AgentCapabilities_ReportsOwnMetrics
REPORTS_OWN_TRACES = opamp_pb2.AgentCapabilities_ReportsOwnTraces
REPORTS_COMPONENTS = opamp_pb2.AgentCapabilities_ReportsAvailableComponents
_REPORTS = (
    (opamp_pb2.AgentCapabilities_ReportsHealth, HEALTH),
    (opamp_pb2.AgentCapabilities_ReportsEffectiveConfig, EFFECTIVE_CONFIG),
    (REPORTS_REMOTE_CONFIG, CONFIG_STATUS),
    (opamp_pb2.AgentCapabilities_ReportsPackageStatuses, PACKAGES),
    (REPORTS_COMPONENTS, COMPONENTS),
    (opamp_pb2.AgentCapabilities_ReportsConnectionSettingsStatus, SETTINGS_STATUS),
)

_ASK_EVERY = 10.0  # seconds between requests for the full state to one agent, after the first few
_ASK_AHEAD = 2  # how many may come faster than that
_UNKNOWN = -1


class Session:
    """What is known of one agent.

    `sequence_num` runs ahead of what is durable: a report counts when it is handed to the uplink, so that pipelined
    reports are judged in order, and `report_lost` takes it back when the uplink could not store it.
    """

    __slots__ = (
        "_asked_until",
        "_fingerprint",
        "_lost",
        "_rival",
        "attempted_hash",
        "capabilities",
        "has_greeted",
        "heartbeat_seconds",
        "is_announced",
        "is_missing",
        "known_fields",
        "offered_connection",
        "offered_hash",
        "reported_hash",
        "sequence_num",
        "uid",
    )

    def __init__(self, uid: bytes) -> None:
        self.uid = uid
        self.sequence_num = _UNKNOWN
        self.capabilities = 0
        self.known_fields = 0
        self.is_missing = True
        """Some state is not known here, or was lost on the way."""
        self.is_announced = False
        """The uplink has heard of this connection."""
        self.has_greeted = False
        """The agent has been told the server's capabilities on this connection."""
        self.reported_hash = b""
        self.offered_hash = b""
        self.attempted_hash = b""
        self.offered_connection = b""
        """Hash of the connection settings that this process of the agent was offered last."""
        self.heartbeat_seconds = 0
        """The interval that was offered with them; 0 when none was."""
        self._asked_until = 0.0
        self._fingerprint = 0
        self._lost = _UNKNOWN
        self._rival = _UNKNOWN

    def receive(self, sequence_num: int, capabilities: int, fields: int, fingerprint: int) -> int:
        """Judge a report. `fields` is its bit mask, `fingerprint` tells its bytes from others.

        When `is_missing` is set afterwards, `ask` says whether the answer has to ask for the full state.
        """
        state = fields & ~_ENVELOPE
        is_news = bool(state) or not self.is_announced
        if capabilities and capabilities != self.capabilities:  # 0 is "unspecified", hence unchanged
            self.capabilities = capabilities
            is_news = True
        if self._lost >= 0:
            if sequence_num == self._lost:
                self.sequence_num = sequence_num - 1  # the agent sends again what was refused: nothing is missing
            else:
                self.is_missing = True
            self._lost = _UNKNOWN
        elif sequence_num == self.sequence_num and fingerprint == self._fingerprint:
            if self.is_announced:
                return RETRY
            self.sequence_num = sequence_num - 1  # from a new connection it has to go up again
        if sequence_num == self.sequence_num + 1:
            self.sequence_num = sequence_num
            if self.is_missing and self._is_complete(sequence_num, fields):
                self.is_missing = False
        elif state or sequence_num:  # else a poll in which only the uid is set: it says nothing about the sequence
            if sequence_num == self._rival + 1 and self._rival >= 0:
                self._rival = sequence_num
                return CLONE
            if not sequence_num and self.sequence_num >= 0:  # another process, which has its own settings again
                self.offered_connection, self.heartbeat_seconds = b"", 0
                self.offered_hash = self.attempted_hash = b""  # and may have lost its configuration
            self._rival = self.sequence_num
            self.sequence_num = sequence_num
            self.is_missing = not self._is_complete(sequence_num, fields)
        self._fingerprint = fingerprint
        if not is_news:
            return 0
        self.known_fields |= fields
        if self.is_announced:
            return STORE
        self.is_announced = True
        return STORE | ANNOUNCES

    def _is_complete(self, sequence_num: int, fields: int) -> bool:
        """Nothing is omitted, as far as one can tell.

        A process that starts, or an agent that was asked for everything, tells what it has; it may have no
        effective config or config status yet, and asking again would bring nothing but the same.
        """
        if not fields & DESCRIPTION:
            return False
        if not sequence_num or self._asked_until:
            return True
        return all(fields & field for bit, field in _REPORTS if self.capabilities & bit)

    def ask(self, now: float) -> int:
        """Ask for the full state, but not at wire speed: some agents never count up and would send it for ever."""
        if self._asked_until > now + _ASK_AHEAD * _ASK_EVERY:
            return 0
        self._asked_until = max(self._asked_until, now) + _ASK_EVERY
        return ASK_FULL_STATE

    def report_lost(self, sequence_num: int, verdict: int) -> None:
        """A report was answered UNAVAILABLE: if the next one is not the same again, its state is missing."""
        if self._lost < 0 or sequence_num < self._lost:
            self._lost = sequence_num
        if verdict & ANNOUNCES:
            self.is_announced = False

    @property
    def durable_sequence_num(self) -> int:
        """The last one that was stored; below 0 when none was."""
        return self.sequence_num if self._lost < 0 else self._lost - 1

    def needs_past(self, sequence_num: int, capabilities: int, fields: int) -> bool:
        """Whether a session that another replica had is worth looking for, given the first report here."""
        if sequence_num in (self.sequence_num, self.sequence_num + 1) and self.sequence_num != _UNKNOWN:
            return False
        if not fields & DESCRIPTION:
            return True
        return bool(sequence_num) and not all(fields & field for bit, field in _REPORTS if capabilities & bit)

    def config_reported(self, config_hash: bytes) -> None:
        """The agent says which configuration it received last."""
        self.reported_hash = config_hash
        if config_hash and config_hash == self.offered_hash:
            self.attempted_hash = config_hash

    def is_offer_due(self, config_hash: bytes, verdict: int) -> bool:
        """Whether the answer has to carry the configuration with this hash.

        Only the hash counts, not the status: FAILED with the same hash means that the agent has it. An offer is made
        once in a session, and again only to an agent that still reports another hash, or whose answer got lost;
        never again once it was attempted, because agents that roll back report their former hash.
        """
        if not self.capabilities & ACCEPTS_REMOTE_CONFIG or config_hash == self.reported_hash:
            return False
        if config_hash != self.offered_hash:
            return True
        return bool(verdict & (CARRIES_CONFIG_STATUS | RETRY)) and config_hash != self.attempted_hash

    def reconnected(self) -> None:
        """The agent comes over another connection: it is greeted and announced anew, the sequence goes on."""
        self.is_announced = False
        self.has_greeted = False

    def restore(
        self,
        sequence_num: int,
        capabilities: int,
        known_fields: int,
        reported_hash: bytes,
        offered_hash: bytes,
        offered_connection: bytes = b"",
        heartbeat_seconds: int = 0,
    ) -> None:
        """Go on with what another replica knew of the agent."""
        self.sequence_num = sequence_num
        self.capabilities = capabilities
        self.known_fields = known_fields
        self.reported_hash = reported_hash
        self.offered_hash = offered_hash
        self.offered_connection = offered_connection
        self.heartbeat_seconds = heartbeat_seconds
        self.is_missing = not known_fields & DESCRIPTION


_BITS = tuple(
    1 << (tag >> 3) if tag < 128 and tag & 7 == (0 if tag >> 3 in (2, 4, 10) else 2) else 0 for tag in range(256)
)


def fields_of(data: bytes) -> int:
    """Which fields of AgentToServer are set: bit n for field n. `data` has been parsed, so it is well formed.

    Walks over the top level instead of asking the message field by field, which takes twice as long.
    """
    fields, position, end = 0, 0, len(data)
    while position < end:
        tag = data[position]
        position += 1
        fields |= _BITS[tag]
        if tag > 127:
            while data[position] > 127:
                position += 1
            position += 1
        kind = tag & 7
        if kind == 2:
            length = data[position]
            position += 1
            if length > 127:
                length &= 127
                shift = 7
                while True:
                    byte = data[position]
                    position += 1
                    length |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
            position += length
        elif kind == 0:
            while data[position] > 127:
                position += 1
            position += 1
        elif kind == 1:
            position += 8
        elif kind == 5:
            position += 4
        else:  # an unknown group, whose inside must not be taken for the top level
            message = opamp_pb2.AgentToServer.FromString(data)
            return sum(1 << field.number for field, _ in message.ListFields())
    return fields
