"""Policies and offers of connection settings, without any I/O."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from flowkit.errors import InvalidError
from flowkit.outbox import Desired
from flowkit.testing import EXTENSION, SUPERVISOR
from supervisor_control.domain import policies as domain
from supervisor_control.domain.policies import Connection, Policy
from supervisor_control.domain.supervisors import Supervisor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "https://flowgate.test:4320/"


def make_policy(name: str = "default", **changes: object) -> Policy:
    return replace(Policy(name, {}, NOW, "admin"), **changes)  # type: ignore[arg-type]


def make_supervisor(capabilities: int = SUPERVISOR, **changes: object) -> Supervisor:
    return replace(Supervisor(UUID(int=1), NOW, NOW, capabilities=capabilities), **changes)  # type: ignore[arg-type]


DEFAULT = make_policy(own_logs=True, own_metrics=True, own_traces=False)
BOTH = Connection(True, "https://flowgate.test:4320/v1/logs", "https://flowgate.test:4320/v1/metrics", "")


def test_the_most_particular_policy_that_says_something_counts() -> None:
    """For each setting on its own; among equals the one whose name comes first."""
    ordered = domain.in_order(
        [
            DEFAULT,
            make_policy("b", selector={"env": "prod"}, own_traces=True, heartbeat_interval_seconds=10),
            make_policy("a", selector={"zone": "eu"}, heartbeat_interval_seconds=20),
            make_policy("z", selector={"env": "prod", "zone": "eu"}, own_logs=False),
        ]
    )
    said = domain.resolve(ordered, {"env": "prod", "zone": "eu"})
    assert (said.own_logs, said.own_metrics, said.own_traces) == (False, True, True)
    assert said.heartbeat_interval_seconds == 20
    assert domain.resolve(ordered, {"env": "prod"}).heartbeat_interval_seconds == 10
    assert domain.resolve(ordered, {"env": "dev"}) == replace(
        said, own_logs=True, own_traces=False, heartbeat_interval_seconds=None
    )


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (make_policy("Bad name", selector={"a": "b"}), "lower-case"),
        (make_policy("default", selector={"a": "b"}), "no selector"),
        (make_policy("mine"), "needs a selector"),
        (make_policy("mine", selector={"a": "b"}, heartbeat_interval_seconds=0), "1 to 3600"),
        (make_policy("mine", selector={str(n): "" for n in range(17)}), "at most 16"),
    ],
)
def test_what_makes_no_sense_is_refused(policy: Policy, says: str) -> None:
    """With what is wrong."""
    with pytest.raises(InvalidError, match=says):
        domain.check(policy)


def test_traces_may_go_elsewhere() -> None:
    """To the operators' own backend, whose URL is all that the agent is told; off, they go nowhere."""
    tracing = replace(DEFAULT, own_traces=True)
    here = domain.wanted(make_supervisor(), tracing, BASE)
    assert here == replace(BOTH, own_traces_url=f"{BASE}v1/traces")
    there = domain.wanted(make_supervisor(), tracing, BASE, "https://tempo.test/v1/traces")
    assert there == replace(BOTH, own_traces_url="https://tempo.test/v1/traces", own_traces_elsewhere=True)
    assert domain.wanted(make_supervisor(), DEFAULT, BASE, "https://tempo.test/v1/traces") == BOTH


def test_an_agent_is_offered_what_its_capabilities_say() -> None:
    """The triple is complete, signals that it does not report are off; without a base URL there is no triple."""
    assert domain.wanted(make_supervisor(), DEFAULT, BASE) == BOTH
    only_logs = make_supervisor(domain.REPORTS_LOGS)
    assert domain.wanted(only_logs, DEFAULT, BASE) == replace(BOTH, own_metrics_url="")
    assert domain.wanted(make_supervisor(EXTENSION), DEFAULT, BASE) is None
    assert domain.wanted(make_supervisor(), DEFAULT, "") is None
    beats = replace(DEFAULT, heartbeat_interval_seconds=5)
    assert domain.wanted(make_supervisor(), beats, "") == Connection(heartbeat_interval_seconds=5)
    assert domain.wanted(make_supervisor(SUPERVISOR & ~domain.REPORTS_HEARTBEAT), beats, BASE) == BOTH


