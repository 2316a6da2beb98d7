"""Log records of agents, and when each was heard of last."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from flowkit.db import Connection
from flowkit.telemetry import get_log
from supervisor_control.domain.paging import Page, StoredRecord, merged
from supervisor_control.domain.supervisors import LogRecord
from supervisor_control.domain.telemetry import LogRow, Place, Wanted, attributes_json, body_text
from supervisor_control.store.partitions import Partitions, Retention

log = get_log()

TABLE = "agent_logs"
_COLUMNS = ("partition_at", "transaction_id", "instance_uid", *LogRow._fields)
_SELECTED = "timestamp, id, transaction_id, severity_number, source, scope, body, attributes::text AS attributes_json"
_EXAMINED = 20_000  # records that a page looks at; with a rare text the page ends there, empty or not
# The condition of an index, word for word: an agent's flood of records does not make them slower to find.
_SUPERVISOR_ERRORS = "source = 'supervisor' AND severity_number >= 17 AND NOT attributes ? 'event'"
_NUMBERS = {"INFO": 9, "WARN": 13, "ERROR": 17}
_AFTER_ALL = datetime(9999, 1, 1, tzinfo=UTC)


class TelemetryStore:
    """Log records in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._partitions = Partitions(connection, TABLE)
        self._target: tuple[datetime, int] | None = None

    async def add(self, rows: Iterable[tuple[UUID, LogRow]]) -> None:
        """Write records, each of an agent."""
        begun_at, transaction_id = await self._written_to()
        await self._connection.copy_records_to_table(
            self._partitions.name(begun_at),
            records=((begun_at, transaction_id, uid, *row[:-1], orjson.Fragment(row.attributes)) for uid, row in rows),
            columns=_COLUMNS,
        )

    async def add_own(self, records: Sequence[LogRecord]) -> None:
        """Write what FlowGate itself knows of agents."""
        await self.add((record.instance_uid, _own(record)) for record in records)

    async def _written_to(self) -> tuple[datetime, int]:
        if self._target is None:
            begun_at = await self._partitions.current()
            transaction_id = await self._connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
            self._target = begun_at, transaction_id
        return self._target

    async def newest_first(self, uid: UUID, wanted: Wanted, behind: Place | None, limit: int) -> Page:
        """A page of an agent's records by their time, newest first."""
        partitions = await self._partitions.since(wanted.since)
        bound = behind or Place(_AFTER_ALL, 0, 0)
        pages = [
            await self._page(
                span,
                "partition_at = ANY($2) AND (timestamp, id) < ($3, $4)"
                " AND ($5::timestamptz IS NULL OR timestamp >= $5) AND ($6::timestamptz IS NULL OR timestamp < $6)",
                "timestamp DESC, id DESC",
                [partitions, bound.timestamp, bound.id, wanted.since, wanted.until],
                wanted,
                limit,
            )
            for span in await self._spans(uid)
        ]
        return merged(pages, limit, key=lambda place: (place.timestamp, place.id), is_descending=True)

    async def last_error_of_supervisor(self, uid: UUID, since: datetime) -> StoredRecord | None:
        """The last error in a supervisor's own log; what FlowGate noted of it is none."""
        partitions = await self._partitions.since(since)
        found = [
            await self._connection.fetchrow(
                f"SELECT {_SELECTED} FROM agent_logs WHERE {_SUPERVISOR_ERRORS}"
                " AND instance_uid = $1 AND partition_at = ANY($2) AND timestamp >= $3"
                " AND received_at >= coalesce($4::timestamptz, '-infinity')"
                " AND received_at < coalesce($5::timestamptz, 'infinity')"
                " ORDER BY timestamp DESC, id DESC LIMIT 1",
                stored_uid,
                partitions,
                since,
                begin,
                end,
            )
            for stored_uid, begin, end in await self._spans(uid)
        ]
        return max((_record(row) for row in found if row), key=lambda one: one.place[:2], default=None)

    async def oldest_first(self, uid: UUID, wanted: Wanted, behind: Place, limit: int) -> Page:
        """A page of what was committed behind a place, in that order; at its end `next` is where to go on.

        What a transaction wrote shows when every older transaction has ended too, so that nothing is passed by.
        """
        partitions = await self._partitions.since(None)
        horizon = await self.horizon()
        pages = [
            await self._page(
                span,
                "partition_at = ANY($2) AND (transaction_id, id) > ($3, $4) AND transaction_id < $5",
                "transaction_id, id",
                [partitions, behind.transaction_id, behind.id, horizon.transaction_id],
                wanted,
                limit,
            )
            for span in await self._spans(uid)
        ]
        page = merged(pages, limit, key=lambda place: (place.transaction_id, place.id), is_descending=False)
        return page if page.next is not None else Page(page.records, max(horizon, behind, key=lambda one: one[2]))

    async def horizon(self) -> Place:
        """The place behind all that has been committed."""
        row = await self._connection.fetchrow(
            "SELECT clock_timestamp() AS now, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin"
        )
        assert row is not None
        return Place(row["now"], 0, row["xmin"])

    async def _page(
        self, span: Sequence[Any], where: str, order: str, bounds: list[Any], wanted: Wanted, limit: int
    ) -> Page:
        """Records of one span. The inner query bounds what is looked at, the outer one filters it."""
        uid, begin, end = span
        values = [uid, *bounds]
        if begin is not None:
            values.append(begin)
            where += f" AND received_at >= ${len(values)}"
        if end is not None:
            values.append(end)
            where += f" AND received_at < ${len(values)}"
        examined = f"FROM agent_logs WHERE instance_uid = $1 AND {where} ORDER BY {order}"
        asked = list(values)
        filters = ["true"]
        for clause, value in (
            ("severity_number >= ${}", wanted.min_severity_number),
            ("source = ${}", wanted.source),
            ("position(lower(${}) in lower(body)) > 0", wanted.q),
        ):
            if value:
                asked.append(value)
                filters.append(clause.format(len(asked)))
        is_filtered = len(filters) > 1
        inner = _EXAMINED if is_filtered else limit + 1
        rows = await self._connection.fetch(
            f"SELECT * FROM (SELECT {_SELECTED} {examined} LIMIT {inner}) AS examined"
            f" WHERE {' AND '.join(filters)} ORDER BY {order} LIMIT {limit + 1}",
            *asked,
        )
        records = [_record(row) for row in rows]
        if len(records) > limit:
            return Page(records[:limit], records[limit - 1].place)
        if is_filtered:
            last = await self._connection.fetchrow(
                f"SELECT timestamp, id, transaction_id {examined} OFFSET {_EXAMINED - 1} LIMIT 1", *values
            )
            if last is not None:
                return Page(records, Place(*last))
        return Page(records, None)

    async def _spans(self, uid: UUID) -> list[tuple[UUID, datetime | None, datetime | None]]:
        """Under which uids an agent's records lie, and from when until when they were received."""
        rows = await self._connection.fetch(
            "SELECT stored_uid, until, instance_uid, lag(until) OVER (PARTITION BY stored_uid ORDER BY until) AS begin"
            " FROM former_uids WHERE stored_uid IN (SELECT stored_uid FROM former_uids WHERE instance_uid = $1)"
            " OR stored_uid = $1",
            uid,
        )
        begin = max((row["until"] for row in rows if row["stored_uid"] == uid), default=None)
        former = [(row["stored_uid"], row["begin"], row["until"]) for row in rows if row["instance_uid"] == uid]
        return [(uid, begin, None), *former]

    async def rename(self, previous: UUID, instance_uid: UUID, at: datetime) -> None:
        """What was received of an agent so far is that of its new instance_uid from now on."""
        await self._end(previous, at, instance_uid)
        await self._connection.execute(
            "UPDATE former_uids SET instance_uid = $2 WHERE instance_uid = $1", previous, instance_uid
        )

    async def forget(self, instance_uid: UUID, at: datetime) -> None:
        """What was received of an agent so far is nobody's any more; it goes with its partitions."""
        await self._connection.execute(
            "UPDATE former_uids SET instance_uid = NULL WHERE instance_uid = $1", instance_uid
        )
        await self._end(instance_uid, at, None)
        await self._connection.execute("DELETE FROM telemetry_agents WHERE instance_uid = $1", instance_uid)

    async def _end(self, stored_uid: UUID, at: datetime, instance_uid: UUID | None) -> None:
        await self._connection.execute(
            "INSERT INTO former_uids (stored_uid, until, instance_uid) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            stored_uid,
            at,
            instance_uid,
        )

    async def forget_former(self, before: datetime) -> None:
        """Drop the memory of uids whose records are all gone."""
        await self._connection.execute("DELETE FROM former_uids WHERE until < $1", before)

    async def received(self, at: Mapping[UUID, datetime]) -> None:
        """Remember when agents were heard of."""
        uids = sorted(at)
        await self._connection.execute(
            "INSERT INTO telemetry_agents AS a (instance_uid, last_received_at)"
            " SELECT * FROM unnest($1::uuid[], $2::timestamptz[])"
            " ON CONFLICT (instance_uid) DO UPDATE SET last_received_at = excluded.last_received_at"
            " WHERE a.last_received_at < excluded.last_received_at - interval '1 second'",
            uids,
            [at[uid] for uid in uids],
        )

    async def last_received(self, uids: Sequence[UUID]) -> dict[UUID, datetime]:
        """When own telemetry of these agents came last, to the second; those of which none came are left out."""
        rows = await self._connection.fetch(
            "SELECT instance_uid, last_received_at FROM telemetry_agents WHERE instance_uid = ANY($1::uuid[])", uids
        )
        return {row["instance_uid"]: row["last_received_at"] for row in rows}

    async def keep(self, seconds: float, size: int, now: datetime) -> None:
        """End the current partition when it is due; drop those older than `seconds`, and the oldest while all have
        more than `size` bytes."""
        for name in await self._partitions.keep(Retention.of(seconds, size), now):
            log.info("telemetry.partition_dropped", partition=name)


def _own(record: LogRecord) -> LogRow:
    return LogRow(
        timestamp=record.timestamp,
        received_at=record.timestamp,
        severity_number=_NUMBERS[record.severity],
        source=record.source,
        scope="flowgate",
        body=body_text(record.body),
        attributes=attributes_json(dict(record.attributes)),
    )


def _record(row: asyncpg.Record) -> StoredRecord:
    return StoredRecord(
        place=Place(row["timestamp"], row["id"], row["transaction_id"]),
        severity_number=row["severity_number"],
        source=row["source"],
        scope=row["scope"],
        body=row["body"],
        attributes_json=row["attributes_json"],
    )
