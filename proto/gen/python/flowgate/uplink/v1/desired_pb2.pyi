from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DesiredState(_message.Message):
    __slots__ = ("id", "expires_at_unix_nano", "traceparent", "config", "command", "full_state", "connection", "refusal")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    FULL_STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    expires_at_unix_nano: int
    traceparent: str
    config: DesiredConfig
    command: DesiredCommand
    full_state: DesiredFullState
    connection: DesiredConnection
    refusal: DesiredRefusal
    def __init__(self, id: _Optional[str] = ..., expires_at_unix_nano: _Optional[int] = ..., traceparent: _Optional[str] = ..., config: _Optional[_Union[DesiredConfig, _Mapping]] = ..., command: _Optional[_Union[DesiredCommand, _Mapping]] = ..., full_state: _Optional[_Union[DesiredFullState, _Mapping]] = ..., connection: _Optional[_Union[DesiredConnection, _Mapping]] = ..., refusal: _Optional[_Union[DesiredRefusal, _Mapping]] = ...) -> None: ...

class DesiredConnection(_message.Message):
    __slots__ = ("hash", "own_logs_url", "own_metrics_url", "own_traces_url", "has_own_telemetry", "heartbeat_interval_seconds", "own_traces_elsewhere")
    HASH_FIELD_NUMBER: _ClassVar[int]
    OWN_LOGS_URL_FIELD_NUMBER: _ClassVar[int]
    OWN_METRICS_URL_FIELD_NUMBER: _ClassVar[int]
    OWN_TRACES_URL_FIELD_NUMBER: _ClassVar[int]
    HAS_OWN_TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OWN_TRACES_ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    own_logs_url: str
    own_metrics_url: str
    own_traces_url: str
    has_own_telemetry: bool
    heartbeat_interval_seconds: int
    own_traces_elsewhere: bool
    def __init__(self, hash: _Optional[bytes] = ..., own_logs_url: _Optional[str] = ..., own_metrics_url: _Optional[str] = ..., own_traces_url: _Optional[str] = ..., has_own_telemetry: _Optional[bool] = ..., heartbeat_interval_seconds: _Optional[int] = ..., own_traces_elsewhere: _Optional[bool] = ...) -> None: ...

class DesiredRefusal(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("sha256", "expires_at_unix_nano")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    expires_at_unix_nano: int
    def __init__(self, sha256: _Optional[bytes] = ..., expires_at_unix_nano: _Optional[int] = ...) -> None: ...

class DesiredFullState(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DesiredConfig(_message.Message):
    __slots__ = ("config_hash", "body_object")
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    BODY_OBJECT_FIELD_NUMBER: _ClassVar[int]
    config_hash: bytes
    body_object: str
    def __init__(self, config_hash: _Optional[bytes] = ..., body_object: _Optional[str] = ...) -> None: ...

class DesiredCommand(_message.Message):
    __slots__ = ("type",)
    TYPE_FIELD_NUMBER: _ClassVar[int]
    type: int
    def __init__(self, type: _Optional[int] = ...) -> None: ...

class SessionState(_message.Message):
    __slots__ = ("sequence_num", "capabilities", "remote_config_hash", "known_fields", "saved_at_unix_nano", "offered_config_hash", "offered_connection_hash", "heartbeat_interval_seconds", "is_pending")
    SEQUENCE_NUM_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    REMOTE_CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELDS_FIELD_NUMBER: _ClassVar[int]
    SAVED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    OFFERED_CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    OFFERED_CONNECTION_HASH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IS_PENDING_FIELD_NUMBER: _ClassVar[int]
    sequence_num: int
    capabilities: int
    remote_config_hash: bytes
    known_fields: int
    saved_at_unix_nano: int
    offered_config_hash: bytes
    offered_connection_hash: bytes
    heartbeat_interval_seconds: int
    is_pending: bool
    def __init__(self, sequence_num: _Optional[int] = ..., capabilities: _Optional[int] = ..., remote_config_hash: _Optional[bytes] = ..., known_fields: _Optional[int] = ..., saved_at_unix_nano: _Optional[int] = ..., offered_config_hash: _Optional[bytes] = ..., offered_connection_hash: _Optional[bytes] = ..., heartbeat_interval_seconds: _Optional[int] = ..., is_pending: _Optional[bool] = ...) -> None: ...

class Presence(_message.Message):
    __slots__ = ("gateway", "at_unix_nano", "instance_uids")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_UIDS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    at_unix_nano: int
    instance_uids: bytes
    def __init__(self, gateway: _Optional[str] = ..., at_unix_nano: _Optional[int] = ..., instance_uids: _Optional[bytes] = ...) -> None: ...
