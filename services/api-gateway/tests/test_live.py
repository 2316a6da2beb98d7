"""Live events over streams in memory: nothing missed, nothing twice, nobody waits for a slow one."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from api_gateway.live import STREAMS, Hub, StoredEvent, Wanted, cursor_place, cursor_text
from api_gateway.testing_events import MemoryEventLog
from flowgate.agent.v1.events_pb2 import AgentConnected
from flowgate.config.v1.events_pb2 import DeliveryStateChanged
from flowgate.supervisor.v1.events_pb2 import CommandStateChanged

UID = "0198e4b0-7c1d-7a3e-9f00-000000000001"
OTHER = "0198e4b0-7c1d-7a3e-9f00-000000000002"
Listening = AsyncGenerator[tuple[str, StoredEvent | None], None]


async def take(listening: Listening, count: int) -> list[tuple[str, str]]:
    """The next events: cursor and kind."""
    taken = []
    async with asyncio.timeout(5):
        while len(taken) < count:
            cursor, event = await anext(listening)
            if event is not None:
                taken.append((cursor, event.body["event"] if event.body else ""))
    return taken


def test_the_streams_have_a_fixed_order() -> None:
    """Cursors that clients hold depend on it; a new stream may only come behind."""
    assert STREAMS == ("AGENT_EVENTS", "CONFIG_EVENTS", "SUPERVISOR_EVENTS")


@pytest.mark.parametrize(
    ("cursor", "place"),
    [
        ("3-2-1", [3, 2, 1]),
        (" 3-2-1 ", [3, 2, 1]),
        ("0-0-0", [0, 0, 0]),
        ("99-2-1", [0, 2, 1]),
        ("1-2", [0, 0, 0]),
        ("-1-2", [0, 1, 2]),
        ("nonsense", [0, 0, 0]),
        ("1e3-2-1", [0, 2, 1]),
        ("9" * 5000 + "-1-1", [0, 1, 1]),
    ],
)
def test_what_is_no_place_any_more_counts_as_the_oldest(cursor: str, place: list[int]) -> None:
    """A stream that was made anew is read from its beginning; nothing in the text can break the reader."""
    assert cursor_place(cursor, [(1, 5), (1, 5), (1, 5)]) == place


async def test_a_new_listener_hears_what_comes(hub: Hub, events: MemoryEventLog) -> None:
    """Nothing from before; the first message tells the place."""
    await events.put(AgentConnected(instance_uid=UID))
    await asyncio.sleep(0)
    listening = hub.listen(Wanted(), None)
    place, nothing = await anext(listening)
    await events.put(DeliveryStateChanged(instance_uid=UID))
    taken = await take(listening, 1)
    assert nothing is None
    assert taken[0][1] == "config.delivery-state-changed"
    assert taken[0][0].split("-")[1] == "1" and place.split("-")[1] == "0"
    await listening.aclose()


async def test_a_resumed_listener_misses_nothing_and_hears_nothing_twice(hub: Hub, events: MemoryEventLog) -> None:
    """From any event on, in the order of storing over all streams, then live."""
    facts = [AgentConnected, DeliveryStateChanged, CommandStateChanged, AgentConnected, DeliveryStateChanged]
    for kind in facts:
        await events.put(kind(instance_uid=UID))
    first = hub.listen(Wanted(), "0-0-0")
    seen = await take(first, 5)
    await first.aclose()
    assert [kind.split(".")[0] for _, kind in seen] == ["agent", "config", "supervisor", "agent", "config"]
    resumed = [hub.listen(Wanted(), cursor) for cursor, _ in seen]
    for position, listening in enumerate(resumed):
        assert await take(listening, 4 - position) == seen[position + 1 :]
        await anext(listening) if position == 4 else None  # its place
    await events.put(AgentConnected(instance_uid=UID))
    for listening in resumed:
        assert await take(listening, 1) == [("3-2-1", "agent.connected")]
        await listening.aclose()


async def test_an_expired_cursor_begins_at_the_oldest_that_is_kept(hub: Hub, events: MemoryEventLog) -> None:
    """What is gone is gone; the rest comes."""
    for number in range(4):
        await events.put(AgentConnected(instance_uid=UID, transport=str(number)))
    events.drop(0, 2)
    listening = hub.listen(Wanted(), "1-0-0")
    assert [cursor for cursor, _ in await take(listening, 2)] == ["3-0-0", "4-0-0"]
    await listening.aclose()


async def test_filters_pass_by_and_the_cursor_goes_on(hub: Hub, events: MemoryEventLog) -> None:
    """By domain, agent or gateway; what was not wanted is not seen again after a resume."""
    await events.put(AgentConnected(instance_uid=OTHER))
    await events.put(DeliveryStateChanged(instance_uid=OTHER, gateway_id=UID))
    await events.put(AgentConnected(instance_uid=UID))
    for wanted, expected in (
        (Wanted(ids=frozenset({UID})), ["config.delivery-state-changed", "agent.connected"]),
        (Wanted(domains=frozenset({"agent"})), ["agent.connected", "agent.connected"]),
    ):
        listening = hub.listen(wanted, "0-0-0")
        taken = await take(listening, 2)
        assert [kind for _, kind in taken] == expected
        await listening.aclose()
    assert taken[-1][0] == "2-1-0"


async def test_events_that_come_during_a_replay_are_not_lost(hub: Hub, events: MemoryEventLog) -> None:
    """Between the end of the replay and the live queue there is no gap."""
    for _ in range(200):
        await events.put(AgentConnected(instance_uid=UID))
    listening = hub.listen(Wanted(), "0-0-0")

    async def go_on() -> None:
        for _ in range(200):
            await events.put(AgentConnected(instance_uid=UID))
            await asyncio.sleep(0)

    writing = asyncio.create_task(go_on())
    cursors = [cursor for cursor, _ in await take(listening, 400)]
    assert cursors == [cursor_text((number, 0, 0)) for number in range(1, 401)]
    await writing
    await listening.aclose()


async def test_a_slow_listener_is_let_go_and_resumes(events: MemoryEventLog) -> None:
    """Its queue is bounded; others are not held up, and by its cursor it gets the rest."""
    hub = Hub(events, queue_size=10)
    await hub.start()
    slow, quick = hub.listen(Wanted(), None), hub.listen(Wanted(), None)
    await anext(slow)
    await anext(quick)
    for _ in range(30):
        await events.put(AgentConnected(instance_uid=UID))
        await take(quick, 1)
    assert [item async for item in slow] == []
    resumed = hub.listen(Wanted(), "0-0-0")
    assert len(await take(resumed, 30)) == 30
    for listening in (quick, resumed):
        await listening.aclose()
    await hub.stop()


async def test_an_event_of_a_newer_version_is_passed_by(hub: Hub, events: MemoryEventLog) -> None:
    """An older replica goes on beside newer ones."""
    unknown = StoredEvent(0, 1, 0.0, "flowgate.evt.agent.v9.teleported.x", b"\xff", None)
    assert not Wanted().takes(unknown)
    damaged = StoredEvent(0, 1, 0.0, f"flowgate.evt.agent.v1.connected.{UID}", b"\xff", None)
    assert not Wanted().takes(damaged)


async def test_a_stop_ends_every_stream(events: MemoryEventLog) -> None:
    """So that the server need not wait for clients that never leave."""
    hub = Hub(events, queue_size=10)
    await hub.start()
    listening = hub.listen(Wanted(), None)
    await anext(listening)
    ended = asyncio.create_task(anext(listening, None))
    await asyncio.sleep(0)
    await hub.stop()
    assert await ended is None
    assert not hub.is_running
