import datetime

from flowgate.config.v1 import events_pb2 as _events_pb2
from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delivery(_message.Message):
    __slots__ = ("delivery_id", "instance_id", "config_hash", "state", "error", "created_at", "updated_at", "created_by")
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    delivery_id: str
    instance_id: str
    config_hash: str
    state: _events_pb2.DeliveryState
    error: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    created_by: str
    def __init__(self, delivery_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., config_hash: _Optional[str] = ..., state: _Optional[_Union[_events_pb2.DeliveryState, str]] = ..., error: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ...) -> None: ...

class AssignConfigRequest(_message.Message):
    __slots__ = ("instance_id", "gateway_id", "config", "actor", "expected_hash")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_HASH_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    gateway_id: str
    config: str
    actor: str
    expected_hash: str
    def __init__(self, instance_id: _Optional[str] = ..., gateway_id: _Optional[str] = ..., config: _Optional[str] = ..., actor: _Optional[str] = ..., expected_hash: _Optional[str] = ...) -> None: ...

class AssignConfigResponse(_message.Message):
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class KeepConfigRequest(_message.Message):
    __slots__ = ("config", "actor", "check_only")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CHECK_ONLY_FIELD_NUMBER: _ClassVar[int]
    config: str
    actor: str
    check_only: bool
    def __init__(self, config: _Optional[str] = ..., actor: _Optional[str] = ..., check_only: _Optional[bool] = ...) -> None: ...

class KeepConfigResponse(_message.Message):
    __slots__ = ("config_hash",)
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    config_hash: str
    def __init__(self, config_hash: _Optional[str] = ...) -> None: ...

class GetAgentConfigRequest(_message.Message):
    __slots__ = ("instance_id",)
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    def __init__(self, instance_id: _Optional[str] = ...) -> None: ...

class ConfigFile(_message.Message):
    __slots__ = ("name", "body", "content_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    body: bytes
    content_type: str
    def __init__(self, name: _Optional[str] = ..., body: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class GetAgentConfigResponse(_message.Message):
    __slots__ = ("effective", "effective_hash", "effective_at", "assigned_hash", "assigned_config", "delivery", "reported_hash", "reported_status", "reported_error")
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_HASH_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_HASH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_CONFIG_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    REPORTED_HASH_FIELD_NUMBER: _ClassVar[int]
    REPORTED_STATUS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_ERROR_FIELD_NUMBER: _ClassVar[int]
    effective: _containers.RepeatedCompositeFieldContainer[ConfigFile]
    effective_hash: str
    effective_at: _timestamp_pb2.Timestamp
    assigned_hash: str
    assigned_config: str
    delivery: Delivery
    reported_hash: str
    reported_status: str
    reported_error: str
    def __init__(self, effective: _Optional[_Iterable[_Union[ConfigFile, _Mapping]]] = ..., effective_hash: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assigned_hash: _Optional[str] = ..., assigned_config: _Optional[str] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., reported_hash: _Optional[str] = ..., reported_status: _Optional[str] = ..., reported_error: _Optional[str] = ...) -> None: ...

class ListDeliveriesRequest(_message.Message):
    __slots__ = ("instance_ids", "history_of", "limit")
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_OF_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    history_of: str
    limit: int
    def __init__(self, instance_ids: _Optional[_Iterable[str]] = ..., history_of: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class GetDeliveryRequest(_message.Message):
    __slots__ = ("delivery_id",)
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    delivery_id: str
    def __init__(self, delivery_id: _Optional[str] = ...) -> None: ...

class GetDeliveryResponse(_message.Message):
    __slots__ = ("delivery", "config")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    config: str
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ..., config: _Optional[str] = ...) -> None: ...
