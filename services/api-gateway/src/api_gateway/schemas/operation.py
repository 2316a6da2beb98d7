"""Bulk operations: the same action for many agents."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api_gateway.schemas.gateway import Mode, Status
from api_gateway.schemas.labels import LabelKey, LabelValue
from api_gateway.schemas.values import ApiModel, enum_text, stamp
from flowgate.rpc.v1 import operations_pb2 as operations
from flowgate.supervisor.v1 import events_pb2 as facts

Action = Literal["restart", "push_config"]
OperationState = Literal["running", "succeeded", "failed", "cancelled"]
TargetState = Literal["waiting", "running", "succeeded", "failed", "skipped"]
MAX_TARGETS = 10_000

_COUNTS = ("waiting", "running", "succeeded", "failed", "skipped")


class Selector(ApiModel):
    """Which agents; what is left out is not looked at, and an empty one means the whole fleet."""

    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] = Field({})
    """With all of these labels; an empty value means any value."""
    management_mode: Mode | None = None
    """Of this mode."""
    status: list[Status] = Field([])
    """Of one of these statuses."""


class NewOperation(ApiModel):
    """A bulk operation to begin."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "restart",
                    "selector": {"labels": {"env": "prod"}, "management_mode": "supervisor", "status": ["online"]},
                    "max_unavailable": "25%",
                    "stop_on_failure": True,
                    "dry_run": False,
                }
            ]
        }
    )

    action: Action
    """restart: restart the collectors; push_config: give them `config`."""
    instance_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_TARGETS)] | None = None
    """These agents (either id), in this order. Unknown ones are refused by name. Either this or `selector`."""
    selector: Selector | None = None
    """The agents that fit, in the order of their names."""
    config: str | None = None
    """With push_config: the configuration, YAML as it shall reach the agents."""
    max_unavailable: (
        Annotated[int, Field(ge=1, le=MAX_TARGETS)] | Annotated[str, StringConstraints(pattern=r"^(100|[1-9][0-9]?)%$")]
    ) = 1
    """How many agents may be under way at once: a number, or a share such as "25%" of the agents that were chosen,
    rounded down, but at least one."""
    stop_on_failure: bool = False
    """Begin nothing more after a failure."""
    dry_run: bool = False
    """Only tell what it would do: nothing is begun or kept."""

    @model_validator(mode="after")
    def _fits(self) -> "NewOperation":
        if (self.instance_ids is None) == (self.selector is None):
            raise ValueError("say whom it is for: either instance_ids or selector")
        if (self.config is None) == (self.action == "push_config"):
            raise ValueError("push_config needs config, and restart has none")
        return self

    def room(self, agents: int) -> int:
        """How many of that many agents may be under way at once."""
        if isinstance(self.max_unavailable, int):
            return self.max_unavailable
        return max(1, agents * int(self.max_unavailable[:-1]) // 100)


class OperationTargetBody(ApiModel):
    """An agent of a bulk operation."""

    instance_id: str
    """The agent."""
    gateway_id: str | None
    """The gateway that it is an instance of."""
    name: str
    """Name of the gateway."""
    state: TargetState
    """waiting: for its turn; running; succeeded: as the agent's own report says; failed; skipped: not begun."""
    reason: str | None
    """With failed or skipped: why, and what to do about it."""
    updated_at: str | None
    """When it reached the state."""


class OperationProgress(ApiModel):
    """How far a bulk operation is."""

    operation_id: str | None
    """Names the operation; null for a dry run."""
    action: Action
    """restart or push_config."""
    state: OperationState
    """running; succeeded: every agent has its outcome and none failed; failed: some failed; cancelled."""
    is_over: bool
    """Whether nothing more happens: it has ended and no agent is under way. A cancelled one still waits for those."""
    waiting: int
    """Agents that wait for their turn."""
    running: int
    """Agents under way."""
    succeeded: int
    """Agents that are done."""
    failed: int
    """Agents that failed."""
    skipped: int
    """Agents that were not begun."""
    updated_at: str | None
    """When it got on last."""


class OperationSummary(OperationProgress):
    """A bulk operation in lists."""

    config_hash: str | None
    """With push_config: hash of the configuration."""
    max_unavailable: int
    """How many may be under way at once."""
    stop_on_failure: bool
    """Whether nothing more is begun after a failure."""
    created_at: str | None
    """When it was ordered."""
    created_by: str | None
    """Who ordered it."""


class OperationResponse(OperationSummary):
    """A bulk operation."""

    dry_run: bool
    """Whether this is only what it would do."""
    targets: list[OperationTargetBody]
    """Every agent with its outcome, in the order in which they are begun."""


class OperationListResponse(ApiModel):
    """The latest bulk operations."""

    items: list[OperationSummary]
    """Newest first."""


def progress_json(operation: operations.Operation | facts.OperationProgressed) -> dict[str, Any]:
    """An OperationProgress."""
    state = enum_text(facts.OperationState, operation.state, "OPERATION_STATE_") or "running"
    at = "updated_at" if isinstance(operation, operations.Operation) else "occurred_at"
    return {
        "operation_id": operation.operation_id or None,
        "action": operation.action,
        "state": state,
        "is_over": state != "running" and not operation.running,
        **{name: getattr(operation, name) for name in _COUNTS},
        "updated_at": stamp(operation, at),
    }


def summary_json(operation: operations.Operation) -> dict[str, Any]:
    """An OperationSummary."""
    return {
        **progress_json(operation),
        "config_hash": operation.config_hash or None,
        "max_unavailable": operation.max_unavailable,
        "stop_on_failure": operation.stop_on_failure,
        "created_at": stamp(operation, "created_at"),
        "created_by": operation.created_by or None,
    }


def operation_json(operation: operations.Operation) -> dict[str, Any]:
    """An OperationResponse."""
    return {
        **summary_json(operation),
        "dry_run": not operation.operation_id,
        "targets": [
            {
                "instance_id": one.instance_id,
                "gateway_id": one.gateway_id or None,
                "name": one.name,
                "state": enum_text(facts.TargetState, one.state, "TARGET_STATE_") or "waiting",
                "reason": one.reason or None,
                "updated_at": stamp(one, "updated_at"),
            }
            for one in operation.targets
        ],
    }
