"""The pool of connections on a PostgreSQL that is killed."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from flowkit import db
from flowkit.db import TRANSIENT, Database
from flowkit.embedded import EmbeddedPostgres
from flowkit.errors import UnavailableError

WRITERS, KILLS = 16, 5


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)


@contextlib.asynccontextmanager
async def pool(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    database = await db.connect(postgres.url, 8)
    try:
        yield database
    finally:
        await database.close()


def kill(postgres: EmbeddedPostgres) -> None:
    """SIGKILL to the postmaster; the others see it and end in the middle of what they do."""
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.wait()


async def test_whoever_writes_goes_on_when_postgresql_is_back(postgres: EmbeddedPostgres) -> None:
    """All that comes out meanwhile says "again"; every writer writes after every kill."""
    written = [0] * WRITERS

    async def write(database: Database, number: int) -> None:
        while True:
            try:
                async with database.transaction() as connection:
                    await connection.execute("UPDATE counts SET count = count + 1 WHERE number = $1", number)
                    await connection.fetch("SELECT * FROM counts")
                    await connection.execute("UPDATE counts SET count = count + 1 WHERE number = $1", number)
                written[number] += 1
            except (UnavailableError, *TRANSIENT):
                await asyncio.sleep(0.2)

    async def all_write() -> None:
        before = list(written)
        while any(now < then + 2 for now, then in zip(written, before, strict=True)):
            assert not any(one.done() for one in writers), [one for one in writers if one.done()]
            await asyncio.sleep(0.02)

    with postgres:
        async with pool(postgres) as database, asyncio.timeout(120):
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE counts (number int PRIMARY KEY, count bigint)")
                await connection.execute(f"INSERT INTO counts SELECT generate_series(0, {WRITERS - 1}), 0")
            writers = [asyncio.create_task(write(database, number)) for number in range(WRITERS)]
            for _ in range(KILLS):
                await all_write()
                await asyncio.to_thread(kill, postgres)
                await asyncio.sleep(0.3)  # some find nobody there
                await asyncio.to_thread(postgres.start)
            await all_write()
            for one in writers:
                one.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
