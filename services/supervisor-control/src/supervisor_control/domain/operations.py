"""Bulk operations: who is next, what a failure means, when it is over. Pure decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.supervisor.v1 import events_pb2 as facts
from flowkit.opamp import timestamp
from flowkit.outbox import Effect
from flowkit.tracing import Traced
from opamp.v1.opamp_pb2 import AgentCapabilities
from supervisor_control.domain.supervisors import ACCEPTS_RESTART, Command

ACCEPTS_CONFIG: int = AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig
REPORTS_CONFIG: int = AgentCapabilities.AgentCapabilities_ReportsRemoteConfig

STATES = {
    "running": facts.OPERATION_STATE_RUNNING,
    "succeeded": facts.OPERATION_STATE_SUCCEEDED,
    "failed": facts.OPERATION_STATE_FAILED,
    "cancelled": facts.OPERATION_STATE_CANCELLED,
}
TARGET_STATES = {
    "waiting": facts.TARGET_STATE_WAITING,
    "running": facts.TARGET_STATE_RUNNING,
    "succeeded": facts.TARGET_STATE_SUCCEEDED,
    "failed": facts.TARGET_STATE_FAILED,
    "skipped": facts.TARGET_STATE_SKIPPED,
}
_NEEDS = {
    "restart": (
        ACCEPTS_RESTART,
        "it does not accept the restart command (capability AcceptsRestartCommand); under opampsupervisor, set"
        " `capabilities: accepts_restart_command: true` in its supervisor.yaml and restart the supervisor",
    ),
    "push_config": (
        ACCEPTS_CONFIG,
        "it does not accept remote configuration (capability AcceptsRemoteConfig); run its collector under"
        " opampsupervisor with `capabilities: accepts_remote_config: true`",
    ),
}
ACTIONS = tuple(_NEEDS)
STOPPED = "another agent failed and the operation stops at a failure; order it for the others when that is solved"
CANCELLED = "the operation was cancelled before its turn"
UNDER_WAY = "another restart of it is under way; order it again when that has ended"


@dataclass(frozen=True)
class Target:
    """An agent of an operation; the columns of `operation_targets` by their names."""

    position: int
    instance_uid: UUID
    gateway_id: UUID | None
    name: str
    capabilities: int
    state: str
    reason: str
    updated_at: datetime
    order_id: UUID | None = None


@dataclass(frozen=True)
class Operation:
    """The same action for many agents; the columns of `operations` by their names. The five numbers count its targets
    by state."""

    operation_id: UUID
    action: str
    state: str
    config_hash: bytes
    max_unavailable: int
    stop_on_failure: bool
    created_at: datetime
    created_by: str
    updated_at: datetime
    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    traceparent: str = ""

    def counted(self, before: str, after: Sequence[str]) -> "Operation":
        """The operation when that many targets went from one state each to another."""
        changes: dict[str, Any] = {state: getattr(self, state) + after.count(state) for state in TARGET_STATES}
        changes[before] -= len(after)
        return replace(self, **changes)


def obstacle(action: str, capabilities: int, is_online: bool) -> str:
    """Why an agent cannot take part, and how to change that; empty when it can."""
    bit, words = _NEEDS[action]
    if not capabilities & bit:
        return words
    if not is_online:
        return "it is not connected; order it again when it is back"
    return ""


def begun(operation: Operation, targets: Sequence[Target]) -> Operation:
    """A new operation with its targets counted."""
    states = [one.state for one in targets]
    counts: dict[str, Any] = {state: states.count(state) for state in TARGET_STATES}
    return replace(operation, **counts)


def is_stopped(operation: Operation) -> bool:
    """Whether nothing more is begun."""
    return operation.state != "running" or (operation.stop_on_failure and operation.failed > 0)


def next_count(operation: Operation) -> int:
    """How many of the waiting targets are begun now."""
    if is_stopped(operation):
        return 0
    return max(0, min(operation.max_unavailable - operation.running, operation.waiting))


def why_not_begun(operation: Operation) -> str:
    """Why those that wait in a stopped operation are skipped."""
    return CANCELLED if operation.state == "cancelled" else STOPPED


def ended(operation: Operation) -> Operation:
    """The operation with its end, as soon as every target has its outcome."""
    if operation.state != "running" or operation.waiting or operation.running:
        return operation
    return replace(operation, state="failed" if operation.failed else "succeeded")


def delivery_id(operation_id: UUID, instance_uid: UUID) -> UUID:
    """Names the delivery that config-push makes for a target."""
    return uuid5(operation_id, str(instance_uid))


def order_of(operation: Operation, target: Target, at: datetime) -> Effect:
    """The order to config-push for one target."""
    order = facts.ConfigPushOrdered(
        instance_uid=str(target.instance_uid),
        gateway_id=str(target.gateway_id or ""),
        occurred_at=timestamp(at),
        operation_id=str(operation.operation_id),
        config_hash=operation.config_hash.hex(),
        actor=operation.created_by,
    )
    if not operation.traceparent:
        return order
    return Traced(order, operation.traceparent, "operation push-config", operation.created_at, at)


def withdrawal_of(operation: Operation, target: Target, reason: str, at: datetime) -> facts.ConfigPushWithdrawn:
    """The word to config-push that one target is no longer waited for."""
    return facts.ConfigPushWithdrawn(
        instance_uid=str(target.instance_uid),
        gateway_id=str(target.gateway_id or ""),
        occurred_at=timestamp(at),
        operation_id=str(operation.operation_id),
        reason=f"{reason}; the bulk operation took it back",
    )


def outcome_of_command(command: Command) -> tuple[str, str] | None:
    """State and reason of the target that a command settles; None while it is open."""
    if command.state == "completed":
        return "succeeded", ""
    if command.state in ("failed", "expired"):
        return "failed", command.error or f"the restart {command.state}"
    return None


def outcome_of_delivery(fact: config_facts.DeliveryStateChanged, target: Target) -> tuple[str, str] | None:
    """State and reason of the target that a delivery settles; None while it is open."""
    if fact.state == config_facts.DELIVERY_STATE_APPLIED:
        return "succeeded", ""
    if fact.state == config_facts.DELIVERY_STATE_FAILED:
        return "failed", fact.error
    if fact.state == config_facts.DELIVERY_STATE_SUPERSEDED:
        return "failed", "a newer configuration took its place before it was applied"
    if fact.state == config_facts.DELIVERY_STATE_OFFERED and not target.capabilities & REPORTS_CONFIG:
        return "succeeded", "it was sent; the agent does not report what becomes of it (ReportsRemoteConfig)"
    return None


def progress_of(operation: Operation) -> facts.OperationProgressed:
    """The fact of how far an operation is now."""
    return facts.OperationProgressed(
        operation_id=str(operation.operation_id),
        occurred_at=timestamp(operation.updated_at),
        action=operation.action,
        state=STATES[operation.state],
        waiting=operation.waiting,
        running=operation.running,
        succeeded=operation.succeeded,
        failed=operation.failed,
        skipped=operation.skipped,
    )
