from flowgate.options.v1 import options_pb2 as _options_pb2
from flowgate.uplink.v1 import uplink_pb2 as _uplink_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeadLetter(_message.Message):
    __slots__ = ("service", "stream", "stream_sequence", "error", "entry", "event", "event_subject")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STREAM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    service: str
    stream: str
    stream_sequence: int
    error: str
    entry: _uplink_pb2.UplinkEntry
    event: bytes
    event_subject: str
    def __init__(self, service: _Optional[str] = ..., stream: _Optional[str] = ..., stream_sequence: _Optional[int] = ..., error: _Optional[str] = ..., entry: _Optional[_Union[_uplink_pb2.UplinkEntry, _Mapping]] = ..., event: _Optional[bytes] = ..., event_subject: _Optional[str] = ...) -> None: ...
