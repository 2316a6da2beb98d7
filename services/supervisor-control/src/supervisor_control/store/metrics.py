"""Metrics of agents: series, and their points in partitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from flowkit.db import Connection
from flowkit.telemetry import get_log
from supervisor_control.domain.metrics import Point, Series, Steps
from supervisor_control.store.partitions import Partitions, Retention

log = get_log()

TABLE = "metric_points"
_SEEN = timedelta(hours=1)  # seen_at is that coarse, so that it is written rarely
_LOOK_BACK = timedelta(minutes=10)  # a rate begins at the point before; readers export every 60 s

# Between two points a counter has grown by their difference, or by all of the later one when it began anew.
_BUCKETS = """
WITH points AS (
  SELECT p.series_id, p.timestamp, p.value, s.kind,
    lag(p.value) OVER series AS before, lag(p.timestamp) OVER series AS before_at
  FROM metric_points p JOIN unnest($1::bigint[], $2::text[]) AS s (series_id, kind) USING (series_id)
  WHERE p.series_id = ANY($1) AND p.partition_at = ANY($3) AND p.timestamp >= $4 AND p.timestamp < $6
  WINDOW series AS (PARTITION BY p.series_id ORDER BY p.timestamp)
)
SELECT series_id, floor(extract(epoch FROM timestamp - $5) / $7)::int AS step,
  CASE WHEN kind = 'gauge' THEN (array_agg(value ORDER BY timestamp DESC))[1]
  ELSE sum(CASE WHEN kind = 'delta' OR value < before THEN value ELSE value - before END)
    FILTER (WHERE before_at IS NOT NULL)
    / nullif(sum(extract(epoch FROM timestamp - before_at)) FILTER (WHERE before_at IS NOT NULL), 0)::float8
  END AS value