def test_telemetry_switched_off_is_an_offer_of_empty_urls() -> None:
    """What is missing in an offer an agent takes as it was or as off; the triple says it."""
    off = make_policy(own_logs=False, own_metrics=False)
    settings = domain.wanted(make_supervisor(), off, BASE)
    assert settings == Connection(has_own_telemetry=True)


def test_the_same_is_never_offered_twice() -> None:
    """Wish, delivery, and then nothing, however often it is looked at."""
    supervisor = make_supervisor()
    (wish,) = domain.converge(supervisor, BOTH)
    assert isinstance(wish, Desired) and wish.state is not None
    assert wish.state.connection.own_logs_url == BOTH.own_logs_url
    assert domain.converge(supervisor, BOTH) == []
    (gone,) = domain.delivered(supervisor, wish.state.connection.hash, NOW)
    assert gone == Desired(str(UUID(int=1)), "connection", None)
    assert domain.converge(supervisor, BOTH) == []
    assert domain.delivered(supervisor, wish.state.connection.hash, NOW) == []
    assert domain.converge(supervisor, BOTH) == []
    assert domain.connection_of(supervisor) == BOTH


def test_a_policy_that_goes_back_takes_the_wish_away() -> None:
    """If the agent has not come for it; if it just had, it is offered the other again."""
    supervisor = make_supervisor()
    (first,) = domain.converge(supervisor, BOTH)
    assert first.state is not None
    domain.delivered(supervisor, first.state.connection.hash, NOW)
    other = replace(BOTH, own_logs_url="")
    (second,) = domain.converge(supervisor, other)
    assert second.state is not None
    assert domain.converge(supervisor, BOTH) == [Desired(str(UUID(int=1)), "connection", None)]
    domain.delivered(supervisor, second.state.connection.hash, NOW)  # it was under way
    (third,) = domain.converge(supervisor, BOTH)
    assert third == first


def test_only_a_change_of_own_telemetry_restarts() -> None:
    """A new agent that is told of telemetry restarts; one that is told that there is none does not."""
    supervisor = make_supervisor()
    assert domain.restarts(supervisor, BOTH)
    assert not domain.restarts(supervisor, Connection(has_own_telemetry=True))
    assert not domain.restarts(supervisor, Connection(heartbeat_interval_seconds=5))
    (wish,) = domain.converge(supervisor, BOTH)
    assert wish.state is not None
    domain.delivered(supervisor, wish.state.connection.hash, NOW)
    faster = replace(BOTH, heartbeat_interval_seconds=5)
    assert not domain.is_settled(supervisor, faster)
    assert not domain.restarts(supervisor, faster)
    assert domain.restarts(supervisor, replace(BOTH, own_traces_url="x"))


def test_an_interval_no_policy_speaks_of_any_more_goes_back_to_the_usual() -> None:
    """It cannot be taken back, and 0 would switch heartbeats off for good."""
    supervisor = make_supervisor(connection=replace(BOTH, heartbeat_interval_seconds=1).as_dict())
    settings = domain.wanted(supervisor, DEFAULT, BASE)
    assert settings is not None and settings.heartbeat_interval_seconds == 30
    assert domain.wanted(make_supervisor(connection=settings.as_dict()), DEFAULT, BASE) == settings


def test_another_uid_or_token_needs_another_offer() -> None:
    """The telemetry token is made from both; a heartbeat alone is the same for all."""
    assert len({BOTH.digest(UUID(int=number), token) for number in (1, 2) for token in ("a", "b")}) == 4
    beat = Connection(heartbeat_interval_seconds=5)
    assert beat.digest(UUID(int=1), "a") == beat.digest(UUID(int=2), "b")


def test_an_offer_in_words_says_whether_the_collector_restarts() -> None:
    """For the log of what happened."""
    assert domain.words(domain.NOTHING, BOTH) == (
        "connection settings were offered (own telemetry: logs, metrics); the collector restarts for it"
    )
    faster = replace(BOTH, heartbeat_interval_seconds=5)
    assert domain.words(BOTH, faster) == (
        "connection settings were offered (own telemetry: logs, metrics; heartbeat every 5 s)"
    )
