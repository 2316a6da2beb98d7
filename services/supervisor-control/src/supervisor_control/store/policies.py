"""Policies, and the agents that they are for."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from flowkit.db import Connection, signed, unsigned
from supervisor_control.domain.policies import OFFERABLE, Policy
from supervisor_control.domain.supervisors import Supervisor

_POLICY = "name, selector, own_logs, own_metrics, own_traces, heartbeat_interval_seconds, updated_at, updated_by"
_LIGHT = (
    "instance_uid, capabilities, connected_at, updated_at, credential_id, labels, connection_hash, connection,"
    " offered_at, wanted_hash, wanted_connection"
)
_LOCK = "hashtext(current_schema() || ':policies')"
_PAGE = 2000  # agents looked at at once


class PolicyStore:
    """Policies in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def hold(self) -> None:
        """No policy changes until the transaction ends. For all that decides on offers, before it locks agents: a
        change looks at agents as they are, and what an agent reports meanwhile would be decided by the old policies."""
        await self._connection.execute(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")

    async def hold_alone(self) -> None:
        """The same for a change of policies: nothing else decides on offers meanwhile."""
        await self._connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")

    async def all(self) -> list[Policy]:
        """Every policy."""
        return [Policy(**dict(row.items())) for row in await self._connection.fetch(f"SELECT {_POLICY} FROM policies")]

    async def put(self, policy: Policy) -> None:
        """Write a policy; it replaces the one of its name."""
        await self._connection.execute(
            f"INSERT INTO policies ({_POLICY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO UPDATE SET"
            " selector = excluded.selector, own_logs = excluded.own_logs, own_metrics = excluded.own_metrics,"
            " own_traces = excluded.own_traces, heartbeat_interval_seconds = excluded.heartbeat_interval_seconds,"
            " updated_at = excluded.updated_at, updated_by = excluded.updated_by",
            policy.name,
            policy.selector,
            policy.own_logs,
            policy.own_metrics,
            policy.own_traces,
            policy.heartbeat_interval_seconds,
            policy.updated_at,
            policy.updated_by,
        )

    async def delete(self, name: str) -> None:
        """Drop a policy."""
        await self._connection.execute("DELETE FROM policies WHERE name = $1", name)

    async def label_the_unlabelled(self, before: datetime) -> None:
        """Agents of which the registry has told nothing for long count as having no labels: it was wiped, or this
        store was, and facts are told once."""
        await self._connection.execute(
            "UPDATE supervisors SET labels = '{}' WHERE labels IS NULL AND capabilities & $1 <> 0"
            " AND connected_at < $2",
            signed(OFFERABLE),
            before,
        )

    async def offerable(self) -> AsyncIterator[Sequence[Supervisor]]:
        """Agents that can be offered something, page by page, not locked, with what an offer is decided by only."""
        after = UUID(int=0)
        while True:
            rows = await self._connection.fetch(
                f"SELECT {_LIGHT} FROM supervisors WHERE instance_uid > $1 AND labels IS NOT NULL"
                " AND credential_id <> '' AND capabilities & $2 <> 0 ORDER BY instance_uid LIMIT $3",
                after,
                signed(OFFERABLE),
                _PAGE,
            )
            yield [_supervisor(row) for row in rows]
            if len(rows) < _PAGE:
                return
            after = rows[-1]["instance_uid"]

    async def lock(self, instance_uids: Sequence[UUID]) -> list[Supervisor]:
        """The same of these agents, locked."""
        rows = await self._connection.fetch(
            f"SELECT {_LIGHT} FROM supervisors WHERE instance_uid = ANY($1::uuid[]) AND labels IS NOT NULL"
            " ORDER BY instance_uid FOR UPDATE",
            instance_uids,
        )
        return [_supervisor(row) for row in rows]

    async def waiting(self) -> list[Supervisor]:
        """Agents that wait for an offer, kept so until the transaction ends."""
        rows = await self._connection.fetch(
            f"SELECT {_LIGHT} FROM supervisors WHERE wanted_hash IS NOT NULL ORDER BY instance_uid FOR UPDATE"
        )
        return [_supervisor(row) for row in rows]

    async def count_matching(self, selector: dict[str, str]) -> int:
        """Agents whose labels hold all of these."""
        count: int = await self._connection.fetchval(
            "SELECT count(*) FROM supervisors WHERE coalesce(labels, '{}') @> $1::jsonb", selector
        )
        return count


def _supervisor(row: asyncpg.Record) -> Supervisor:
    return Supervisor(**{**row, "capabilities": unsigned(row["capabilities"])})
