"""Subjects, streams and rpc methods, derived from the options in proto/; no subject is typed a second time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from flowgate.agent.v1 import events_pb2 as agent_events
from flowgate.config.v1 import events_pb2 as config_events
from flowgate.options.v1 import options_pb2
from flowgate.rpc.v1 import (
    agent_registry_pb2,
    config_push_pb2,
    enrollment_pb2,
    operations_pb2,
    policies_pb2,
    supervisor_control_pb2,
    telemetry_pb2,
)
from flowgate.session.v1 import session_pb2
from flowgate.supervisor.v1 import events_pb2 as supervisor_events
from flowgate.uplink.v1 import dead_letters_pb2, desired_pb2, uplink_pb2
from flowgate.uplink.v1 import telemetry_pb2 as uplink_telemetry_pb2

AGENT_DESIRED = "agent_desired"  # KV bucket, key <uid>.<facet>
AGENT_SESSIONS = "agent_sessions"  # KV bucket, key <uid>
AGENT_SESSIONS_TTL = 900.0  # s; an agent that stays away longer reports its full state again
KV_REMOVED = {"KV-Operation": "DEL", "Nats-TTL": "1h"}
"""Headers of the end of an entry. The marker goes as well after a while, or there would be one for every agent that
ever was; readers that were away longer read the bucket anew."""
BODIES = "bodies"  # object store: configurations on offer, by hash
BODIES_TTL = 7 * 86400.0  # s; what is still on offer then is put again
UPLINK_BODIES = "uplink_bodies"  # object store: reports too large for a message
UPLINK_BODIES_TTL = 7 * 86400.0  # s
UPLINK = "UPLINK"
TELEMETRY = "TELEMETRY"
AGENT_CREDENTIALS = "agent_credentials"  # KV bucket, key token_id

# The generated stubs type extensions without their owner, so they are named here once as what they are.
_STREAM = cast(Any, options_pb2.stream)
_SUBJECT = cast(Any, options_pb2.subject)
_RPC_SUBJECT = cast(Any, options_pb2.rpc)

_EVENTS: tuple[ModuleType, ...] = (agent_events, config_events, supervisor_events)
_MESSAGES: tuple[ModuleType, ...] = (
    *(*_EVENTS, uplink_pb2, uplink_telemetry_pb2, desired_pb2, dead_letters_pb2, session_pb2),
)
_RPC: tuple[ModuleType, ...] = (
    agent_registry_pb2,
    enrollment_pb2,
    config_push_pb2,
    supervisor_control_pb2,
    telemetry_pb2,
    policies_pb2,
    operations_pb2,
)


@dataclass(frozen=True)
class RpcMethod:
    """One question or order: its owner, its subject and the types of question and answer."""

    service: str
    name: str
    subject: str
    request: type[Message]
    response: type[Message]

    @property
    def is_question(self) -> bool:
        """Whether it changes nothing, which its name tells: get-… and list-…."""
        return self.name.startswith(("get-", "list-"))


def streams() -> dict[str, options_pb2.Stream]:
    """Every stream by its name, as declared by the files in proto/."""
    found = (module.DESCRIPTOR.GetOptions().Extensions[_STREAM] for module in _MESSAGES)
    return {stream.name: stream for stream in found if stream.name}


@cache
def subject_template(kind: Descriptor) -> str:
    """Subject of a message type, with {field} for each part that a field gives.

    Raises:
        LookupError: proto/ declares no subject for it.
    """
    template = str(kind.GetOptions().Extensions[_SUBJECT])
    if not template:
        raise LookupError(f"proto/ declares no subject for {kind.full_name}")
    return template


def subject_of(message: Message) -> str:
    """Subject on which this message travels."""
    template = subject_template(message.DESCRIPTOR)
    return re.sub(r"\{(\w+)\}", lambda field: str(getattr(message, field[1])), template)


def filter_of(kind: type[Message]) -> str:
    """Subject filter that takes every message of this type."""
    return re.sub(r"\{\w+\}", "*", subject_template(kind.DESCRIPTOR))


def stream_of(kind: type[Message]) -> str:
    """Name of the stream that stores messages of this type."""
    return str(kind.DESCRIPTOR.file.GetOptions().Extensions[_STREAM].name)


def _types(module: ModuleType) -> Iterator[type[Message]]:
    for descriptor in module.DESCRIPTOR.message_types_by_name.values():
        if descriptor.GetOptions().Extensions[_SUBJECT]:
            yield message_factory.GetMessageClass(descriptor)


@cache
def event_types() -> dict[str, type[Message]]:
    """Event types by name, such as `agent.health-changed`."""
    return {event_name(kind): kind for module in _EVENTS for kind in _types(module)}


def event_name(kind: type[Message]) -> str:
    """Name of an event type: its domain and its fact, such as `agent.health-changed`."""
    _, _, domain, _, fact, *_ = subject_template(kind.DESCRIPTOR).split(".")
    return f"{domain}.{fact}"


def decode_event(subject: str, payload: bytes) -> Message:
    """The fact that was published on this subject.

    Raises:
        LookupError: no event type has such a subject.
        google.protobuf.message.DecodeError: the payload is damaged.
    """
    parts = subject.split(".")
    kind = event_types().get(f"{parts[2]}.{parts[4]}") if len(parts) > 5 and parts[:2] == ["flowgate", "evt"] else None
    if kind is None:
        raise LookupError(f"no event has the subject {subject}")
    return kind.FromString(payload)


@cache
def rpc_methods() -> dict[type[Message], RpcMethod]:
    """Every rpc method by the type of its question; a type asks one method only."""
    methods: dict[type[Message], RpcMethod] = {}
    for module in _RPC:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                subject = str(method.GetOptions().Extensions[_RPC_SUBJECT])
                request = message_factory.GetMessageClass(method.input_type)
                response = message_factory.GetMessageClass(method.output_type)
                owner = subject.split(".")[2]
                methods[request] = RpcMethod(owner, subject.split(".")[-1], subject, request, response)
    return methods
