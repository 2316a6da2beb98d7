"""Supervisors, commands and log records of FlowGate's own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from flowkit.db import Connection, signed, unsigned
from supervisor_control.domain.supervisors import Command, LogRecord, Supervisor
from supervisor_control.store.telemetry import TelemetryStore

_SUPERVISOR = {
    "instance_uid": "uuid",
    "gateway_id": "uuid",
    "capabilities": "bigint",
    "connected_at": "timestamptz",
    "agent_description": "bytea",
    "collector_state": "text",
    "collector_started_at": "timestamptz",
    "collector_starts": "bigint",
    "last_error": "text",
    "last_error_at": "timestamptz",
    "updated_at": "timestamptz",
    "supervisor_started_at": "timestamptz",
    "supervisor_starts": "bigint",
    "is_connected": "boolean",
    "disconnect_reason": "text",
    "transport": "text",
    "credential_id": "text",
    "history": "jsonb",
}
_CONNECTION = {
    "labels": "jsonb",
    "connection_hash": "bytea",
    "connection": "jsonb",
    "offered_at": "timestamptz",
    "wanted_hash": "bytea",
    "wanted_connection": "jsonb",
}
_ALL = ", ".join([*_SUPERVISOR, *_CONNECTION])
_UPSERT = (
    f"INSERT INTO supervisors ({', '.join(_SUPERVISOR)})"
    f" SELECT * FROM unnest({', '.join(f'${n}::{kind}[]' for n, kind in enumerate(_SUPERVISOR.values(), 1))})"
    " ON CONFLICT (instance_uid) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _SUPERVISOR if name != "instance_uid")
)
_SET_CONNECTION = (
    f"UPDATE supervisors s SET {', '.join(f'{name} = u.{name}' for name in _CONNECTION)} FROM unnest($1::uuid[], "
    + ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_CONNECTION.values(), 2))
    + f") AS u (uid, {', '.join(_CONNECTION)}) WHERE s.instance_uid = u.uid"
)
_COMMAND = (
    "command_id, instance_uid, gateway_id, type, state, error, collector_started_at, created_at, created_by,"
    " updated_at, expires_at, traceparent"
)


class SupervisorStore:
    """Supervisors, commands and log records in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load(self, instance_uids: Sequence[UUID], *, lock: bool = True) -> dict[UUID, Supervisor]:
        """Supervisors by uid, locked unless said otherwise; unknown ones are left out. One with capabilities 0 has not
        reported yet."""
        rows = await self._connection.fetch(
            f"SELECT {_ALL} FROM supervisors WHERE instance_uid = ANY($1::uuid[])"
            " ORDER BY instance_uid" + " FOR UPDATE" * lock,
            instance_uids,
        )
        return {row["instance_uid"]: _supervisor(row) for row in rows}

    async def crashed_since(self, since: datetime) -> list[Supervisor]:
        """Supervisors whose collector has crashed since then."""
        rows = await self._connection.fetch(
            f"SELECT {_ALL} FROM supervisors WHERE (history -> 'crashes' ->> -1)::float8 >= $1", since.timestamp()
        )
        return [_supervisor(row) for row in rows]

    async def count_by_collector_state(self, kept: int) -> dict[str, int]:
        """Numbers of connected supervisors that have one of these capabilities, by the state of their collector."""
        rows = await self._connection.fetch(
            "SELECT collector_state, count(*) AS number FROM supervisors WHERE is_connected AND capabilities & $1 <> 0"
            " GROUP BY collector_state",
            kept,
        )
        return {row["collector_state"]: row["number"] for row in rows}

    async def ensure(self, instance_uids: Sequence[UUID]) -> None:
        """Make rows for agents that have none: what the agent reports and what the registry tells of it come in either
        order, and the second has to find the first."""
        await self._connection.execute(
            "INSERT INTO supervisors (instance_uid, capabilities, connected_at, agent_description, collector_state,"
            " collector_starts, last_error, updated_at) SELECT uid, 0, to_timestamp(0), '', 'starting', 0, '',"
            " to_timestamp(0) FROM unnest($1::uuid[]) AS uid ORDER BY uid ON CONFLICT DO NOTHING",
            instance_uids,
        )

    async def save(self, supervisors: Sequence[Supervisor]) -> None:
        """Write what agents reported, of new ones and known ones."""
        columns: list[list[Any]] = [
            [signed(one.capabilities) if name == "capabilities" else getattr(one, name) for one in supervisors]
            for name in _SUPERVISOR
        ]
        await self._connection.execute(_UPSERT, *columns)

    async def save_connections(self, supervisors: Sequence[Supervisor]) -> None:
        """Write labels and connection settings of known agents."""
        columns = [[getattr(one, name) for one in supervisors] for name in _CONNECTION]
        await self._connection.execute(_SET_CONNECTION, [one.instance_uid for one in supervisors], *columns)

    async def open_commands(self, instance_uids: Sequence[UUID]) -> dict[UUID, Command]:
        """Commands that are not settled, by agent; there is at most one each."""
        rows = await self._connection.fetch(
            f"SELECT {_COMMAND} FROM commands WHERE instance_uid = ANY($1::uuid[])"
            " AND state IN ('pending', 'delivered') ORDER BY command_id FOR UPDATE",
            instance_uids,
        )
        return {row["instance_uid"]: Command(**dict(row.items())) for row in rows}

    async def overdue_commands(self, now: datetime, delivered_before: datetime) -> list[Command]:
        """Commands that nobody came for in time, or whose outcome was not seen in time."""
        rows = await self._connection.fetch(
            f"SELECT {_COMMAND} FROM commands WHERE (state = 'pending' AND expires_at <= $1)"
            " OR (state = 'delivered' AND updated_at < $2) ORDER BY command_id FOR UPDATE SKIP LOCKED",
            now,
            delivered_before,
        )
        return [Command(**dict(row.items())) for row in rows]

    async def latest_commands(self, instance_uids: Sequence[UUID]) -> dict[UUID, Command]:
        """Latest command by agent."""
        rows = await self._connection.fetch(
            f"SELECT DISTINCT ON (instance_uid) {_COMMAND} FROM commands WHERE instance_uid = ANY($1::uuid[])"
            " ORDER BY instance_uid, created_at DESC",
            instance_uids,
        )
        return {row["instance_uid"]: Command(**dict(row.items())) for row in rows}

    async def command(self, command_id: UUID) -> Command | None:
        """One command."""
        row = await self._connection.fetchrow(f"SELECT {_COMMAND} FROM commands WHERE command_id = $1", command_id)
        return None if row is None else Command(**dict(row.items()))

    async def add_command(self, command: Command) -> None:
        """Keep a new command."""
        await self._connection.execute(
            f"INSERT INTO commands ({_COMMAND}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            command.command_id,
            command.instance_uid,
            command.gateway_id,
            command.type,
            command.state,
            command.error,
            command.collector_started_at,
            command.created_at,
            command.created_by,
            command.updated_at,
            command.expires_at,
            command.traceparent,
        )

    async def save_commands(self, commands: Sequence[Command]) -> None:
        """Write states and errors."""
        await self._connection.execute(
            "UPDATE commands c SET state = u.state, error = u.error, updated_at = u.updated_at,"
            " collector_started_at = u.started_at, traceparent = u.traceparent FROM unnest($1::uuid[], $2::text[],"
            " $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[]) AS u (id, state, error, updated_at,"
            " started_at, traceparent) WHERE c.command_id = u.id",
            [one.command_id for one in commands],
            [one.state for one in commands],
            [one.error for one in commands],
            [one.updated_at for one in commands],
            [one.collector_started_at for one in commands],
            [one.traceparent for one in commands],
        )

    async def add_records(self, records: Sequence[LogRecord]) -> None:
        """Write what FlowGate itself knows of agents as log records."""
        await TelemetryStore(self._connection).add_own(records)

    async def set_capabilities(self, instance_uid: UUID, capabilities: int) -> None:
        """The agent can do other things than before."""
        await self._connection.execute(
            "UPDATE supervisors SET capabilities = $2 WHERE instance_uid = $1", instance_uid, signed(capabilities)
        )

    async def set_gateway(self, instance_uid: UUID, gateway_id: UUID) -> None:
        """Remember whose instance a supervisor is."""
        await self._connection.execute(
            "UPDATE supervisors SET gateway_id = $2 WHERE instance_uid = $1", instance_uid, gateway_id
        )

    async def rename(self, previous: UUID, instance_uid: UUID) -> None:
        """Give what is known of an agent to its new instance_uid; if that has reported already, its labels only."""
        await self._connection.execute(
            "UPDATE supervisors s SET labels = p.labels FROM supervisors p WHERE s.instance_uid = $2"
            " AND p.instance_uid = $1",
            previous,
            instance_uid,
        )
        await self._connection.execute(
            "DELETE FROM supervisors WHERE instance_uid = $1 AND EXISTS"
            " (SELECT FROM supervisors WHERE instance_uid = $2)",
            previous,
            instance_uid,
        )
        for table in ("supervisors", "commands"):
            await self._connection.execute(
                f"UPDATE {table} SET instance_uid = $2 WHERE instance_uid = $1", previous, instance_uid
            )

    async def forget(self, instance_uid: UUID) -> None:
        """Drop all that is known of an agent."""
        for table in ("supervisors", "commands"):
            await self._connection.execute(f"DELETE FROM {table} WHERE instance_uid = $1", instance_uid)


def _supervisor(row: asyncpg.Record) -> Supervisor:
    values = dict(row.items())
    values["capabilities"] = unsigned(values["capabilities"])
    return Supervisor(**values)
