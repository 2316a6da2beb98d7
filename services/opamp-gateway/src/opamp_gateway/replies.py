"""The one builder of ServerToAgent, for replies and for pushes.

Serialized protobuf messages merge when they are put one after the other, so a message is the agent's own part
followed by a part that all agents share.
"""

from typing import cast

from flowgate.uplink.v1 import desired_pb2
from opamp.v1 import opamp_pb2
from opamp_gateway import session

SERVER_CAPABILITIES = (
    opamp_pb2.ServerCapabilities_AcceptsStatus
    | opamp_pb2.ServerCapabilities_OffersRemoteConfig
    | opamp_pb2.ServerCapabilities_AcceptsEffectiveConfig
    | opamp_pb2.ServerCapabilities_OffersConnectionSettings
)
"""What works end to end, and nothing else."""

ACK_PREFIX = b"\x0a\x10"
"""instance_uid's tag and length: the prefix and 16 bytes are a whole acknowledgement."""

_OWN_TELEMETRY = session.REPORTS_OWN_LOGS | session.REPORTS_OWN_METRICS | session.REPORTS_OWN_TRACES
_NANOSECONDS = 1_000_000_000
_MAX_ERROR = 500  # characters of an error_message


def compose(
    uid: bytes, *, is_greeting: bool = False, flags: int = 0, new_uid: bytes = b"", shared: bytes = b""
) -> bytes:
    """A reply or a push; with nothing to say it is the bare acknowledgement. `shared` is serialized ServerToAgent."""
    message = opamp_pb2.ServerToAgent(instance_uid=uid, flags=flags)
    if is_greeting:
        message.capabilities = SERVER_CAPABILITIES
    if new_uid:
        message.agent_identification.new_instance_uid = new_uid
    return message.SerializeToString() + shared


def command(uid: bytes, command_type: int, *, is_greeting: bool = False) -> bytes:
    """A command, alone: an agent ignores whatever else is in the message (ServerToAgentCommand)."""
    shared = opamp_pb2.ServerToAgent()
    shared.command.SetInParent()  # Restart is 0, so only the presence of the message tells it
    shared.command.type = cast(opamp_pb2.CommandType, command_type)
    return compose(uid, is_greeting=is_greeting, shared=shared.SerializeToString())


def remote_config(serialized: bytes) -> bytes:
    """The shared part that offers a configuration, from a serialized AgentRemoteConfig."""
    size, length = len(serialized), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return b"\x1a" + bytes((*length, size)) + serialized


def connection_settings(wish: desired_pb2.DesiredConnection, capabilities: int, telemetry_token: str) -> bytes:
    """The part that offers the settings which an agent of these capabilities takes; empty when it takes none.

    Real supervisors make a new connection of whatever else is in `opamp`, without TLS verification when there is no
    certificate, and switch heartbeats off when there is no interval. So `opamp` carries the interval and nothing else,
    or is not there. They take a missing signal for switched off: all three go together.
    """
    offers = opamp_pb2.ConnectionSettingsOffers(hash=wish.hash)
    if wish.heartbeat_interval_seconds and capabilities & session.REPORTS_HEARTBEAT:
        offers.opamp.heartbeat_interval_seconds = wish.heartbeat_interval_seconds
    if wish.has_own_telemetry and telemetry_token and capabilities & _OWN_TELEMETRY:
        for settings, url, bit in (
            (offers.own_logs, wish.own_logs_url, session.REPORTS_OWN_LOGS),
            (offers.own_metrics, wish.own_metrics_url, session.REPORTS_OWN_METRICS),
            (offers.own_traces, wish.own_traces_url, session.REPORTS_OWN_TRACES),
        ):
            settings.SetInParent()
            if url and capabilities & bit:
                settings.destination_endpoint = url
                if settings is not offers.own_traces or not wish.own_traces_elsewhere:
                    settings.headers.headers.add(key="Authorization", value=f"Bearer {telemetry_token}")
    if len(offers.ListFields()) == 1:  # the hash
        return b""
    return opamp_pb2.ServerToAgent(connection_settings=offers).SerializeToString()


def bad_request(uid: bytes, reason: str) -> bytes:
    """The agent's message is malformed. Nothing but the error is set (ServerToAgent.error_response)."""
    error = opamp_pb2.ServerErrorResponse(
        type=opamp_pb2.ServerErrorResponseType_BadRequest, error_message=reason[:_MAX_ERROR]
    )
    return opamp_pb2.ServerToAgent(instance_uid=uid, error_response=error).SerializeToString()


def failure(uid: bytes) -> bytes:
    """The server stumbled over the message in a way that it does not know."""
    error = opamp_pb2.ServerErrorResponse(
        type=opamp_pb2.ServerErrorResponseType_Unknown, error_message="internal error"
    )
    return opamp_pb2.ServerToAgent(instance_uid=uid, error_response=error).SerializeToString()


def unavailable(uid: bytes, retry_after: float, reason: str) -> bytes:
    """The message could not be stored; come again after so many seconds."""
    error = opamp_pb2.ServerErrorResponse(
        type=opamp_pb2.ServerErrorResponseType_Unavailable,
        error_message=reason,
        retry_info=opamp_pb2.RetryInfo(retry_after_nanoseconds=int(retry_after * _NANOSECONDS)),
    )
    return opamp_pb2.ServerToAgent(instance_uid=uid, error_response=error).SerializeToString()
