"""Who is missing in the store."""

from uuid import UUID

from agent_registry.presence import Missing

ONE, TWO = UUID(int=1), UUID(int=2)


def test_an_agent_is_lost_when_all_that_was_on_the_bus_is_worked_off() -> None:
    missing = Missing()
    assert missing.lost({ONE, TWO}, {ONE}, end=10, done=4) == []
    assert missing.lost({ONE, TWO}, {ONE}, end=20, done=9) == []
    assert missing.lost({ONE}, {ONE}, end=21, done=10) == [ONE]


def test_it_is_not_asked_again_while_its_answer_may_wait() -> None:
    missing = Missing()
    missing.lost({ONE}, {ONE}, end=10, done=10)
    assert missing.lost({ONE}, {ONE}, end=30, done=12) == [ONE]
    assert missing.lost({ONE}, {ONE}, end=40, done=29) == []
    assert missing.lost({ONE}, {ONE}, end=50, done=30) == [ONE]


def test_who_was_known_meanwhile_begins_anew() -> None:
    missing = Missing()
    missing.lost({ONE}, {ONE}, end=10, done=10)
    assert missing.lost({ONE}, set(), end=0, done=0) == []
    assert missing.lost({ONE}, {ONE}, end=30, done=30) == []
    assert missing.lost({ONE}, {ONE}, end=30, done=30) == [ONE]


def test_a_stream_made_anew_counts_from_one() -> None:
    missing = Missing()
    missing.lost({ONE}, {ONE}, end=1000, done=1000)
    assert missing.lost({ONE}, {ONE}, end=3, done=3) == []
    assert missing.lost({ONE}, {ONE}, end=4, done=3) == [ONE]
