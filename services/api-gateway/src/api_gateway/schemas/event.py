"""Fleet events as JSON: the facts of the three event streams, in the API's words."""

from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

from api_gateway.schemas.values import capabilities, exact_number, stamp
from flowkit import contracts


class FleetEvent(BaseModel):
    """A fact about the fleet: the `data` of a server-sent event. Each kind has more members, see docs/events.md."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "event": "config.delivery-state-changed",
                    "event_id": "0198e4b0-b7f2-7000-8000-0000000000e1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "occurred_at": "2026-11-02T08:16:03.411Z",
                    "delivery_id": "0198e4b0-93aa-7c55-8a11-0000000000d1",
                    "config_hash": "9b1c",
                    "state": "applied",
                    "previous_state": "applying",
                    "error": None,
                }
            ]
        },
    )

    event: str
    """Domain and fact, such as agent.connected; also the name of the server-sent event."""
    event_id: str | None
    """Id of the fact; the same fact never comes under two ids."""
    instance_id: str | None
    """The agent; null for what is no single agent's, such as supervisor.operation-progressed."""
    gateway_id: str | None
    """The gateway that the agent is an instance of; null where it was not known yet, or there is none."""
    occurred_at: str | None
    """When it happened."""


class RecentEventsResponse(BaseModel):
    """What happened lately."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[FleetEvent]
    """Newest first."""
    total: int | None
    """With `since` and without an agent: how many there have been since then."""


def event_json(fact: Message, event_id: str | None) -> dict[str, Any]:
    """A FleetEvent.

    The API's words apply: instance_uid is `instance_id`, enum values are lower case without prefix, capabilities are
    names, times are RFC 3339 in UTC, empty text is null.
    """
    members = {
        field.name.replace("instance_uid", "instance_id"): _member(fact, field) for field in fact.DESCRIPTOR.fields
    }
    return {
        "event": contracts.event_name(type(fact)),
        "event_id": event_id,
        "instance_id": None,
        "gateway_id": None,
        **members,
    }


def _member(fact: Message, field: Any) -> Any:
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        return stamp(fact, field.name)
    value = getattr(fact, field.name)
    if field.message_type is not None:  # the only other messages in facts are maps of text
        return dict(value)
    if field.is_repeated:
        return list(value)
    if field.enum_type is not None:
        return _enum_value(field, value)
    if field.name.endswith("capabilities"):
        return capabilities(value)
    if isinstance(value, str):
        return value or None
    return exact_number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _enum_value(field: Any, number: int) -> str | None:
    """MANAGEMENT_MODE_EXTENSION is `extension`: the prefix is what the zero value has before UNSPECIFIED."""
    if field.enum_type is None or not number:
        return None
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    found = field.enum_type.values_by_number.get(number)
    return found.name.removeprefix(prefix).lower() if found else str(number)
