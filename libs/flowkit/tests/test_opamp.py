"""OpAMP's words."""

from datetime import UTC, datetime

import pytest

from flowkit import opamp
from flowkit.db import signed, unsigned
from opamp.v1 import opamp_pb2


def test_capabilities_have_their_names_and_unknown_bits_their_number() -> None:
    """Item 67: unknown bits are kept and shown."""
    assert opamp.capability_names(0x4805) == [
        "ReportsStatus",
        "ReportsEffectiveConfig",
        "ReportsHealth",
        "ReportsAvailableComponents",
    ]
    assert opamp.capability_names(1 << 63) == ["0x8000000000000000"]


def test_field_bits_are_the_field_numbers() -> None:
    """As the ingress sets them."""
    assert opamp.field_bit("agent_description") == 1 << 3
    assert opamp.field_bit("connection_settings_status") == 1 << 15


@pytest.mark.parametrize("nano", [1, 10**18, 1_700_000_000_123_456_789])
def test_times_are_exact_to_the_microsecond(nano: int) -> None:
    """Nanoseconds since 1970 in UTC."""
    at = opamp.time_of(nano)
    assert at is not None and at.tzinfo is UTC
    assert int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) == nano // 10**9
    assert at.microsecond == nano % 10**9 // 1000


def test_a_time_of_zero_is_none_and_the_largest_one_is_read() -> None:
    """start_time 0 means "does not run"; the largest fixed64 lies in the year 2554."""
    assert opamp.time_of(0) is None
    largest = opamp.time_of(2**64 - 1)
    assert largest is not None and largest.year == 2554


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_uint64_fits_into_bigint_and_back(number: int) -> None:
    """Two's complement, both ways."""
    assert -(2**63) <= signed(number) < 2**63
    assert unsigned(signed(number)) == number


def test_health_as_deep_as_45_levels_is_read() -> None:
    """Item 81: each level costs two of the parser's hundred."""
    health = opamp_pb2.ComponentHealth(healthy=True)
    for _ in range(45):
        outer = opamp_pb2.ComponentHealth(healthy=True)
        outer.component_health_map["inner"].CopyFrom(health)
        health = outer
    message = opamp_pb2.AgentToServer(health=health)
    assert opamp_pb2.AgentToServer.FromString(message.SerializeToString()) == message
