"""Every SQL statement of agent-registry."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg

from agent_registry.domain import SILENCE, Dirty, Gateway
from agent_registry.listing import HEALTH, PATIENCE, STATUS, Query, page_of
from agent_registry.presence import Heard
from flowkit.db import Connection, signed, unsigned
from flowkit.errors import InvalidError

_SEEN = {"last_seen_at": "timestamptz", "sequence_num": "bigint"}
_HEALTH = {
    "health": "bytea",
    "healthy": "boolean",
    "health_status": "text",
    "last_error": "text",
    "health_since": "timestamptz",
    "started_at": "timestamptz",
}
_REST = {
    "instance_uid": "uuid",
    "default_name": "text",
    "management_mode": "text",
    "supervisor_logs_path": "text",
    "capabilities": "bigint",
    "agent_description": "bytea",
    "description_hash": "bytea",
    "identity_key": "text",
    "attributes": "jsonb",
    "agent_type": "text",
    "version": "text",
    "host_name": "text",
    "os_type": "text",
    "host_arch": "text",
    "components_hash": "bytea",
    "is_connected": "boolean",
    "connection_id": "uuid",
    "connected_at": "timestamptz",
    "disconnected_at": "timestamptz",
    "disconnect_reason": "text",
    "transport": "text",
    "ingress": "text",
    "remote_address": "text",
    "heartbeat_seconds": "integer",
    "archived_at": "timestamptz",
}
_NEW = {"gateway_id": "uuid", "first_seen_at": "timestamptz", **_REST, **_HEALTH, **_SEEN}
_INSERTED = {**_NEW, "labels": "jsonb", "enrollment_token_id": "uuid"}  # reports change neither later on
_BODIES = {"agent_description", "health"}  # never read for a report
_KEPT = _BODIES | {"attributes"}  # null means unchanged
_LOADED = [one.name for one in fields(Gateway) if one.name in _NEW.keys() - _BODIES]
_LOADED_LEAN = [name if name != "attributes" else "NULL::jsonb" for name in _LOADED]
_UNSIGNED = {"capabilities", "sequence_num"}

_DETAIL_COLUMNS = (
    "gateway_id, instance_uid, coalesce(name, default_name) AS name, management_mode::text, supervisor_status,"
    " supervisor_logs_path, labels, capabilities, sequence_num, agent_type, version, host_name, os_type, host_arch,"
    " healthy, health_status, last_error, health_since, started_at, is_connected, connected_at, disconnected_at,"
    " disconnect_reason, transport, ingress, remote_address, heartbeat_seconds, first_seen_at, last_seen_at,"
    " enrollment_token_id"
)
_LOAD_FOR_HEALTH = (
    f"SELECT {', '.join(_LOADED[:6])}, capabilities, is_connected, healthy, last_error, health_since FROM gateways"
    " WHERE instance_uid = ANY($1::uuid[]) FOR NO KEY UPDATE"
)

_IS_AWAY = "(NOT is_connected OR disconnected_at IS NOT NULL)"  # as Gateway.is_away
_STATUS = STATUS.replace("${stale}", "$1")
_GONE = "instance_uid, gateway_id, disconnected_at, disconnect_reason"


@dataclass(frozen=True)
class Counts:
    """Numbers of gateways by group."""

    by_mode: dict[str, int]
    by_status: dict[str, int]
    by_health: dict[str, int]
    by_version: dict[str, int]
    by_config_state: dict[str, int]


def _statement(groups: dict[str, str]) -> str:
    columns = {"gateway_id": "uuid", **groups}
    casts = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), 1))
    sets = ", ".join(
        f"{name} = "
        + (f"coalesce(u.{name}, g.{name})" if name in _KEPT else f"u.{name}")
        + ("::management_mode" if name == "management_mode" else "")
        for name in groups
    )
    return (
        f"UPDATE gateways g SET {sets} FROM unnest({casts}) AS u ({', '.join(columns)})"
        " WHERE g.gateway_id = u.gateway_id"
    )


def _insert() -> str:
    casts = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_INSERTED.values(), 1))
    picks = ", ".join(name + ("::management_mode" if name == "management_mode" else "") for name in _INSERTED)
    names = ", ".join(_INSERTED)
    return f"INSERT INTO gateways ({names}) SELECT {picks} FROM unnest({casts}) AS u ({names})"


_INSERT = _insert()
_UPDATE_ALL = _statement({**_REST, **_HEALTH, **_SEEN})
_UPDATE_HEALTH = _statement({**_HEALTH, **_SEEN})
_UPDATE_SEEN = _statement(_SEEN)


class GatewayStore:
    """Gateways, read and written set-wise in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load(self, instance_uids: Sequence[UUID], *, with_attributes: bool) -> dict[UUID, Gateway]:
        """Gateways by their agent's instance_uid, without the bodies; unknown ones are left out.

        Attributes are only of use beside a new description, and decoding them costs as much as all the rest.
        """
        columns = ", ".join(_LOADED if with_attributes else _LOADED_LEAN)
        rows = await self._connection.fetch(
            f"SELECT {columns} FROM gateways WHERE instance_uid = ANY($1::uuid[]) FOR NO KEY UPDATE",
            instance_uids,
        )
        return {row["instance_uid"]: _gateway(row) for row in rows}

    async def load_for_health(self, instance_uids: Sequence[UUID]) -> dict[UUID, Gateway]:
        """The same with no more than `domain.only_health` and `domain.apply_health` need: a third of the cost."""
        rows = await self._connection.fetch(_LOAD_FOR_HEALTH, instance_uids)
        gateways: dict[UUID, Gateway] = {}
        for row in rows:
            gateway = Gateway(*row[:6])
            gateway.capabilities = unsigned(row[6])
            gateway.is_connected, gateway.healthy, gateway.last_error, gateway.health_since = row[7:]
            gateways[gateway.instance_uid] = gateway
        return gateways

    async def find_offline_extension(self, identity_key: str) -> list[Gateway]:
        """Up to two extension gateways that are not connected and have this identity."""
        rows = await self._connection.fetch(
            f"SELECT {', '.join(_LOADED)} FROM gateways WHERE identity_key = $1 AND {_IS_AWAY}"
            " AND management_mode = 'extension' LIMIT 2 FOR NO KEY UPDATE",
            identity_key,
        )
        return [_gateway(row) for row in rows]

    async def has_connected_extension(self, identity_key: str) -> bool:
        """Whether a connected extension gateway has this identity."""
        found = await self._connection.fetchval(
            f"SELECT true FROM gateways WHERE identity_key = $1 AND NOT {_IS_AWAY} AND management_mode = 'extension'"
            " LIMIT 1",
            identity_key,
        )
        return bool(found)

    async def find_young_twin(self, identity_key: str, since: datetime) -> Gateway | None:
        """The one connected extension gateway with this identity, if it was first seen since then; with bodies.

        None also when more than one gateway with the identity is away: nobody could tell which of them came back.
        """
        rows = await self._connection.fetch(
            f"SELECT {', '.join(_LOADED)}, agent_description, health FROM gateways WHERE identity_key = $1"
            " AND management_mode = 'extension' AND (is_connected OR archived_at IS NULL) LIMIT 3 FOR UPDATE",
            identity_key,
        )
        twins = [_gateway(row) for row in rows]
        connected = [one for one in twins if not one.is_away and one.first_seen_at >= since]
        return connected[0] if len(connected) == 1 and len(twins) == 2 else None

    async def replace(self, former: UUID, twin: Gateway) -> None:
        """Let the gateway `former` be what `twin` is now; its id, name, labels and first day stay, the twin's go."""
        await self.delete(twin.gateway_id)
        twin.gateway_id = former
        twin.dirty = Dirty.REST
        await self.save([twin])

    async def save(self, gateways: Sequence[Gateway]) -> None:
        """Write what is dirty, each group of columns in one statement."""
        new = [one for one in gateways if one.dirty & Dirty.NEW]
        old = [one for one in gateways if not one.dirty & Dirty.NEW]
        rest = [one for one in old if one.dirty & Dirty.REST]
        health = [one for one in old if one.dirty & Dirty.HEALTH and not one.dirty & Dirty.REST]
        seen = [one for one in old if one.dirty == Dirty.SEEN]
        for rows, statement, columns in (
            (new, _INSERT, _INSERTED),
            (rest, _UPDATE_ALL, {"gateway_id": "", **_REST, **_HEALTH, **_SEEN}),
            (health, _UPDATE_HEALTH, {"gateway_id": "", **_HEALTH, **_SEEN}),
            (seen, _UPDATE_SEEN, {"gateway_id": "", **_SEEN}),
        ):
            if rows:
                await self._connection.execute(statement, *(_column(rows, name) for name in columns))

    async def add_components(self, components: dict[bytes, bytes]) -> None:
        """Remember component lists by the hash that agents made of them."""
        await self._connection.execute(
            "INSERT INTO available_components (hash, components) SELECT * FROM unnest($1::bytea[], $2::bytea[])"
            " ON CONFLICT (hash) DO UPDATE SET components = excluded.components"
            " WHERE available_components.components <> excluded.components",
            list(components),
            list(components.values()),
        )

    async def get(self, gateway_or_instance: UUID) -> asyncpg.Record | None:
        """One gateway by either id, with bodies and components."""
        return await self._connection.fetchrow(
            f"SELECT {_DETAIL_COLUMNS}, agent_description, health, components FROM gateways"
            " LEFT JOIN available_components ON hash = components_hash"
            " WHERE (gateway_id = $1 OR instance_uid = $1) AND archived_at IS NULL",
            gateway_or_instance,
        )

    async def page(self, query: Query) -> tuple[list[asyncpg.Record], str, int]:
        """Gateways of one page, the cursor of the next one ("" on the last), and how many match over all pages.

        Raises:
            InvalidError: sort or cursor make no sense.
        """
        statement, arguments = query.statement(_DETAIL_COLUMNS)
        try:
            rows = await self._connection.fetch(statement, *arguments)
        except asyncpg.DataError as error:
            raise InvalidError("cursor belongs to another sort order; start from the first page") from error
        return *page_of([row for row in rows if row["gateway_id"] is not None], query), int(rows[0]["total"])

    async def set_name_and_labels(self, gateway_id: UUID, name: str | None, labels: dict[str, str]) -> None:
        """Overwrite an operator's name (None: none) and labels."""
        await self._connection.execute(
            "UPDATE gateways SET name = $2, labels = $3 WHERE gateway_id = $1", gateway_id, name, labels
        )

    async def named(self, gateway_or_instance: UUID) -> asyncpg.Record | None:
        """What operators gave a gateway, to be changed: `gateway_id`, `name` (null: none) and `labels`; locked."""
        return await self._connection.fetchrow(
            "SELECT gateway_id, name, labels FROM gateways WHERE (gateway_id = $1 OR instance_uid = $1)"
            " AND archived_at IS NULL FOR NO KEY UPDATE",
            gateway_or_instance,
        )

    async def delete(self, gateway_id: UUID) -> None:
        """Take a gateway out for good."""
        await self._connection.execute("DELETE FROM gateways WHERE gateway_id = $1", gateway_id)

    async def set_supervisor_status(self, instance_uid: UUID, status: dict[str, Any]) -> None:
        """Keep the last status of a supervisor."""
        await self._connection.execute(
            "UPDATE gateways SET supervisor_status = $2 WHERE instance_uid = $1", instance_uid, status
        )

    async def set_config_state(self, instance_uid: UUID, gateway_id: UUID | None, state: str) -> None:
        """Keep how far the latest configuration got; the agent may have another instance_uid by now."""
        await self._connection.execute(
            "UPDATE gateways SET config_state = $3 WHERE instance_uid = $1 OR gateway_id = $2",
            instance_uid,
            gateway_id,
            state,
        )

    async def sizes(self, stale_before: datetime) -> list[asyncpg.Record]:
        """Number of gateways of the fleet by `mode`, `status` and `health`."""
        return await self._connection.fetch(
            f"SELECT management_mode::text AS mode, {_STATUS} AS status, {HEALTH} AS health, count(*) AS number"
            " FROM gateways WHERE archived_at IS NULL GROUP BY 1, 2, 3",
            stale_before,
        )

    async def counts(self, stale_before: datetime) -> Counts:
        """Gateways of the fleet by mode, status, health, version and state of the latest configuration."""
        rows = await self._connection.fetch(
            f"SELECT management_mode::text AS mode, version, {_STATUS} AS status, {HEALTH} AS health, config_state,"
            " count(*) AS number FROM gateways WHERE archived_at IS NULL GROUP BY 1, 2, 3, 4, 5",
            stale_before,
        )
        counts = Counts({}, {}, {}, {}, {})
        for row in rows:
            for group, key in (
                (counts.by_mode, row["mode"]),
                (counts.by_status, row["status"]),
                (counts.by_health, row["health"]),
                (counts.by_version, row["version"]),
                (counts.by_config_state, row["config_state"]),
            ):
                if key is not None:
                    group[key] = group.get(key, 0) + row["number"]
        return counts

    async def component_sets(self, instance_uids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Agents with the same component list together, most first: `components` (null: not told) and `uids`."""
        return await self._connection.fetch(
            "SELECT c.components, g.uids FROM (SELECT components_hash, array_agg(instance_uid ORDER BY instance_uid)"
            " AS uids FROM gateways WHERE instance_uid = ANY($1::uuid[]) AND archived_at IS NULL"
            " GROUP BY components_hash) g LEFT JOIN available_components c ON c.hash = g.components_hash"
            " ORDER BY cardinality(g.uids) DESC",
            instance_uids,
        )

    async def labels(self, text: str, limit: int) -> list[asyncpg.Record]:
        """Labels of the fleet that hold a text, as `key`, `value` and `number` of gateways, most first."""
        return await self._connection.fetch(
            "SELECT key, value, count(*) AS number FROM gateways, jsonb_each_text(labels)"
            " WHERE archived_at IS NULL AND strpos(lower(key || '=' || value), lower($1)) > 0"
            " GROUP BY key, value ORDER BY number DESC, key, value LIMIT $2",
            text,
            limit,
        )

    async def record_seen(self, heard: Sequence[Heard], coarse_seconds: float) -> None:
        """Write presence of connected agents, but only where the stored time is older than `coarse_seconds`.

        A row that is locked gets a report just now, and is left out: to wait could be a deadlock.
        """
        await self._connection.execute(
            "WITH old AS (SELECT g.gateway_id, u.seen FROM gateways g JOIN unnest($1::uuid[], $2::float8[])"
            " AS u (uid, seen) ON g.instance_uid = u.uid WHERE g.is_connected"
            " AND g.last_seen_at < to_timestamp(u.seen) - make_interval(secs => $3)"
            " FOR NO KEY UPDATE OF g SKIP LOCKED)"
            " UPDATE gateways g SET last_seen_at = to_timestamp(old.seen) FROM old WHERE g.gateway_id = old.gateway_id",
            [UUID(bytes=one.uid) for one in heard],
            [one.at for one in heard],
            coarse_seconds,
        )

    async def reconnect_heard(self, heard: Sequence[Heard]) -> list[asyncpg.Record]:
        """Take back `disconnect_silent` of agents that are there all the same, on the connection that is known; returns
        ids, transport and ingress of each."""
        return await self._connection.fetch(
            "WITH back AS (SELECT g.gateway_id, u.seen FROM gateways g"
            " JOIN unnest($1::uuid[], $2::float8[], $3::text[]) AS u (uid, seen, ingress)"
            " ON g.instance_uid = u.uid AND g.ingress = u.ingress"
            f" WHERE g.disconnect_reason = '{SILENCE}' AND NOT g.is_connected FOR NO KEY UPDATE OF g SKIP LOCKED)"
            " UPDATE gateways g SET is_connected = true, disconnected_at = NULL, disconnect_reason = '',"
            " archived_at = NULL, last_seen_at = to_timestamp(back.seen) FROM back WHERE g.gateway_id = back.gateway_id"
            " RETURNING g.instance_uid, g.gateway_id, g.transport, g.ingress",
            [UUID(bytes=one.uid) for one in heard],
            [one.at for one in heard],
            [one.ingress for one in heard],
        )

    async def unknown(self, instance_uids: Sequence[UUID]) -> list[UUID]:
        """Those of the agents that no gateway has."""
        rows = await self._connection.fetch(
            "SELECT u.uid FROM unnest($1::uuid[]) AS u (uid)"
            " WHERE NOT EXISTS (SELECT FROM gateways g WHERE g.instance_uid = u.uid)",
            instance_uids,
        )
        return [row["uid"] for row in rows]

    async def undescribed(self) -> list[UUID]:
        """Connected agents of which no description is known."""
        rows = await self._connection.fetch(
            "SELECT instance_uid FROM gateways WHERE is_connected AND description_hash IS NULL"
        )
        return [row["instance_uid"] for row in rows]

    async def silent(self, seen_before: datetime) -> list[UUID]:
        """Connected agents of which nothing is written since then, each being given the patience that is due to it."""
        rows = await self._connection.fetch(
            f"SELECT instance_uid FROM gateways WHERE is_connected AND last_seen_at < $1::timestamptz - {PATIENCE}"
            " FOR NO KEY UPDATE SKIP LOCKED",
            seen_before,
        )
        return [row["instance_uid"] for row in rows]

    async def disconnect_silent(self, instance_uids: Sequence[UUID], now: datetime) -> list[asyncpg.Record]:
        """Mark agents as gone of which nothing was heard; returns `_GONE` of each."""
        return await self._connection.fetch(
            f"UPDATE gateways SET is_connected = false, disconnected_at = $2, disconnect_reason = '{SILENCE}'"
            f" WHERE instance_uid = ANY($1::uuid[]) RETURNING {_GONE}",
            instance_uids,
            now,
        )

    async def disconnect_drained(self, closed_before: datetime) -> list[asyncpg.Record]:
        """Mark as gone whose connection was closed at its ingress's end before then; returns `_GONE` of each."""
        return await self._connection.fetch(
            f"UPDATE gateways SET is_connected = false WHERE is_connected AND disconnected_at < $1 RETURNING {_GONE}",
            closed_before,
        )

    async def archive(
        self, now: datetime, gone_before: datetime, extension_gone_before: datetime
    ) -> list[asyncpg.Record]:
        """Take gateways out of the fleet that are offline for too long; returns their ids."""
        return await self._connection.fetch(
            "UPDATE gateways SET archived_at = $1 WHERE NOT is_connected AND archived_at IS NULL AND"
            " disconnected_at < CASE WHEN management_mode = 'extension' THEN $3::timestamptz ELSE $2 END"
            " RETURNING instance_uid, gateway_id",
            now,
            gone_before,
            extension_gone_before,
        )

    async def delete_archived(self, archived_before: datetime) -> list[asyncpg.Record]:
        """Take out for good what left the fleet before then; returns ids."""
        return await self._connection.fetch(
            "DELETE FROM gateways WHERE archived_at < $1 RETURNING instance_uid, gateway_id", archived_before
        )

    async def delete_unused_components(self) -> None:
        """Drop component lists that no gateway names."""
        await self._connection.execute(
            "DELETE FROM available_components c WHERE NOT EXISTS"
            " (SELECT FROM gateways g WHERE g.components_hash = c.hash)"
        )


def _gateway(row: asyncpg.Record) -> Gateway:
    gateway = Gateway(*row)  # columns come in the order of the fields, bodies last
    gateway.capabilities = unsigned(gateway.capabilities)
    gateway.sequence_num = unsigned(gateway.sequence_num)
    return gateway


def _column(gateways: Sequence[Gateway], name: str) -> list[Any]:
    values = list(map(attrgetter(name), gateways))
    return [signed(value) for value in values] if name in _UNSIGNED else values
