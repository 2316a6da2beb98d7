"""Configurations and their delivery, without any I/O."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_push import domain
from config_push.domain import Delivery
from flowgate.config.v1 import events_pb2 as facts
from flowkit.errors import InvalidError
from flowkit.outbox import Desired
from flowkit.tracing import Traced
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses as Statuses

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HASH, OTHER = b"h" * 32, b"o" * 32


def make_delivery(**changes: object) -> Delivery:
    delivery = Delivery(
        delivery_id=UUID(int=1),
        instance_uid=UUID(int=2),
        gateway_id=None,
        content_hash=HASH,
        config_hash=HASH,
        state="pending",
        created_at=NOW,
        created_by="admin",
        updated_at=NOW,
    )
    return replace(delivery, **changes)  # type: ignore[arg-type]


def status(state: Statuses, config_hash: bytes = HASH, error: str = "") -> opamp_pb2.RemoteConfigStatus:
    return opamp_pb2.RemoteConfigStatus(status=state, last_remote_config_hash=config_hash, error_message=error)


def files(**bodies: bytes) -> opamp_pb2.AgentConfigMap:
    return opamp_pb2.AgentConfigMap(
        config_map={name: opamp_pb2.AgentConfigObject(body=body) for name, body in bodies.items()}
    )


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a: [1\nb: 2\n", 2, 2), ("a: 1\na: 2\n", 2, 1), ("a:\n\t- b\n", 2, 1), ("- a\n", 1, 1), ("", 1, 1), ("x", 1, 1)],
)
def test_yaml_that_no_collector_reads_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    """Syntax, duplicate keys, tabs, no mapping, nothing at all: line and column from 1."""
    with pytest.raises(InvalidError) as caught:
        domain.check_yaml(text)
    (error,) = caught.value.extra["errors"]
    assert (error["line"], error["column"]) == (line, column)
    assert error["message"]


def test_yaml_of_a_collector_is_taken() -> None:
    """Anchors, comments and environment references are the collector's business."""
    domain.check_yaml("a: &x\n  b: ${env:NAME}\nc: *x # comment\n")


