"""Orders to agents, such as a restart."""

from typing import Any, Literal

from pydantic import ConfigDict

from api_gateway.schemas.values import ApiModel, enum_text, stamp
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.supervisor.v1.events_pb2 import CommandState

State = Literal["pending", "delivered", "completed", "failed", "expired"]


class RestartResponse(ApiModel):
    """The command that was begun."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"command_id": "0198e4b0-a001-7d10-8c00-0000000000c1", "state": "pending"}]}
    )

    command_id: str
    """Names the command; follow it under /api/v1/commands/{command_id}."""
    state: State
    """How far it got."""


class CommandResponse(ApiModel):
    """An order to an agent."""

    command_id: str
    """Names the command."""
    instance_id: str
    """The agent."""
    type: str
    """restart."""
    state: State
    """pending: waits for the agent; delivered: sent; completed: seen by the collector's new start time; failed;
    expired: the agent did not come for it in time, or its outcome was not seen in time."""
    error: str | None
    """With failed or expired: why."""
    created_at: str | None
    """When it was ordered."""
    updated_at: str | None
    """When it reached the state."""
    expires_at: str | None
    """When it expires if it is not done."""


def state_text(command: supervisors.Command) -> str:
    """State of a command; one of which nothing is said waits."""
    return enum_text(CommandState, command.state, "COMMAND_STATE_") or "pending"


def command_json(command: supervisors.Command) -> dict[str, Any]:
    """A CommandResponse."""
    return {
        "command_id": command.command_id,
        "instance_id": command.instance_id,
        "type": command.type,
        "state": state_text(command),
        "error": command.error or None,
        "created_at": stamp(command, "created_at"),
        "updated_at": stamp(command, "updated_at"),
        "expires_at": stamp(command, "expires_at"),
    }


def restart_json(command: supervisors.Command) -> dict[str, Any]:
    """A RestartResponse."""
    return {"command_id": command.command_id, "state": state_text(command)}
