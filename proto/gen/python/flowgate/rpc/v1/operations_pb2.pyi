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

class OperationTarget(_message.Message):
    __slots__ = ("instance_id", "gateway_id", "name", "state", "reason", "updated_at", "capabilities", "is_online")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    IS_ONLINE_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    gateway_id: str
    name: str
    state: _events_pb2.TargetState
    reason: str
    updated_at: _timestamp_pb2.Timestamp
    capabilities: int
    is_online: bool
    def __init__(self, instance_id: _Optional[str] = ..., gateway_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[_events_pb2.TargetState, str]] = ..., reason: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., capabilities: _Optional[int] = ..., is_online: _Optional[bool] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("operation_id", "action", "state", "config_hash", "max_unavailable", "stop_on_failure", "created_at", "created_by", "updated_at", "waiting", "running", "succeeded", "failed", "skipped", "targets")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    MAX_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    STOP_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    action: str
    state: _events_pb2.OperationState
    config_hash: str
    max_unavailable: int
    stop_on_failure: bool
    created_at: _timestamp_pb2.Timestamp
    created_by: str
    updated_at: _timestamp_pb2.Timestamp
    waiting: int
    running: int
    succeeded: int
    failed: int
    skipped: int
    targets: _containers.RepeatedCompositeFieldContainer[OperationTarget]
    def __init__(self, operation_id: _Optional[str] = ..., action: _Optional[str] = ..., state: _Optional[_Union[_events_pb2.OperationState, str]] = ..., config_hash: _Optional[str] = ..., max_unavailable: _Optional[int] = ..., stop_on_failure: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[int] = ..., running: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[OperationTarget, _Mapping]]] = ...) -> None: ...

class CreateOperationRequest(_message.Message):
    __slots__ = ("action", "targets", "config_hash", "max_unavailable", "stop_on_failure", "dry_run", "actor")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    MAX_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    STOP_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    action: str
    targets: _containers.RepeatedCompositeFieldContainer[OperationTarget]
    config_hash: str
    max_unavailable: int
    stop_on_failure: bool
    dry_run: bool
    actor: str
    def __init__(self, action: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[OperationTarget, _Mapping]]] = ..., config_hash: _Optional[str] = ..., max_unavailable: _Optional[int] = ..., stop_on_failure: _Optional[bool] = ..., dry_run: _Optional[bool] = ..., actor: _Optional[str] = ...) -> None: ...

class CreateOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("operation_id", "without_targets")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_TARGETS_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    without_targets: bool
    def __init__(self, operation_id: _Optional[str] = ..., without_targets: _Optional[bool] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class ListOperationTargetsRequest(_message.Message):
    __slots__ = ("operation_id", "states", "q", "limit", "cursor")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    states: _containers.RepeatedScalarFieldContainer[_events_pb2.TargetState]
    q: str
    limit: int
    cursor: str
    def __init__(self, operation_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_events_pb2.TargetState, str]]] = ..., q: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListOperationTargetsResponse(_message.Message):
    __slots__ = ("targets", "next_cursor", "total")
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[OperationTarget]
    next_cursor: str
    total: int
    def __init__(self, targets: _Optional[_Iterable[_Union[OperationTarget, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class ListOperationsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListOperationsResponse(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ("operation_id", "actor")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    actor: str
    def __init__(self, operation_id: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class CancelOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...
