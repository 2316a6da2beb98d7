"""Buckets are put right by what a database says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import nats.js.errors
import pytest

from flowkit import contracts, db, outbox, tasks
from flowkit.bus import Bus
from flowkit.db import Connection, Database
from flowkit.errors import UnavailableError
from flowkit.outbox import KvPut
from flowkit.standing import Standing, keep_right, put_right
from flowkit.testing import connected_bus, eventually

BUCKET = contracts.AGENT_DESIRED
SERVICE = "agent-registry"


class Place:
    """A bus and a database, with what should stand in the bucket."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus, self.database = bus, database
        self.relay = outbox.Relay(database, bus)
        self.wanted: dict[str, bytes] = {}
        self.meanwhile: dict[str, bytes] = {}
        self.standing = Standing[Connection](BUCKET, lambda key: key.endswith(".own"), self.entries)

    async def entries(self, store: Connection) -> Sequence[KvPut]:
        for key, value in self.meanwhile.items():
            await self.put(key, value)
        return [KvPut(BUCKET, key, value) for key, value in self.wanted.items()]

    async def put(self, key: str, value: bytes) -> None:
        await (await self.bus.kv(BUCKET)).put(key, value)

    async def put_right(self) -> None:
        await put_right(self.bus, self.database, self.relay, SERVICE, lambda store: store, self.standing)
        await self.relay.flush()

    async def there(self) -> dict[str, bytes | None]:
        bucket = await self.bus.kv(BUCKET)
        try:
            return {key: (await bucket.get(key)).value for key in await bucket.keys()}
        except nats.js.errors.NoKeysError:
            return {}


@pytest.fixture
async def place(fresh_nats_url: str, fresh_database_url: Callable[[str], str]) -> AsyncIterator[Place]:
    database = await db.connect(fresh_database_url("agent_registry"), 2)
    async with connected_bus(fresh_nats_url) as bus:
        yield Place(bus, database)
    await database.close()


async def test_what_is_missing_is_put_and_what_is_too_much_removed(place: Place) -> None:
    """Entries of others, and those that are right, are left alone."""
    for key in ("stale.own", "right.own", "stale.other"):
        await place.put(key, b"there")
    place.wanted = {"right.own": b"wanted", "missing.own": b"wanted"}
    await place.put_right()
    assert await place.there() == {"right.own": b"there", "missing.own": b"wanted", "stale.other": b"there"}
    await place.put_right()
    assert await place.there() == {"right.own": b"there", "missing.own": b"wanted", "stale.other": b"there"}


async def test_an_entry_that_is_wished_meanwhile_stays(place: Place) -> None:
    """Only what was looked at is removed."""
    await place.put("a.own", b"old")
    place.meanwhile = {"a.own": b"new"}
    await place.put_right()
    assert await place.there() == {"a.own": b"new"}


@asynccontextmanager
async def kept_right(place: Place) -> AsyncIterator[None]:
    work = keep_right(place.bus, place.database, place.relay, SERVICE, lambda store: store, [place.standing], 1)
    running = [asyncio.ensure_future(work), asyncio.ensure_future(place.relay.run())]
    try:
        yield
    finally:
        await tasks.cancel(*running)


async def test_a_bucket_that_is_lost_is_made_and_filled_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS may begin empty, and may not be able to make streams at once."""
    make, refusals = place.bus.ensure, iter([UnavailableError("no leader yet")])

    async def ensure(shards: int) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        await make(shards)

    monkeypatch.setattr(place.bus, "ensure", ensure)
    await place.bus.jetstream.delete_stream(f"KV_{BUCKET}")
    place.wanted = {"a.own": b"wanted"}
    async with kept_right(place):

        async def filled() -> bool:
            try:
                return await place.there() == {"a.own": b"wanted"}
            except nats.js.errors.NotFoundError:
                return False

        await eventually(filled)