@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Never another exception."""
    try:
        domain.check_yaml(text)
    except InvalidError as error:
        assert error.extra["errors"][0]["line"] >= 1


@pytest.mark.parametrize("text", ["a: " + "[" * 5000 + "]" * 5000, "a: " + "{b: " * 5000 + "}" * 5000])
def test_a_nest_too_deep_is_refused(text: str) -> None:
    """Not a crash of the parser."""
    with pytest.raises(InvalidError, match="nest"):
        domain.check_yaml(text)


def test_aliases_are_not_multiplied_out() -> None:
    """A hundred bytes that would unfold into a billion nodes take no time."""
    domain.check_yaml("a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)))


def test_the_hash_does_not_depend_on_the_order_but_on_every_border() -> None:
    """Item 85: the same map in another order is the same; a byte moved between two entries is not."""
    assert domain.hash_of(files(a=b"1", b=b"2")) == domain.hash_of(files(b=b"2", a=b"1"))
    assert domain.hash_of(files(a=b"12", b=b"3")) != domain.hash_of(files(a=b"1", b=b"23"))
    with_role = files(a=b"1")
    with_role.config_map["a"].role = "r"
    assert domain.hash_of(with_role) != domain.hash_of(files(a=b"1"))
    assert domain.hash_of(files(a=b"1"), b"salt") != domain.hash_of(files(a=b"1"))
    assert domain.hash_of(opamp_pb2.AgentConfigMap()) != b""


def test_an_offer_has_the_empty_name_and_a_content_type() -> None:
    """Items 94 and 96."""
    (item,) = domain.config_map("a: 1").config_map.items()
    assert (item[0], item[1].content_type) == ("", "text/yaml")


def test_the_usual_way() -> None:
    """pending → offered → applying → applied; the wish ends when it is done, and only then."""
    delivery = make_delivery()
    states = [delivery.state]
    delivery, effects = domain.delivered(delivery, domain.REPORTS_REMOTE_CONFIG, "", NOW)
    assert not any(isinstance(effect, Desired) for effect in effects)
    states.append(delivery.state)
    for told in (Statuses.RemoteConfigStatuses_APPLYING, Statuses.RemoteConfigStatuses_APPLIED):
        delivery, effects = domain.status_reported(delivery, status(told), False, NOW)
        states.append(delivery.state)
    assert states == ["pending", "offered", "applying", "applied"]
    assert effects[0] == Desired(str(UUID(int=2)), "config", None)
    assert isinstance(effects[1], facts.DeliveryStateChanged)
    assert effects[1].previous_state == facts.DELIVERY_STATE_APPLYING


def test_what_becomes_of_a_traced_delivery_goes_on_with_its_trace() -> None:
    """Each state is a span from the one before; the wish carries the trace to the ingress."""
    delivery = make_delivery(traceparent="00-aa-bb-01")
    wish, _ = domain.begin(delivery)
    assert isinstance(wish, Desired) and wish.state is not None and wish.state.traceparent == "00-aa-bb-01"
    later = NOW + timedelta(seconds=2)
    delivery, effects = domain.delivered(delivery, domain.REPORTS_REMOTE_CONFIG, "", later)
    fact = domain.fact_of(delivery, "pending")
    assert effects == [Traced(fact, "00-aa-bb-01", "delivery offered", since=NOW, until=later)]


def test_applying_may_be_skipped_and_states_may_be_told_again() -> None:
    """Item 90; telling it again is no news."""
    applied = status(Statuses.RemoteConfigStatuses_APPLIED)
    delivery, effects = domain.status_reported(make_delivery(), applied, False, NOW)
    assert (delivery.state, len(effects)) == ("applied", 2)
    assert domain.status_reported(delivery, applied, False, NOW) == (delivery, [])


@pytest.mark.parametrize("state", sorted(domain.DONE))
def test_a_crashed_collectors_agent_changes_nothing_that_is_done(state: str) -> None:
    """It tells its full state when asked: neither has what was applied begun anew, nor what failed become applied."""
    delivery = make_delivery(state=state)
    assert domain.status_reported(delivery, status(Statuses.RemoteConfigStatuses_APPLIED), True, NOW) == (delivery, [])


def test_a_failure_keeps_the_agents_own_words() -> None:
    """Item 88: and it is done, so nothing is sent again."""
    told = status(Statuses.RemoteConfigStatuses_FAILED, error="exit code 1")
    delivery, effects = domain.status_reported(make_delivery(state="applying"), told, False, NOW)
    assert (delivery.state, delivery.error) == ("failed", "exit code 1")
    assert effects[0] == Desired(str(UUID(int=2)), "config", None)
    silent = status(Statuses.RemoteConfigStatuses_FAILED)
    assert "without a message" in domain.status_reported(make_delivery(), silent, False, NOW)[0].error


@pytest.mark.parametrize("told", [Statuses.RemoteConfigStatuses_APPLIED, Statuses.RemoteConfigStatuses_FAILED])
def test_a_status_of_another_configuration_changes_nothing(told: Statuses) -> None:
    """Only the hash tells which one the agent means."""
    delivery = make_delivery(state="offered")
    assert domain.status_reported(delivery, status(told, OTHER), False, NOW) == (delivery, [])
    unset = status(Statuses.RemoteConfigStatuses_UNSET)
    assert domain.status_reported(delivery, unset, False, NOW) == (delivery, [])


def test_a_rollback_after_a_failure_is_no_loss() -> None:
    """Item 91: FAILED(B), then APPLIED(A): B is not offered for ever."""
    rolled_back = status(Statuses.RemoteConfigStatuses_APPLIED, OTHER)
    assert not domain.has_lost_it(make_delivery(state="failed"), rolled_back)
    assert not domain.has_lost_it(make_delivery(state="offered"), rolled_back)
    assert domain.has_lost_it(make_delivery(state="applied"), rolled_back)
    assert domain.has_lost_it(make_delivery(state="applied"), opamp_pb2.RemoteConfigStatus())


def test_an_agent_that_never_reports_a_status_gets_one_offer() -> None:
    """Item 92: without ReportsRemoteConfig the wish ends with the offer."""
    delivery, effects = domain.delivered(make_delivery(), 0, "", NOW)
    assert delivery.state == "offered"
    assert Desired(str(UUID(int=2)), "config", None) in effects


def test_an_offer_that_cannot_be_sent_is_a_failure() -> None:
    """Item 15: too large for a message, say; the record tells why."""
    delivery, effects = domain.delivered(make_delivery(), 0, "larger than 64 MiB", NOW)
    assert (delivery.state, delivery.error) == ("failed", "larger than 64 MiB")
    assert effects[0] == Desired(str(UUID(int=2)), "config", None)
