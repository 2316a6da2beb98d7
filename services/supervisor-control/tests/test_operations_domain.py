"""Bulk operations' decisions: no I/O, no clock."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from flowgate.config.v1 import events_pb2 as config_facts
from flowkit.testing import EXTENSION, SUPERVISOR
from supervisor_control.domain import operations as domain
from supervisor_control.domain.operations import Operation, Target

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_operation(**changes: Any) -> Operation:
    fields: dict[str, Any] = {
        "operation_id": UUID(int=1),
        "action": "restart",
        "state": "running",
        "config_hash": b"",
        "max_unavailable": 5,
        "stop_on_failure": False,
        "created_at": NOW,
        "created_by": "admin",
        "updated_at": NOW,
    }
    return Operation(**fields | changes)


def make_target(**changes: Any) -> Target:
    fields: dict[str, Any] = {
        "position": 0,
        "instance_uid": UUID(int=2),
        "gateway_id": None,
        "name": "edge",
        "capabilities": SUPERVISOR,
        "state": "waiting",
        "reason": "",
        "updated_at": NOW,
    }
    return Target(**fields | changes)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"waiting": 30}, 5),
        ({"waiting": 30, "running": 3}, 2),
        ({"waiting": 30, "running": 5}, 0),
        ({"waiting": 1, "running": 0}, 1),
        ({"waiting": 30, "failed": 1}, 5),
        ({"waiting": 30, "failed": 1, "stop_on_failure": True}, 0),
        ({"waiting": 30, "state": "cancelled"}, 0),
        ({"waiting": 0}, 0),
    ],
    ids=str,
)
def test_as_many_are_begun_as_there_is_room_for(counts: dict[str, Any], expected: int) -> None:
    """And none in an operation that was stopped."""
    assert domain.next_count(make_operation(**counts)) == expected


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"succeeded": 3}, "succeeded"),
        ({"succeeded": 3, "skipped": 1}, "succeeded"),
        ({"succeeded": 3, "failed": 1}, "failed"),
        ({"succeeded": 3, "running": 1}, "running"),
        ({"succeeded": 3, "waiting": 1}, "running"),
        ({"succeeded": 3, "running": 1, "state": "cancelled"}, "cancelled"),
        ({"succeeded": 3, "failed": 1, "state": "cancelled"}, "cancelled"),
    ],
    ids=str,
)
def test_an_operation_ends_when_all_have_their_outcome(counts: dict[str, Any], state: str) -> None:
    """A cancelled one stays cancelled, however those under way end."""
    assert domain.ended(make_operation(**counts)).state == state


def test_counts_follow_the_targets() -> None:
    """From one state each to another; the sum stays."""
    operation = domain.begun(make_operation(), [make_target(), make_target(), make_target(state="skipped")])
    assert (operation.waiting, operation.skipped) == (2, 1)
    operation = operation.counted("waiting", ["running", "skipped"])
    operation = operation.counted("running", ["failed"])
    assert (operation.waiting, operation.running, operation.failed, operation.skipped) == (0, 0, 1, 2)


@pytest.mark.parametrize(
    ("action", "capabilities", "is_online", "words"),
    [
        ("restart", SUPERVISOR, True, None),
        ("push_config", SUPERVISOR, True, None),
        ("restart", EXTENSION, True, "accepts_restart_command: true"),
        ("push_config", EXTENSION, True, "accepts_remote_config: true"),
        ("restart", SUPERVISOR, False, "not connected"),
    ],
)
def test_who_cannot_is_told_how_to_change_that(
    action: str, capabilities: int, is_online: bool, words: str | None
) -> None:
    """The capability by its name and the supervisor's key."""
    reason = domain.obstacle(action, capabilities, is_online)
    assert (words or "") in reason and bool(reason) == (words is not None)


@pytest.mark.parametrize(
    ("state", "capabilities", "outcome"),
    [
        ("PENDING", SUPERVISOR, None),
        ("OFFERED", SUPERVISOR, None),
        ("OFFERED", SUPERVISOR & ~domain.REPORTS_CONFIG, "succeeded"),
        ("APPLYING", SUPERVISOR, None),
        ("APPLIED", SUPERVISOR, "succeeded"),
        ("FAILED", SUPERVISOR, "failed"),
        ("SUPERSEDED", SUPERVISOR, "failed"),
    ],
)
def test_a_delivery_settles_its_target(state: str, capabilities: int, outcome: str | None) -> None:
    """An agent that never reports a status is done when the offer was sent."""
    fact = config_facts.DeliveryStateChanged(state=f"DELIVERY_STATE_{state}", error="boom")
    found = domain.outcome_of_delivery(fact, make_target(capabilities=capabilities))
    assert (found and found[0]) == outcome


def test_the_delivery_is_named_as_the_contract_says() -> None:
    """UUIDv5 of operation_id and instance_uid: config-push makes the same one."""
    assert domain.delivery_id(UUID(int=1), UUID(int=2)) == uuid5(UUID(int=1), str(UUID(int=2)))
