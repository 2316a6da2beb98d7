"""Partitions by time: a table that is only written to at its end, and loses its past by dropping partitions.

A partition is one value of the column `partition_at`, the time at which it was begun, so that it can end at any moment:
when it is old enough, or at once when a flood has filled it. Its name tells the same, agent_logs_20261102081530. Rows
are copied straight into it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from flowkit.db import Connection
from flowkit.errors import UnavailableError

_SLACK = timedelta(minutes=2)  # a row's time may be that much after its partition's end: clocks, and writers under way


@dataclass(frozen=True)
class Retention:
    """How long and how much is kept of a table.

    Attributes:
        seconds: age at which a partition is dropped.
        size: bytes of all partitions, with their indexes; the oldest are dropped beyond.
        partition_seconds: age at which a partition ends.
        partition_size: bytes at which it does.
    """

    seconds: float
    size: int
    partition_seconds: float
    partition_size: int

    @classmethod
    def of(cls, seconds: float, size: int) -> "Retention":
        """With some 30 partitions: few enough to be searched at once, and little is lost too early with each."""
        return cls(seconds, size, min(seconds / 28, 6 * 3600.0), size // 16)


class Partitions:
    """The partitions of one table, in the transaction of a connection."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    async def current(self) -> datetime:
        """The partition that is written to; made when there is none."""
        found: datetime | None = await self._latest()
        if found is None:
            await self._lock()
            found = await self._latest() or await self._begin(datetime.now(UTC))
        return found

    async def since(self, since: datetime | None) -> list[datetime]:
        """Partitions that may hold rows of that time or later."""
        rows = await self._connection.fetch(
            "SELECT begun_at FROM partitions WHERE table_name = $1"
            " AND (ended_at IS NULL OR $2::timestamptz IS NULL OR ended_at > $2) ORDER BY begun_at",
            self._table,
            since and since - _SLACK,
        )
        return [row["begun_at"] for row in rows]

    def name(self, begun_at: datetime) -> str:
        """Name of the table that a partition is."""
        return f"{self._table}_{begun_at.astimezone(UTC):%Y%m%d%H%M%S}"

    async def keep(self, retention: Retention, now: datetime) -> list[str]:
        """End the current partition when it is due, and drop those that are too old or too many; returns the names of
        what was dropped. The current one is never dropped.

        Raises:
            UnavailableError: readers or writers did not make room in time.
        """
        try:
            return await self._keep(retention, now)
        except asyncpg.LockNotAvailableError as error:
            raise UnavailableError(f"{self._table} is too busy to change its partitions") from error

    async def _keep(self, retention: Retention, now: datetime) -> list[str]:
        await self._connection.execute("SET LOCAL lock_timeout = '2s'")
        await self._lock()
        rows = await self._connection.fetch(
            "SELECT begun_at, ended_at FROM partitions WHERE table_name = $1 ORDER BY begun_at DESC", self._table
        )
        sizes = [await self._size(row["begun_at"]) for row in rows]
        if (
            not rows
            or rows[0]["ended_at"] is not None
            or (
                sizes[0] >= retention.partition_size
                or (now - rows[0]["begun_at"]).total_seconds() >= retention.partition_seconds
            )
        ):
            await self._begin(now)
        dropped: list[str] = []
        total = 0
        for row, size in zip(rows, sizes, strict=True):
            total += size
            ended_at = row["ended_at"]
            is_old = ended_at is not None and (now - ended_at).total_seconds() > retention.seconds
            if is_old or (ended_at is not None and total > retention.size):
                dropped.append(await self._drop(row["begun_at"]))
        return dropped

    async def _latest(self) -> datetime | None:
        found: datetime | None = await self._connection.fetchval(
            "SELECT max(begun_at) FROM partitions WHERE table_name = $1 AND ended_at IS NULL", self._table
        )
        return found

    async def _lock(self) -> None:
        await self._connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext(current_schema() || ':partitions:' || $1))", self._table
        )

    async def _size(self, begun_at: datetime) -> int:
        return int(await self._connection.fetchval("SELECT pg_total_relation_size($1::regclass)", self.name(begun_at)))

    async def _begin(self, at: datetime) -> datetime:
        begun_at = at.replace(microsecond=0)
        name = self.name(begun_at)
        if await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
            return begun_at  # twice within a second
        # Attaching takes no lock that a reader or a writer would wait for, as CREATE TABLE … PARTITION OF does.
        await self._connection.execute(f"CREATE TABLE {name} (LIKE {self._table} INCLUDING DEFAULTS)")
        await self._connection.execute(
            f"ALTER TABLE {self._table} ATTACH PARTITION {name} FOR VALUES IN ('{begun_at.isoformat()}')"
        )
        await self._connection.execute(
            "UPDATE partitions SET ended_at = $2 WHERE table_name = $1 AND ended_at IS NULL", self._table, at
        )
        await self._connection.execute(
            "INSERT INTO partitions (table_name, begun_at) VALUES ($1, $2)", self._table, begun_at
        )
        return begun_at

    async def _drop(self, begun_at: datetime) -> str:
        name = self.name(begun_at)
        await self._connection.execute(f"DROP TABLE {name}")
        await self._connection.execute(
            "DELETE FROM partitions WHERE table_name = $1 AND begun_at = $2", self._table, begun_at
        )
        return name
