"""A session that is handed over while its agent is on the way."""

import time
from typing import Any, cast
from uuid import uuid4

import nats.js.errors
import pytest

from flowgate.uplink.v1.desired_pb2 import SessionState
from flowkit.bus import Bus
from opamp_gateway.handover import Handover


class Bucket:
    """Answers one look after the other; None is no session, a negative one was announced so many seconds ago."""

    def __init__(self, *found: float | None) -> None:
        self.looks = iter(found)

    async def kv(self, _name: str) -> "Bucket":
        return self

    async def get(self, _key: str) -> Any:
        found = next(self.looks)
        if found is None:
            raise nats.js.errors.KeyNotFoundError
        entry = type("Entry", (), {})()
        if found < 0:
            state = SessionState(is_pending=True, saved_at_unix_nano=time.time_ns() + int(found * 1e9))
        else:
            state = SessionState(sequence_num=int(found))
        entry.value = state.SerializeToString()
        return entry


@pytest.mark.parametrize(
    ("looks", "loaded"),
    [
        ((7,), 7),
        ((None, 7), 7),
        ((5, 7), 7),
        ((None, 5, 7), 7),
        ((5, 5, 5), 5),
        ((None, None, None), None),
        ((-1, -1, -1, -1, -1, -1, 7), 7),
        ((5, None, -1, -1, 6), 6),
        ((-60, -60, -60), None),
    ],
)
async def test_a_session_that_comes_late_is_looked_for_again(
    looks: tuple[float | None, ...], loaded: int | None
) -> None:
    """Until it ends where the agent goes on, a few times; one that was announced a moment ago until it is there; else
    the newest that there is."""
    bucket = Bucket(*looks)
    state = await Handover(cast(Bus, bucket)).load(uuid4().bytes, 7)
    assert (state.sequence_num if state else None) == loaded
    assert list(bucket.looks) == []
