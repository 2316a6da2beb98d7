from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Signal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNAL_UNSPECIFIED: _ClassVar[Signal]
    SIGNAL_LOGS: _ClassVar[Signal]
    SIGNAL_METRICS: _ClassVar[Signal]
    SIGNAL_TRACES: _ClassVar[Signal]
SIGNAL_UNSPECIFIED: Signal
SIGNAL_LOGS: Signal
SIGNAL_METRICS: Signal
SIGNAL_TRACES: Signal

class TelemetryBatch(_message.Message):
    __slots__ = ("shard", "gateway", "entries")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    shard: int
    gateway: str
    entries: _containers.RepeatedCompositeFieldContainer[TelemetryEntry]
    def __init__(self, shard: _Optional[int] = ..., gateway: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[TelemetryEntry, _Mapping]]] = ...) -> None: ...

class TelemetryEntry(_message.Message):
    __slots__ = ("instance_uid", "signal", "received_at_unix_nano", "export_request")
    INSTANCE_UID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    EXPORT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    instance_uid: bytes
    signal: Signal
    received_at_unix_nano: int
    export_request: bytes
    def __init__(self, instance_uid: _Optional[bytes] = ..., signal: _Optional[_Union[Signal, str]] = ..., received_at_unix_nano: _Optional[int] = ..., export_request: _Optional[bytes] = ...) -> None: ...
