import datetime

from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATE_UNSPECIFIED: _ClassVar[CommandState]
    COMMAND_STATE_PENDING: _ClassVar[CommandState]
    COMMAND_STATE_DELIVERED: _ClassVar[CommandState]
    COMMAND_STATE_COMPLETED: _ClassVar[CommandState]
    COMMAND_STATE_FAILED: _ClassVar[CommandState]
    COMMAND_STATE_EXPIRED: _ClassVar[CommandState]

class TargetState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGET_STATE_UNSPECIFIED: _ClassVar[TargetState]
    TARGET_STATE_WAITING: _ClassVar[TargetState]
    TARGET_STATE_RUNNING: _ClassVar[TargetState]
    TARGET_STATE_SUCCEEDED: _ClassVar[TargetState]
    TARGET_STATE_FAILED: _ClassVar[TargetState]
    TARGET_STATE_SKIPPED: _ClassVar[TargetState]

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_STATE_UNSPECIFIED: _ClassVar[OperationState]
    OPERATION_STATE_RUNNING: _ClassVar[OperationState]
    OPERATION_STATE_SUCCEEDED: _ClassVar[OperationState]
    OPERATION_STATE_FAILED: _ClassVar[OperationState]
    OPERATION_STATE_CANCELLED: _ClassVar[OperationState]
COMMAND_STATE_UNSPECIFIED: CommandState
COMMAND_STATE_PENDING: CommandState
COMMAND_STATE_DELIVERED: CommandState
COMMAND_STATE_COMPLETED: CommandState
COMMAND_STATE_FAILED: CommandState
COMMAND_STATE_EXPIRED: CommandState
TARGET_STATE_UNSPECIFIED: TargetState
TARGET_STATE_WAITING: TargetState
TARGET_STATE_RUNNING: TargetState
TARGET_STATE_SUCCEEDED: TargetState
TARGET_STATE_FAILED: TargetState
TARGET_STATE_SKIPPED: TargetState
OPERATION_STATE_UNSPECIFIED: OperationState
OPERATION_STATE_RUNNING: OperationState
OPERATION_STATE_SUCCEEDED: OperationState
OPERATION_STATE_FAILED: OperationState
OPERATION_STATE_CANCELLED: OperationState

class CommandStateChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "command_id", "type", "state", "previous_state", "error")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    command_id: str
    type: str
    state: CommandState
    previous_state: CommandState
    error: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., command_id: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[CommandState, str]] = ..., previous_state: _Optional[_Union[CommandState, str]] = ..., error: _Optional[str] = ...) -> None: ...

class SupervisorStatusChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "collector_state", "collector_started_at", "collector_starts", "last_error", "recent_crashes", "is_crash_looping")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STATE_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_STARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    RECENT_CRASHES_FIELD_NUMBER: _ClassVar[int]
    IS_CRASH_LOOPING_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    collector_state: str
    collector_started_at: _timestamp_pb2.Timestamp
    collector_starts: int
    last_error: str
    recent_crashes: int
    is_crash_looping: bool
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collector_state: _Optional[str] = ..., collector_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collector_starts: _Optional[int] = ..., last_error: _Optional[str] = ..., recent_crashes: _Optional[int] = ..., is_crash_looping: _Optional[bool] = ...) -> None: ...

class OperationProgressed(_message.Message):
    __slots__ = ("operation_id", "occurred_at", "action", "state", "waiting", "running", "succeeded", "failed", "skipped")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    occurred_at: _timestamp_pb2.Timestamp
    action: str
    state: OperationState
    waiting: int
    running: int
    succeeded: int
    failed: int
    skipped: int
    def __init__(self, operation_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., action: _Optional[str] = ..., state: _Optional[_Union[OperationState, str]] = ..., waiting: _Optional[int] = ..., running: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...

class ConfigPushOrdered(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "operation_id", "config_hash", "actor")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    operation_id: str
    config_hash: str
    actor: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., operation_id: _Optional[str] = ..., config_hash: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ConfigPushWithdrawn(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "operation_id", "reason")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    operation_id: str
    reason: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., operation_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
