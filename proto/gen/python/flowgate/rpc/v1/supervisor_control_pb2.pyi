import datetime

from flowgate.options.v1 import options_pb2 as _options_pb2
from flowgate.supervisor.v1 import events_pb2 as _events_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Supervisor(_message.Message):
    __slots__ = ("instance_id", "collector_state", "collector_started_at", "collector_starts", "last_error", "last_error_at", "capabilities", "agent_description", "command", "updated_at", "supervisor_started_at", "is_connected", "disconnect_reason", "recent_starts", "recent_crashes", "is_crash_looping", "crash_window_seconds", "connection_settings", "supervisor_starts", "supervisor_last_error", "supervisor_last_error_at")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STATE_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_AT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    AGENT_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    IS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_REASON_FIELD_NUMBER: _ClassVar[int]
    RECENT_STARTS_FIELD_NUMBER: _ClassVar[int]
    RECENT_CRASHES_FIELD_NUMBER: _ClassVar[int]
    IS_CRASH_LOOPING_FIELD_NUMBER: _ClassVar[int]
    CRASH_WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_STARTS_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_LAST_ERROR_AT_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    collector_state: str
    collector_started_at: _timestamp_pb2.Timestamp
    collector_starts: int
    last_error: str
    last_error_at: _timestamp_pb2.Timestamp
    capabilities: int
    agent_description: bytes
    command: Command
    updated_at: _timestamp_pb2.Timestamp
    supervisor_started_at: _timestamp_pb2.Timestamp
    is_connected: bool
    disconnect_reason: str
    recent_starts: int
    recent_crashes: int
    is_crash_looping: bool
    crash_window_seconds: int
    connection_settings: ConnectionState
    supervisor_starts: int
    supervisor_last_error: str
    supervisor_last_error_at: _timestamp_pb2.Timestamp
    def __init__(self, instance_id: _Optional[str] = ..., collector_state: _Optional[str] = ..., collector_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collector_starts: _Optional[int] = ..., last_error: _Optional[str] = ..., last_error_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., capabilities: _Optional[int] = ..., agent_description: _Optional[bytes] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., supervisor_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_connected: _Optional[bool] = ..., disconnect_reason: _Optional[str] = ..., recent_starts: _Optional[int] = ..., recent_crashes: _Optional[int] = ..., is_crash_looping: _Optional[bool] = ..., crash_window_seconds: _Optional[int] = ..., connection_settings: _Optional[_Union[ConnectionState, _Mapping]] = ..., supervisor_starts: _Optional[int] = ..., supervisor_last_error: _Optional[str] = ..., supervisor_last_error_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ConnectionState(_message.Message):
    __slots__ = ("state", "own_logs", "own_metrics", "own_traces", "heartbeat_interval_seconds", "last_received_at", "offered_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OWN_LOGS_FIELD_NUMBER: _ClassVar[int]
    OWN_METRICS_FIELD_NUMBER: _ClassVar[int]
    OWN_TRACES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    OFFERED_AT_FIELD_NUMBER: _ClassVar[int]
    state: str
    own_logs: bool
    own_metrics: bool
    own_traces: bool
    heartbeat_interval_seconds: int
    last_received_at: _timestamp_pb2.Timestamp
    offered_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[str] = ..., own_logs: _Optional[bool] = ..., own_metrics: _Optional[bool] = ..., own_traces: _Optional[bool] = ..., heartbeat_interval_seconds: _Optional[int] = ..., last_received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("command_id", "instance_id", "type", "state", "error", "created_at", "updated_at", "expires_at")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    instance_id: str
    type: str
    state: _events_pb2.CommandState
    error: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, command_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[_events_pb2.CommandState, str]] = ..., error: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSupervisorRequest(_message.Message):
    __slots__ = ("instance_id",)
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    def __init__(self, instance_id: _Optional[str] = ...) -> None: ...

class GetSupervisorResponse(_message.Message):
    __slots__ = ("supervisor",)
    SUPERVISOR_FIELD_NUMBER: _ClassVar[int]
    supervisor: Supervisor
    def __init__(self, supervisor: _Optional[_Union[Supervisor, _Mapping]] = ...) -> None: ...

class ListSupervisorsRequest(_message.Message):
    __slots__ = ("instance_ids",)
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSupervisorsResponse(_message.Message):
    __slots__ = ("supervisors",)
    SUPERVISORS_FIELD_NUMBER: _ClassVar[int]
    supervisors: _containers.RepeatedCompositeFieldContainer[Supervisor]
    def __init__(self, supervisors: _Optional[_Iterable[_Union[Supervisor, _Mapping]]] = ...) -> None: ...

class GetSupervisorSummaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSupervisorSummaryResponse(_message.Message):
    __slots__ = ("by_collector_state", "crash_looping")
    class ByCollectorStateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BY_COLLECTOR_STATE_FIELD_NUMBER: _ClassVar[int]
    CRASH_LOOPING_FIELD_NUMBER: _ClassVar[int]
    by_collector_state: _containers.ScalarMap[str, int]
    crash_looping: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, by_collector_state: _Optional[_Mapping[str, int]] = ..., crash_looping: _Optional[_Iterable[str]] = ...) -> None: ...

class RequestRestartRequest(_message.Message):
    __slots__ = ("instance_id", "gateway_id", "actor")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    gateway_id: str
    actor: str
    def __init__(self, instance_id: _Optional[str] = ..., gateway_id: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class RequestRestartResponse(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: Command
    def __init__(self, command: _Optional[_Union[Command, _Mapping]] = ...) -> None: ...

class GetCommandRequest(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class GetCommandResponse(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: Command
    def __init__(self, command: _Optional[_Union[Command, _Mapping]] = ...) -> None: ...
