import datetime

from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATE_UNSPECIFIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_PENDING: _ClassVar[DeliveryState]
    DELIVERY_STATE_OFFERED: _ClassVar[DeliveryState]
    DELIVERY_STATE_APPLYING: _ClassVar[DeliveryState]
    DELIVERY_STATE_APPLIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_FAILED: _ClassVar[DeliveryState]
    DELIVERY_STATE_SUPERSEDED: _ClassVar[DeliveryState]
DELIVERY_STATE_UNSPECIFIED: DeliveryState
DELIVERY_STATE_PENDING: DeliveryState
DELIVERY_STATE_OFFERED: DeliveryState
DELIVERY_STATE_APPLYING: DeliveryState
DELIVERY_STATE_APPLIED: DeliveryState
DELIVERY_STATE_FAILED: DeliveryState
DELIVERY_STATE_SUPERSEDED: DeliveryState

class DeliveryStateChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "delivery_id", "config_hash", "state", "previous_state", "error")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    delivery_id: str
    config_hash: str
    state: DeliveryState
    previous_state: DeliveryState
    error: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivery_id: _Optional[str] = ..., config_hash: _Optional[str] = ..., state: _Optional[_Union[DeliveryState, str]] = ..., previous_state: _Optional[_Union[DeliveryState, str]] = ..., error: _Optional[str] = ...) -> None: ...

class EffectiveConfigChanged(_message.Message):
    __slots__ = ("instance_uid", "gateway_id", "occurred_at", "effective_hash")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_HASH_FIELD_NUMBER: _ClassVar[int]
    instance_uid: str
    gateway_id: str
    occurred_at: _timestamp_pb2.Timestamp
    effective_hash: str
    def __init__(self, instance_uid: _Optional[str] = ..., gateway_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., effective_hash: _Optional[str] = ...) -> None: ...
