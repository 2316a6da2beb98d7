import datetime

from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ManagementMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MANAGEMENT_MODE_UNSPECIFIED: _ClassVar[ManagementMode]
    MANAGEMENT_MODE_EXTENSION: _ClassVar[ManagementMode]
    MANAGEMENT_MODE_SUPERVISOR: _ClassVar[ManagementMode]
MANAGEMENT_MODE_UNSPECIFIED: ManagementMode
MANAGEMENT_MODE_EXTENSION: ManagementMode
MANAGEMENT_MODE_SUPERVISOR: ManagementMode

class AgentRegistered(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "name", "management_mode", "labels", "enrollment_token_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ENROLLMENT_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    name: str
    management_mode: ManagementMode
    labels: _containers.ScalarMap[str, str]
    enrollment_token_id: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., management_mode: _Optional[_Union[ManagementMode, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., enrollment_token_id: _Optional[str] = ...) -> None: ...

class AgentConnected(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "transport", "ingress")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    INGRESS_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    transport: str
    ingress: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., transport: _Optional[str] = ..., ingress: _Optional[str] = ...) -> None: ...

class AgentDisconnected(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "reason")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class AgentHealthChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "healthy", "status", "last_error")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    healthy: bool
    status: str
    last_error: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., healthy: _Optional[bool] = ..., status: _Optional[str] = ..., last_error: _Optional[str] = ...) -> None: ...

class AgentDescriptionChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "changed", "removed")
    class ChangedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    changed: _containers.ScalarMap[str, str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed: _Optional[_Mapping[str, str]] = ..., removed: _Optional[_Iterable[str]] = ...) -> None: ...

class AgentCapabilitiesChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "capabilities", "previous_capabilities", "management_mode", "previous_management_mode")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_MANAGEMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    capabilities: int
    previous_capabilities: int
    management_mode: ManagementMode
    previous_management_mode: ManagementMode
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., capabilities: _Optional[int] = ..., previous_capabilities: _Optional[int] = ..., management_mode: _Optional[_Union[ManagementMode, str]] = ..., previous_management_mode: _Optional[_Union[ManagementMode, str]] = ...) -> None: ...

class AgentReidentified(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "previous_instance_uid")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    previous_instance_uid: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous_instance_uid: _Optional[str] = ...) -> None: ...

class GatewayUpdated(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "name", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    name: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GatewayRemoved(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "reason")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...
