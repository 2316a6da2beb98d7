"""Bulk operations: the same action for many agents."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from api_gateway.schemas.gateway import Mode, Status, printable
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
    """Every agent with its outcome, in the order in which they are begun; empty with `targets=false`."""


class TargetFilters(ApiModel):
    """Which agents of a bulk operation. A parameter that does not exist is refused."""

    state: list[TargetState] = Field([])
    """Only in this state; may be given several times."""
    q: Annotated[str, Field(max_length=200), AfterValidator(printable)] = ""
    """Only those whose name, ids or reason holds this text; case does not count."""
    limit: int = Field(100, ge=1, le=1000)
    """Agents per page."""
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,8}$")] = ""
    """`next_cursor` of the page before."""

    def question(self, operation_id: str) -> operations.ListOperationTargetsRequest:
        """The same for the owner."""
        return operations.ListOperationTargetsRequest(
            operation_id=operation_id,
            states=[f"TARGET_STATE_{one.upper()}" for one in sorted(set(self.state))],
            q=self.q,
            limit=self.limit,
            cursor=self.cursor,
        )


class TargetListResponse(ApiModel):
    """A page of the agents of a bulk operation."""

    items: list[OperationTargetBody]
    """In the order in which they are begun."""
    next_cursor: str | None
    """`cursor` of the next page; null on the last one."""
    total: int
    """How many match, over all pages."""


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
        "targets": [_target_json(one) for one in operation.targets],
    }


def targets_json(page: operations.ListOperationTargetsResponse) -> dict[str, Any]:
    """A TargetListResponse."""
    return {
        "items": [_target_json(one) for one in page.targets],
        "next_cursor": page.next_cursor or None,
        "total": page.total,
    }


def _target_json(target: operations.OperationTarget) -> dict[str, Any]:
    return {
        "instance_id": target.instance_id,
        "gateway_id": target.gateway_id or None,
        "name": target.name,
        "state": enum_text(facts.TargetState, target.state, "TARGET_STATE_") or "waiting",
        "reason": target.reason or None,
        "updated_at": stamp(target, "updated_at"),
    }
