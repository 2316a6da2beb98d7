from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_KIND_UNSPECIFIED: _ClassVar[EntryKind]
    ENTRY_KIND_REPORT: _ClassVar[EntryKind]
    ENTRY_KIND_DISCONNECTED: _ClassVar[EntryKind]
    ENTRY_KIND_DELIVERED: _ClassVar[EntryKind]

class Transport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSPORT_UNSPECIFIED: _ClassVar[Transport]
    TRANSPORT_WEBSOCKET: _ClassVar[Transport]
    TRANSPORT_HTTP: _ClassVar[Transport]

class DisconnectReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISCONNECT_REASON_UNSPECIFIED: _ClassVar[DisconnectReason]
    DISCONNECT_REASON_AGENT: _ClassVar[DisconnectReason]
    DISCONNECT_REASON_CLOSED: _ClassVar[DisconnectReason]
    DISCONNECT_REASON_TIMEOUT: _ClassVar[DisconnectReason]
    DISCONNECT_REASON_DRAIN: _ClassVar[DisconnectReason]
ENTRY_KIND_UNSPECIFIED: EntryKind
ENTRY_KIND_REPORT: EntryKind
ENTRY_KIND_DISCONNECTED: EntryKind
ENTRY_KIND_DELIVERED: EntryKind
TRANSPORT_UNSPECIFIED: Transport
TRANSPORT_WEBSOCKET: Transport
TRANSPORT_HTTP: Transport
DISCONNECT_REASON_UNSPECIFIED: DisconnectReason
DISCONNECT_REASON_AGENT: DisconnectReason
DISCONNECT_REASON_CLOSED: DisconnectReason
DISCONNECT_REASON_TIMEOUT: DisconnectReason
DISCONNECT_REASON_DRAIN: DisconnectReason

class UplinkBatch(_message.Message):
    __slots__ = ("shard", "gateway", "entries")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    shard: int
    gateway: str
    entries: _containers.RepeatedCompositeFieldContainer[UplinkEntry]
    def __init__(self, shard: _Optional[int] = ..., gateway: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[UplinkEntry, _Mapping]]] = ...) -> None: ...

class UplinkEntry(_message.Message):
    __slots__ = ("kind", "instance_uid", "connection_id", "connected_at_unix_nano", "received_at_unix_nano", "fields", "agent_to_server", "body_object", "transport", "remote_address", "reason", "delivered", "previous_instance_uid", "credential_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_TO_SERVER_FIELD_NUMBER: _ClassVar[int]
    BODY_OBJECT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    kind: EntryKind
    instance_uid: bytes
    connection_id: bytes
    connected_at_unix_nano: int
    received_at_unix_nano: int
    fields: int
    agent_to_server: bytes
    body_object: str
    transport: Transport
    remote_address: str
    reason: DisconnectReason
    delivered: Delivered
    previous_instance_uid: bytes
    credential_id: str
    def __init__(self, kind: _Optional[_Union[EntryKind, str]] = ..., instance_uid: _Optional[bytes] = ..., connection_id: _Optional[bytes] = ..., connected_at_unix_nano: _Optional[int] = ..., received_at_unix_nano: _Optional[int] = ..., fields: _Optional[int] = ..., agent_to_server: _Optional[bytes] = ..., body_object: _Optional[str] = ..., transport: _Optional[_Union[Transport, str]] = ..., remote_address: _Optional[str] = ..., reason: _Optional[_Union[DisconnectReason, str]] = ..., delivered: _Optional[_Union[Delivered, _Mapping]] = ..., previous_instance_uid: _Optional[bytes] = ..., credential_id: _Optional[str] = ...) -> None: ...

class Delivered(_message.Message):
    __slots__ = ("facet", "hash", "id", "error", "traceparent", "heartbeat_interval_seconds")
    FACET_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    facet: str
    hash: bytes
    id: str
    error: str
    traceparent: str
    heartbeat_interval_seconds: int
    def __init__(self, facet: _Optional[str] = ..., hash: _Optional[bytes] = ..., id: _Optional[str] = ..., error: _Optional[str] = ..., traceparent: _Optional[str] = ..., heartbeat_interval_seconds: _Optional[int] = ...) -> None: ...
