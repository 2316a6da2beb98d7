"""The store's ground: a pool of asyncpg connections in the service's own schema."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import orjson

from flowkit.errors import UnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection
"""A connection with a transaction open on it."""

# What says that PostgreSQL is away or asks for another try, not that the input is bad.
TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg 0.32 makes of some connections that PostgreSQL's end has cut
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    OSError,
    TimeoutError,
)


class Database:
    """Transactions in the schema of one service."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection with a transaction that commits at the end of the block, or rolls back at an exception.

        Raises:
            UnavailableError: no connection could be had within 5 s.
        """
        try:
            connection = await self._pool.acquire(timeout=5.0)
        except TRANSIENT as error:
            raise UnavailableError(f"PostgreSQL does not answer: {error!r}") from error
        try:
            async with connection.transaction():
                yield connection
        finally:
            await asyncio.shield(self._pool.release(connection))

    def connections(self) -> tuple[int, int, int]:
        """Connections in use, idle ones, and how many there may be."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return size - idle, idle, self._pool.get_max_size()

    async def is_ready(self) -> bool:
        """Whether PostgreSQL answers now."""
        try:
            async with asyncio.timeout(2.0), self._pool.acquire() as connection:
                await connection.execute("SELECT 1")
        except TRANSIENT:
            return False
        return True

    async def close(self) -> None:
        """Close all connections; what still runs after 3 s is cut off."""
        try:
            await asyncio.wait_for(self._pool.close(), 3.0)
        except TimeoutError:
            self._pool.terminate()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),  # 1 is the version of jsonb's binary form
        decoder=lambda raw: orjson.loads(memoryview(raw)[1:]),
    )


async def _keep(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing of a session is ever changed outside its transaction, so there is nothing to reset at a release."""


async def connect(url: str, pool_size: int) -> Database:
    """Open the pool.

    Args:
        url: `postgresql://role:password@host/database`, in the form of libpq.
        pool_size: connections held at most.

    Raises:
        UnavailableError: PostgreSQL does not answer or refuses the credentials.
    """
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool_size,
            init=_prepare,
            reset=_keep,
            command_timeout=8.0,
            max_inactive_connection_lifetime=30.0,  # s; an idle backend of PostgreSQL holds some 18 MB
        )
    except (*TRANSIENT, asyncpg.PostgresError, ValueError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {error!r}") from error
    return Database(pool)


def signed(number: int) -> int:
    """A uint64 as PostgreSQL's bigint, which has a sign: two's complement."""
    return number - (1 << 64) if number >= 1 << 63 else number


def unsigned(number: int) -> int:
    """The uint64 that a bigint stands for."""
    return number + (1 << 64) if number < 0 else number
