"""Configurations and their delivery: pure decisions."""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import yaml

from flowgate.config.v1 import events_pb2 as facts
from flowgate.uplink.v1 import desired_pb2
from flowkit.errors import InvalidError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.tracing import Traced
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import AgentCapabilities, RemoteConfigStatuses

ACCEPTS_REMOTE_CONFIG = AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig
REPORTS_REMOTE_CONFIG = AgentCapabilities.AgentCapabilities_ReportsRemoteConfig
CONTENT_TYPE = "text/yaml"
_NO_CRASH = re.compile(r"exit code (?:-1|0) while applying")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it
_MAX_DEPTH = 100

STATES = {
    "pending": facts.DELIVERY_STATE_PENDING,
    "offered": facts.DELIVERY_STATE_OFFERED,
    "applying": facts.DELIVERY_STATE_APPLYING,
    "applied": facts.DELIVERY_STATE_APPLIED,
    "failed": facts.DELIVERY_STATE_FAILED,
    "superseded": facts.DELIVERY_STATE_SUPERSEDED,
}
STATUSES = {
    RemoteConfigStatuses.RemoteConfigStatuses_UNSET: "unset",
    RemoteConfigStatuses.RemoteConfigStatuses_APPLIED: "applied",
    RemoteConfigStatuses.RemoteConfigStatuses_APPLYING: "applying",
    RemoteConfigStatuses.RemoteConfigStatuses_FAILED: "failed",
}
PROOFS = frozenset({"running", "crashed"})  # states of a collector that tell what its configuration is worth
DONE = frozenset({"applied", "failed", "superseded"})
NOT_TAKEN = frozenset({"pending", "offered"})


@dataclass(frozen=True)
class Delivery:
    """A configuration on its way to an agent; the columns of `deliveries` by their names."""

    delivery_id: UUID
    instance_uid: UUID
    gateway_id: UUID | None
    content_hash: bytes
    config_hash: bytes
    state: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    error: str = ""
    is_latest: bool = True
    is_automatic: bool = False
    traceparent: str = ""


