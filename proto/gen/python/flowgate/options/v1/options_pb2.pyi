from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Retention(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETENTION_UNSPECIFIED: _ClassVar[Retention]
    RETENTION_LIMITS: _ClassVar[Retention]
    RETENTION_INTEREST: _ClassVar[Retention]
RETENTION_UNSPECIFIED: Retention
RETENTION_LIMITS: Retention
RETENTION_INTEREST: Retention
STREAM_FIELD_NUMBER: _ClassVar[int]
stream: _descriptor.FieldDescriptor
SUBJECT_FIELD_NUMBER: _ClassVar[int]
subject: _descriptor.FieldDescriptor
RPC_FIELD_NUMBER: _ClassVar[int]
rpc: _descriptor.FieldDescriptor

class Stream(_message.Message):
    __slots__ = ("name", "subjects", "retention", "max_age_seconds", "max_bytes", "duplicate_window_seconds", "readers", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    subjects: _containers.RepeatedScalarFieldContainer[str]
    retention: Retention
    max_age_seconds: int
    max_bytes: int
    duplicate_window_seconds: int
    readers: _containers.RepeatedScalarFieldContainer[str]
    description: str
    def __init__(self, name: _Optional[str] = ..., subjects: _Optional[_Iterable[str]] = ..., retention: _Optional[_Union[Retention, str]] = ..., max_age_seconds: _Optional[int] = ..., max_bytes: _Optional[int] = ..., duplicate_window_seconds: _Optional[int] = ..., readers: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ...) -> None: ...