FROM points WHERE timestamp >= $5 GROUP BY series_id, kind, step
"""


@dataclass(frozen=True)
class StoredSeries:
    """A series, with the values of its steps by number of the step."""

    series_id: int
    name: str
    unit: str
    kind: str
    source: str
    attributes_json: str
    values: Mapping[int, float]


class MetricStore:
    """Metrics in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._partitions = Partitions(connection, TABLE)

    async def add(self, points: Mapping[UUID, Sequence[Point]], now: datetime, max_series: int) -> int:
        """Write points of agents; returns how many were left out, being of more series than an agent may have."""
        ids, fresh = await self._series(points, now, max_series)
        begun_at = await self._partitions.current()
        rows: list[tuple[datetime, int, datetime, float]] = []
        left_out = 0
        for uid, of_agent in points.items():
            for point in of_agent:
                series_id = ids.get((uid, point.series.digest))
                if series_id is None:
                    left_out += 1
                    continue
                if series_id in fresh and point.began_at is not None:
                    # Collectors make a counter when it first counts: without its 0 that would not show.
                    fresh.discard(series_id)
                    rows.append((begun_at, series_id, point.began_at, 0.0))
                rows.append((begun_at, series_id, point.timestamp, point.value))
        await self._connection.copy_records_to_table(
            self._partitions.name(begun_at),
            records=rows,
            columns=("partition_at", "series_id", "timestamp", "value"),
        )
        return left_out

    async def _series(
        self, points: Mapping[UUID, Sequence[Point]], now: datetime, max_series: int
    ) -> tuple[dict[tuple[UUID, UUID], int], set[int]]:
        """Ids by agent and digest, and which of them are new."""
        rows = await self._connection.fetch(
            "SELECT instance_uid, digest, series_id, seen_at FROM metric_series WHERE instance_uid = ANY($1::uuid[])",
            list(points),
        )
        ids: dict[tuple[UUID, UUID], int] = {(row["instance_uid"], row["digest"]): row["series_id"] for row in rows}
        long_ago = {row["series_id"] for row in rows if row["seen_at"] < now - _SEEN}
        fresh: dict[tuple[UUID, UUID], Series] = {}
        seen: set[int] = set()
        for uid, of_agent in points.items():
            room = max_series - sum(1 for owner, _ in ids if owner == uid)
            for series in {point.series.digest: point.series for point in of_agent}.values():
                series_id = ids.get((uid, series.digest))
                if series_id is not None:
                    seen.add(series_id)
                elif room > 0:
                    fresh[uid, series.digest] = series
                    room -= 1
        inserted = await self._insert(fresh, now) if fresh else {}
        if seen & long_ago:
            await self._connection.execute(
                "UPDATE metric_series SET seen_at = $2 WHERE series_id = ANY($1::bigint[])",
                sorted(seen & long_ago),
                now,
            )
        return ids | inserted, set(inserted.values())

    async def _insert(self, fresh: Mapping[tuple[UUID, UUID], Series], now: datetime) -> dict[tuple[UUID, UUID], int]:
        columns: list[list[Any]] = [
            [uid for uid, _ in fresh],
            [digest for _, digest in fresh],
            *([getattr(one, name) for one in fresh.values()] for name in ("name", "unit", "kind", "source")),
            [orjson.Fragment(one.attributes) for one in fresh.values()],
        ]
        rows = await self._connection.fetch(
            "INSERT INTO metric_series (instance_uid, digest, name, unit, kind, source, attributes, seen_at)"
            " SELECT u.*, $8 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],"
            " $7::jsonb[]) AS u ON CONFLICT (instance_uid, digest) DO UPDATE SET seen_at = excluded.seen_at"
            " RETURNING instance_uid, digest, series_id",
            *columns,
            now,
        )
        return {(row["instance_uid"], row["digest"]): row["series_id"] for row in rows}

    async def names(self, uid: UUID, since: datetime) -> list[str]:
        """Names of which an agent has had points since then, to the hour."""
        rows = await self._connection.fetch(
            "SELECT DISTINCT name FROM metric_series WHERE instance_uid = $1 AND seen_at >= $2 ORDER BY name",
            uid,
            since - _SEEN,
        )
        return [row["name"] for row in rows]

    async def series(self, uid: UUID, names: Sequence[str], steps: Steps) -> list[StoredSeries]:
        """Series of these names that have values in the steps, by name, then attributes."""
        rows = await self._connection.fetch(
            "SELECT series_id, name, unit, kind, source, attributes::text AS attributes_json FROM metric_series"
            " WHERE instance_uid = $1 AND name = ANY($2::text[]) AND seen_at >= $3 ORDER BY name, attributes_json",
            uid,
            list(names),
            steps.since - _SEEN,
        )
        partitions = await self._partitions.since(steps.since - _LOOK_BACK)
        values: dict[int, dict[int, float]] = {row["series_id"]: {} for row in rows}
        for row in await self._connection.fetch(
            _BUCKETS,
            [row["series_id"] for row in rows],
            [row["kind"] for row in rows],
            partitions,
            steps.since - _LOOK_BACK - timedelta(seconds=steps.seconds),
            steps.since,
            steps.until,
            float(steps.seconds),
        ):
            if row["value"] is not None:
                values[row["series_id"]][row["step"]] = row["value"]
        return [
            StoredSeries(**dict(row.items()), values=values[row["series_id"]])
            for row in rows
            if values[row["series_id"]]
        ]

    async def rename(self, previous: UUID, instance_uid: UUID) -> None:
        """Give an agent's series to its new instance_uid, but for those that it has there already."""
        await self._connection.execute(
            "UPDATE metric_series SET instance_uid = $2 WHERE instance_uid = $1 AND digest NOT IN"
            " (SELECT digest FROM metric_series WHERE instance_uid = $2)",
            previous,
            instance_uid,
        )
        await self.forget(previous)

    async def forget(self, instance_uid: UUID) -> None:
        """Drop an agent's series; the points go with their partitions."""
        await self._connection.execute("DELETE FROM metric_series WHERE instance_uid = $1", instance_uid)

    async def forget_unseen(self, before: datetime) -> None:
        """Drop series without a point since then."""
        await self._connection.execute("DELETE FROM metric_series WHERE seen_at < $1", before)

    async def keep(self, seconds: float, size: int, now: datetime) -> None:
        """End the current partition when it is due; drop those older than `seconds`, and the oldest while all have
        more than `size` bytes."""
        for name in await self._partitions.keep(Retention.of(seconds, size), now):
            log.info("telemetry.partition_dropped", partition=name)