def check_yaml(text: str) -> None:
    """Refuse what no collector could read: syntax, duplicate keys, no mapping at the top, nests too deep.

    Takes about a second for each megabyte of text.

    Raises:
        InvalidError: with `errors`, each with message, line and column, from 1.
    """
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "it is no YAML")
        raise _invalid(problem, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(f"it cannot be read: {str(error).splitlines()[0]}", 1, 1) from error
    if root is None or root.tag == "tag:yaml.org,2002:null":
        raise _invalid("it is empty; an empty configuration would stop the collector", 1, 1)
    if not isinstance(root, yaml.MappingNode):
        kind = "list" if isinstance(root, yaml.SequenceNode) else "single value"
        raise _invalid(f"its top level is a {kind}, a collector wants a mapping", *_place(root.start_mark))
    _check_keys(root)


def _check_depth(text: str) -> None:
    """Before anything recursive sees it."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _invalid(f"it nests deeper than {_MAX_DEPTH} levels", *_place(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_keys(root: yaml.Node) -> None:
    seen: set[int] = set()  # nodes that an alias names occur more than once
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise _invalid(f"the key {key.value!r} is there twice", *_place(key.start_mark))
                    keys.add(key.value)
                waiting += (key, value)


def _place(mark: Any) -> tuple[int, int]:
    """Line and column from 1 of a mark, of libyaml's or of Python's."""
    return mark.line + 1, mark.column + 1


def _invalid(problem: str, line: int, column: int) -> InvalidError:
    return InvalidError(
        f"the configuration does not parse: line {line}, column {column}: {problem}",
        errors=[{"message": problem, "line": line, "column": column}],
    )


def config_map(body: str) -> opamp_pb2.AgentConfigMap:
    """A configuration as OpAMP carries it: one object with the empty name."""
    files = opamp_pb2.AgentConfigMap()
    files.config_map[""].CopyFrom(opamp_pb2.AgentConfigObject(body=body.encode(), content_type=CONTENT_TYPE))
    return files


def hash_of(files: opamp_pb2.AgentConfigMap, salt: bytes = b"") -> bytes:
    """Hash over a configuration: names sorted, each part with its length before it, so that moving a byte from one
    part to the next changes the hash (conformance item 85).

    Args:
        files: the configuration.
        salt: another hash for the same content, to have it applied again (item 89).
    """
    digest = hashlib.sha256(salt)
    for name in sorted(files.config_map):
        one = files.config_map[name]
        for part in (name.encode(), one.body, one.content_type.encode(), one.role.encode()):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.digest()


def body_object(config_hash: bytes) -> str:
    """Name in the object store of the offer with this hash."""
    return f"config-{config_hash.hex()}"


def is_assigned(delivery: Delivery | None, config_hash: str) -> bool:
    """Whether this (hex, empty: none) names the configuration of an agent's latest delivery; a salt is no other one."""
    if delivery is None:
        return not config_hash
    return config_hash in (delivery.config_hash.hex(), delivery.content_hash.hex())


def begin(delivery: Delivery, previous_state: str = "") -> list[Effect]:
    """A delivery that begins, again perhaps: the wish for the agent and the fact for the others."""
    return [wish(delivery), fact_of(delivery, previous_state)]


def wish(delivery: Delivery) -> Desired:
    """That the agent has the configuration of a delivery."""
    state = desired_pb2.DesiredState(
        id=str(delivery.delivery_id),
        traceparent=delivery.traceparent,
        config=desired_pb2.DesiredConfig(
            config_hash=delivery.config_hash, body_object=body_object(delivery.config_hash)
        ),
    )
    return Desired(str(delivery.instance_uid), "config", state)


def fact_of(delivery: Delivery, previous_state: str) -> facts.DeliveryStateChanged:
    """The fact that a delivery is in its state now."""
    return facts.DeliveryStateChanged(
        instance_uid=str(delivery.instance_uid),
        gateway_id=str(delivery.gateway_id or ""),
        occurred_at=timestamp(delivery.updated_at),
        delivery_id=str(delivery.delivery_id),
        config_hash=delivery.config_hash.hex(),
        state=STATES[delivery.state],
        previous_state=STATES.get(previous_state, facts.DELIVERY_STATE_UNSPECIFIED),
        error=delivery.error,
    )


def moved(delivery: Delivery, state: str, error: str, at: datetime) -> tuple[Delivery, list[Effect]]:
    """The delivery in another state, with what follows: when it is done, the wish ends."""
    if (delivery.state, delivery.error) == (state, error):
        return delivery, []
    changed = replace(delivery, state=state, error=error, updated_at=at)
    fact = fact_of(changed, delivery.state)
    effects: list[Effect] = [fact]
    if delivery.traceparent:
        effects = [Traced(fact, delivery.traceparent, f"delivery {state}", delivery.updated_at, at)]
    if delivery.state not in DONE and state in DONE:
        effects.insert(0, Desired(str(delivery.instance_uid), "config", None))
    return changed, effects


def delivered(delivery: Delivery, capabilities: int, error: str, at: datetime) -> tuple[Delivery, list[Effect]]:
    """The ingress has sent the offer, or could not.

    An agent without ReportsRemoteConfig never tells what became of it: the wish ends here, or every reconnect would
    bring another offer (conformance item 92), and the state stays at "offered".
    """
    if delivery.state != "pending":
        return delivery, []
    if error:
        return moved(delivery, "failed", error, at)
    changed, effects = moved(delivery, "offered", "", at)
    if not capabilities & REPORTS_REMOTE_CONFIG:
        effects.append(Desired(str(delivery.instance_uid), "config", None))
    return changed, effects


def status_reported(
    delivery: Delivery, status: opamp_pb2.RemoteConfigStatus, is_crashed: bool, at: datetime
) -> tuple[Delivery, list[Effect]]:
    """What the agent says of a configuration. Only the hash tells which one it means (item 88).

    opampsupervisor (v0.149) answers a configuration that comes to what it has already with "applied" and starts
    nothing. While its collector has crashed that means nothing: `proven` decides when it has tried again, and what is
    done stays as it is.
    """
    state = STATUSES.get(status.status, "unset")
    if state == "applied" and is_crashed:
        if delivery.state in DONE:
            return delivery, []
        state = "applying"
    if status.last_remote_config_hash != delivery.config_hash or state == "unset":
        return delivery, []
    error = ""
    if state == "failed":
        error = status.error_message or "the agent reported a failure without a message"
    return moved(delivery, state, error, at)


def is_unproven(delivery: Delivery, reported_status: str, reported_hash: bytes) -> bool:
    """Whether the agent calls the configuration applied, and was not believed since its collector had crashed."""
    return (delivery.state, reported_status, reported_hash) == ("applying", "applied", delivery.config_hash)


def proven(delivery: Delivery, is_crashed: bool, error: str, at: datetime) -> tuple[Delivery, list[Effect]]:
    """What an unproven configuration has come to by the state of the collector at this time."""
    if not is_crashed:
        return moved(delivery, "applied", "", at)
    if at > delivery.updated_at:  # not the crash before, told late
        return moved(delivery, "failed", error, at)
    return delivery, []


def is_of_another_process(delivery: Delivery, status: opamp_pb2.RemoteConfigStatus) -> bool:
    """Whether the failure says nothing of this configuration, which was offered once so far.

    opampsupervisor (v0.149) may take the end of the collector that it stopped for a crash of the one that it has
    started. The exit code tells: 0 is what it gives for a process that runs, and -1 for one that a signal ended. It
    says so of what it had applied as well, when it has restarted the collector for own telemetry.
    """
    return (
        delivery.state not in ("failed", "superseded")
        and status.status == RemoteConfigStatuses.RemoteConfigStatuses_FAILED
        and status.last_remote_config_hash == delivery.config_hash == delivery.content_hash
        and _NO_CRASH.search(status.error_message) is not None
    )


def again(delivery: Delivery, files: opamp_pb2.AgentConfigMap, at: datetime) -> Delivery:
    """The delivery once more, under another hash (item 89)."""
    config_hash = hash_of(files, delivery.delivery_id.bytes)
    return replace(delivery, config_hash=config_hash, state="pending", error="", updated_at=at)


def has_lost_it(delivery: Delivery, status: opamp_pb2.RemoteConfigStatus) -> bool:
    """Whether the agent that had applied this configuration now says that it has another one or none.

    After a failure the agent may well have gone back to an older one; it is not given the bad one again (item 91).
    """
    return delivery.state == "applied" and status.last_remote_config_hash != delivery.config_hash
