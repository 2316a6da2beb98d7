"""Bulk operations and their targets."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from flowkit.db import Connection, signed, unsigned
from supervisor_control.domain.operations import Operation, Target
from supervisor_control.domain.supervisors import Command

_OPERATION = [one.name for one in fields(Operation)]
_OPERATION_COLUMNS = ", ".join(_OPERATION)
_TARGET_COLUMNS = ", ".join(one.name for one in fields(Target))
_COMMAND = {
    "command_id": "uuid",
    "instance_uid": "uuid",
    "gateway_id": "uuid",
    "type": "text",
    "state": "text",
    "error": "text",
    "collector_started_at": "timestamptz",
    "created_at": "timestamptz",
    "created_by": "text",
    "updated_at": "timestamptz",
    "expires_at": "timestamptz",
    "traceparent": "text",
}


class OperationStore:
    """Bulk operations in the transaction of a connection.

    Whoever changes targets holds the lock of their operation first (`locked`), so that counts and targets agree and
    nobody waits in a circle.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, operation: Operation, targets: Sequence[Target]) -> None:
        """Keep a new operation."""
        values = ", ".join(f"${number}" for number in range(1, len(_OPERATION) + 1))
        await self._connection.execute(
            f"INSERT INTO operations ({_OPERATION_COLUMNS}) VALUES ({values})",
            *(getattr(operation, name) for name in _OPERATION),
        )
        await self._connection.execute(
            "INSERT INTO operation_targets (operation_id, position, instance_uid, gateway_id, name, capabilities,"
            " state, reason, updated_at) SELECT $1, * FROM unnest($2::int[], $3::uuid[], $4::uuid[], $5::text[],"
            " $6::bigint[], $7::text[], $8::text[], $9::timestamptz[])",
            operation.operation_id,
            [one.position for one in targets],
            [one.instance_uid for one in targets],
            [one.gateway_id for one in targets],
            [one.name for one in targets],
            [signed(one.capabilities) for one in targets],
            [one.state for one in targets],
            [one.reason for one in targets],
            [one.updated_at for one in targets],
        )

    async def locked(self, operation_ids: Sequence[UUID]) -> list[Operation]:
        """Operations, locked in one order over all replicas until the transaction ends."""
        rows = await self._connection.fetch(
            f"SELECT {_OPERATION_COLUMNS} FROM operations WHERE operation_id = ANY($1::uuid[])"
            " ORDER BY operation_id FOR UPDATE",
            operation_ids,
        )
        return [_operation(row) for row in rows]

    async def save(self, operation: Operation) -> None:
        """Write state and counts."""
        await self._connection.execute(
            "UPDATE operations SET state = $2, updated_at = $3, waiting = $4, running = $5, succeeded = $6,"
            " failed = $7, skipped = $8 WHERE operation_id = $1",
            operation.operation_id,
            operation.state,
            operation.updated_at,
            operation.waiting,
            operation.running,
            operation.succeeded,
            operation.failed,
            operation.skipped,
        )

    async def get(self, operation_id: UUID) -> tuple[Operation, list[Target]] | None:
        """One operation with its targets, in the order in which they are begun.

        One statement, so that they agree; and no lock: whoever asks often would keep the operation from getting on.
        """
        rows = await self._connection.fetch(
            f"SELECT {', '.join(f'o.{name} AS o_{name}' for name in _OPERATION)},"
            f" {', '.join(f't.{one.name} AS t_{one.name}' for one in fields(Target))}"
            " FROM operations o LEFT JOIN operation_targets t USING (operation_id)"
            " WHERE o.operation_id = $1 ORDER BY t.position",
            operation_id,
        )
        if not rows:
            return None
        operation = _operation({name: rows[0][f"o_{name}"] for name in _OPERATION})
        targets = [{one.name: row[f"t_{one.name}"] for one in fields(Target)} for row in rows]
        return operation, [_target(one) for one in targets if one["position"] is not None]

    async def bare(self, operation_id: UUID) -> Operation | None:
        """One operation without its targets."""
        row = await self._connection.fetchrow(
            f"SELECT {_OPERATION_COLUMNS} FROM operations WHERE operation_id = $1", operation_id
        )
        return None if row is None else _operation(row)

    async def page(
        self, operation_id: UUID, states: Sequence[str], q: str, after: int, limit: int
    ) -> tuple[list[Target], int]:
        """Targets behind a position, and how many match over all positions."""
        where = (
            "operation_id = $1 AND ($2::text[] = '{}' OR state = ANY($2::text[]))"
            " AND concat_ws(' ', name, instance_uid, gateway_id, reason) ILIKE $3"
        )
        like = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = await self._connection.fetch(
            f"SELECT {_TARGET_COLUMNS} FROM operation_targets WHERE {where} AND position > $4"
            " ORDER BY position LIMIT $5",
            operation_id,
            states,
            like,
            after,
            limit,
        )
        total = await self._connection.fetchval(
            f"SELECT count(*) FROM operation_targets WHERE {where}", operation_id, states, like
        )
        return [_target(row) for row in rows], int(total)

    async def targets(self, operation_id: UUID) -> list[Target]:
        """Targets of an operation, in the order in which they are begun."""
        rows = await self._connection.fetch(
            f"SELECT {_TARGET_COLUMNS} FROM operation_targets WHERE operation_id = $1 ORDER BY position", operation_id
        )
        return [_target(row) for row in rows]

    async def latest(self, limit: int) -> list[Operation]:
        """The latest operations, newest first."""
        rows = await self._connection.fetch(
            f"SELECT {_OPERATION_COLUMNS} FROM operations ORDER BY created_at DESC, operation_id LIMIT $1", limit
        )
        return [_operation(row) for row in rows]

    async def of_orders(self, order_ids: Sequence[UUID]) -> list[UUID]:
        """Operations with a running target that one of these commands or deliveries belongs to."""
        rows = await self._connection.fetch(
            "SELECT DISTINCT operation_id FROM operation_targets WHERE state = 'running'"
            " AND order_id = ANY($1::uuid[])",
            order_ids,
        )
        return [row["operation_id"] for row in rows]

    async def sizes(self) -> tuple[int, int, int]:
        """Operations that are not over, and their waiting and running targets."""
        row = await self._connection.fetchrow(
            "SELECT count(*), coalesce(sum(waiting), 0), coalesce(sum(running), 0) FROM operations"
            " WHERE waiting > 0 OR running > 0"
        )
        return (int(row[0]), int(row[1]), int(row[2])) if row is not None else (0, 0, 0)

    async def running(self, operation_id: UUID, order_ids: Sequence[UUID]) -> list[Target]:
        """Running targets of an operation that these commands or deliveries belong to."""
        rows = await self._connection.fetch(
            f"SELECT {_TARGET_COLUMNS} FROM operation_targets WHERE state = 'running' AND order_id = ANY($2::uuid[])"
            " AND operation_id = $1",
            operation_id,
            order_ids,
        )
        return [_target(row) for row in rows]

    async def next_waiting(self, operation_id: UUID, count: int) -> list[Target]:
        """The next targets whose turn it is."""
        rows = await self._connection.fetch(
            f"SELECT {_TARGET_COLUMNS} FROM operation_targets WHERE operation_id = $1 AND state = 'waiting'"
            " ORDER BY position LIMIT $2",
            operation_id,
            count,
        )
        return [_target(row) for row in rows]

    async def save_targets(self, operation_id: UUID, targets: Sequence[Target]) -> None:
        """Write states, reasons and orders."""
        await self._connection.execute(
            "UPDATE operation_targets t SET state = u.state, reason = u.reason, updated_at = u.updated_at,"
            " order_id = u.order_id FROM unnest($2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[])"
            " AS u (position, state, reason, updated_at, order_id)"
            " WHERE t.operation_id = $1 AND t.position = u.position",
            operation_id,
            [one.position for one in targets],
            [one.state for one in targets],
            [one.reason for one in targets],
            [one.updated_at for one in targets],
            [one.order_id for one in targets],
        )

    async def skip_waiting(self, operation_id: UUID, reason: str, at: datetime) -> int:
        """Skip every target that waits; returns how many they were."""
        done = await self._connection.execute(
            "UPDATE operation_targets SET state = 'skipped', reason = $2, updated_at = $3"
            " WHERE operation_id = $1 AND state = 'waiting'",
            operation_id,
            reason,
            at,
        )
        return int(done.rpartition(" ")[2])

    async def with_open_command(self, instance_uids: Sequence[UUID]) -> set[UUID]:
        """Those of the agents that a command is under way for; not locked."""
        rows = await self._connection.fetch(
            "SELECT instance_uid FROM commands WHERE instance_uid = ANY($1::uuid[])"
            " AND state IN ('pending', 'delivered')",
            instance_uids,
        )
        return {row["instance_uid"] for row in rows}

    async def add_commands(self, commands: Sequence[Command]) -> set[UUID]:
        """Keep new commands; returns the ids of those for whose agent none was under way."""
        ordered = sorted(commands, key=lambda one: one.instance_uid)
        casts = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COMMAND.values(), 1))
        rows = await self._connection.fetch(
            f"INSERT INTO commands ({', '.join(_COMMAND)}) SELECT * FROM unnest({casts})"
            " ON CONFLICT DO NOTHING RETURNING command_id",
            *([getattr(one, name) for one in ordered] for name in _COMMAND),
        )
        return {row["command_id"] for row in rows}

    async def unfinished(self) -> list[UUID]:
        """Operations with targets that have no outcome yet."""
        rows = await self._connection.fetch(
            "SELECT operation_id FROM operations WHERE waiting > 0 OR running > 0 ORDER BY operation_id"
        )
        return [row["operation_id"] for row in rows]

    async def settled_commands(self, operation_id: UUID) -> list[Command]:
        """Commands of running targets that have an outcome nobody looked at."""
        rows = await self._connection.fetch(
            f"SELECT {', '.join('c.' + name for name in _COMMAND)} FROM operation_targets t"
            " JOIN commands c ON c.command_id = t.order_id WHERE t.operation_id = $1 AND t.state = 'running'"
            " AND c.state NOT IN ('pending', 'delivered')",
            operation_id,
        )
        return [Command(**dict(row.items())) for row in rows]

    async def overdue(self, operation_id: UUID, begun_before: datetime) -> list[Target]:
        """Running targets that were begun before then, but for those whose command is open: that ends by itself."""
        rows = await self._connection.fetch(
            f"SELECT {_TARGET_COLUMNS} FROM operation_targets t WHERE operation_id = $1 AND state = 'running'"
            " AND updated_at < $2 AND NOT EXISTS (SELECT FROM commands c WHERE c.command_id = t.order_id"
            " AND c.state IN ('pending', 'delivered'))",
            operation_id,
            begun_before,
        )
        return [_target(row) for row in rows]

    async def rename(self, previous: UUID, instance_uid: UUID) -> None:
        """Give the agent's part in operations that go on to its new instance_uid."""
        await self._connection.execute(
            "UPDATE operation_targets t SET instance_uid = $2 WHERE instance_uid = $1 AND state = 'waiting' AND NOT"
            " EXISTS (SELECT FROM operation_targets o WHERE o.operation_id = t.operation_id AND o.instance_uid = $2)",
            previous,
            instance_uid,
        )

    async def delete_old(self, before: datetime) -> None:
        """Forget operations and commands that were over by then."""
        await self._connection.execute(
            "DELETE FROM operations WHERE updated_at < $1 AND waiting = 0 AND running = 0", before
        )
        await self._connection.execute(
            "DELETE FROM commands WHERE updated_at < $1 AND state NOT IN ('pending', 'delivered')", before
        )


def _operation(row: asyncpg.Record | dict[str, Any]) -> Operation:
    return Operation(**dict(row.items()))


def _target(row: asyncpg.Record | dict[str, Any]) -> Target:
    values = dict(row.items())
    values["capabilities"] = unsigned(values["capabilities"])
    return Target(**values)
