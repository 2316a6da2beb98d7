"""Every SQL statement of config-push."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from config_push.domain import Delivery
from flowkit.db import Connection, signed, unsigned

_DELIVERY = (
    "delivery_id, instance_uid, gateway_id, content_hash, config_hash, state, error, is_latest, is_automatic,"
    " created_at, created_by, updated_at, traceparent"
)


@dataclass
class Agent:
    """What is known of an agent's configuration; the columns of `agents` by their names."""

    instance_uid: UUID
    connected_at: datetime
    gateway_id: UUID | None = None
    capabilities: int = 0
    reported_hash: bytes = b""
    reported_status: str = "unset"
    reported_error: str = ""
    crashed_at: datetime | None = None
    ran_at: datetime | None = None
    effective_hash: bytes | None = None
    effective: bytes | None = None
    effective_at: datetime | None = None

    @property
    def is_crashed(self) -> bool:
        """Whether the latest that is known of its collector is a crash."""
        return self.crashed_at is not None and (self.ran_at is None or self.ran_at < self.crashed_at)


_AGENT = {
    "instance_uid": "uuid",
    "connected_at": "timestamptz",
    "capabilities": "bigint",
    "reported_hash": "bytea",
    "reported_status": "text",
    "reported_error": "text",
    "crashed_at": "timestamptz",
    "ran_at": "timestamptz",
    "effective_hash": "bytea",
    "effective": "bytea",
    "effective_at": "timestamptz",
}
_LOADED = ", ".join(["gateway_id", *(name for name in _AGENT if name != "effective")])
_UPSERT_AGENTS = (
    f"INSERT INTO agents AS a ({', '.join(_AGENT)})"
    f" SELECT * FROM unnest({', '.join(f'${n}::{kind}[]' for n, kind in enumerate(_AGENT.values(), 1))})"
    " ON CONFLICT (instance_uid) DO UPDATE SET "
    + ", ".join(
        f"{name} = coalesce(excluded.{name}, a.{name})" if name == "effective" else f"{name} = excluded.{name}"
        for name in _AGENT
        if name != "instance_uid"
    )
)


class ConfigStore:
    """Configurations, agents and deliveries in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load_agents(self, instance_uids: Sequence[UUID]) -> dict[UUID, Agent]:
        """Agents by uid, locked, without the effective configuration itself; unknown ones are left out."""
        rows = await self._connection.fetch(
            f"SELECT {_LOADED} FROM agents WHERE instance_uid = ANY($1::uuid[]) ORDER BY instance_uid FOR UPDATE",
            instance_uids,
        )
        return {row["instance_uid"]: Agent(**_unsigned(row)) for row in rows}

    async def collector_was(self, instance_uid: UUID, state: str, at: datetime) -> Agent | None:
        """Keep when an agent's collector was last told to be running or crashed; the agent, locked, if it is known."""
        column = {"running": "ran_at", "crashed": "crashed_at"}[state]
        row = await self._connection.fetchrow(
            f"UPDATE agents SET {column} = greatest({column}, $2) WHERE instance_uid = $1 RETURNING {_LOADED}",
            instance_uid,
            at,
        )
        return None if row is None else Agent(**_unsigned(row))

    async def save_agents(self, agents: Sequence[Agent]) -> None:
        """Write agents; a missing effective configuration leaves the stored one."""
        columns: list[list[Any]] = [
            [signed(one.capabilities) if name == "capabilities" else getattr(one, name) for one in agents]
            for name in _AGENT
        ]
        await self._connection.execute(_UPSERT_AGENTS, *columns)

    async def effective(self, instance_uid: UUID) -> asyncpg.Record | None:
        """All that is known of an agent's configuration, with the latest delivery and its text."""
        return await self._connection.fetchrow(
            "SELECT a.effective, a.effective_hash, a.effective_at, a.reported_hash, a.reported_status,"
            " a.reported_error, c.body AS assigned_config FROM agents a"
            " LEFT JOIN deliveries d ON d.instance_uid = a.instance_uid AND d.is_latest"
            " LEFT JOIN configs c USING (content_hash) WHERE a.instance_uid = $1",
            instance_uid,
        )

    async def add_config(self, content_hash: bytes, body: str, at: datetime, actor: str) -> None:
        """Keep a version; the same content is the same version."""
        await self._connection.execute(
            "INSERT INTO configs (content_hash, body, created_at, created_by, kept_at) VALUES ($1, $2, $3, $4, $3)"
            " ON CONFLICT (content_hash) DO UPDATE SET kept_at = excluded.kept_at",
            content_hash,
            body,
            at,
            actor,
        )

    async def delete_old(self, before: datetime) -> None:
        """Forget deliveries that a newer one had replaced by then, and configurations that no delivery names."""
        await self._connection.execute("DELETE FROM deliveries WHERE NOT is_latest AND updated_at < $1", before)
        await self._connection.execute(
            "DELETE FROM configs c WHERE kept_at < $1 AND NOT EXISTS"
            " (SELECT FROM deliveries d WHERE d.content_hash = c.content_hash)",
            before,
        )

    async def config_body(self, content_hash: bytes) -> str | None:
        """Text of a version; None when it is not kept."""
        body = await self._connection.fetchval("SELECT body FROM configs WHERE content_hash = $1", content_hash)
        return None if body is None else str(body)

    async def latest(self, instance_uids: Sequence[UUID]) -> dict[UUID, Delivery]:
        """Latest delivery by agent."""
        rows = await self._connection.fetch(
            f"SELECT {_DELIVERY} FROM deliveries WHERE is_latest AND instance_uid = ANY($1::uuid[])", instance_uids
        )
        return {row["instance_uid"]: Delivery(**dict(row.items())) for row in rows}

    async def unanswered(self, offered_before: datetime, capability: int) -> list[Delivery]:
        """Deliveries that were offered before then to agents with this capability, who said nothing of them; locked."""
        rows = await self._connection.fetch(
            f"SELECT {_DELIVERY} FROM deliveries d WHERE is_latest AND state = 'offered' AND updated_at < $1"
            " AND EXISTS (SELECT FROM agents a WHERE a.instance_uid = d.instance_uid AND a.capabilities & $2 <> 0)"
            " ORDER BY instance_uid FOR NO KEY UPDATE SKIP LOCKED",
            offered_before,
            capability,
        )
        return [Delivery(**dict(row.items())) for row in rows]

    async def unproven(self, said_before: datetime) -> list[Delivery]:
        """Deliveries that their agents called applied before then and that still wait for a proof; locked."""
        rows = await self._connection.fetch(
            f"SELECT {_DELIVERY} FROM deliveries d WHERE is_latest AND state = 'applying' AND updated_at < $1"
            " AND EXISTS (SELECT FROM agents a WHERE a.instance_uid = d.instance_uid"
            " AND a.reported_status = 'applied' AND a.reported_hash = d.config_hash)"
            " ORDER BY instance_uid FOR NO KEY UPDATE SKIP LOCKED",
            said_before,
        )
        return [Delivery(**dict(row.items())) for row in rows]

    async def unfinished(self) -> list[Delivery]:
        """Deliveries on their way, kept so until the transaction ends."""
        rows = await self._connection.fetch(
            f"SELECT {_DELIVERY} FROM deliveries WHERE is_latest AND state IN ('pending', 'offered', 'applying')"
            " ORDER BY instance_uid FOR UPDATE"
        )
        return [Delivery(**dict(row.items())) for row in rows]

    async def history(self, instance_uid: UUID, limit: int) -> list[Delivery]:
        """An agent's deliveries, newest first."""
        rows = await self._connection.fetch(
            f"SELECT {_DELIVERY} FROM deliveries WHERE instance_uid = $1 ORDER BY created_at DESC, delivery_id DESC"
            " LIMIT $2",
            instance_uid,
            limit,
        )
        return [Delivery(**dict(row.items())) for row in rows]

    async def delivery(self, delivery_id: UUID) -> Delivery | None:
        """One delivery."""
        row = await self._connection.fetchrow(f"SELECT {_DELIVERY} FROM deliveries WHERE delivery_id = $1", delivery_id)
        return None if row is None else Delivery(**dict(row.items()))

    async def add_delivery(self, delivery: Delivery) -> None:
        """Begin a delivery; it is the agent's latest now."""
        await self._connection.execute(
            "UPDATE deliveries SET is_latest = false WHERE instance_uid = $1 AND is_latest", delivery.instance_uid
        )
        await self._connection.execute(
            f"INSERT INTO deliveries ({_DELIVERY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            delivery.delivery_id,
            delivery.instance_uid,
            delivery.gateway_id,
            delivery.content_hash,
            delivery.config_hash,
            delivery.state,
            delivery.error,
            delivery.is_latest,
            delivery.is_automatic,
            delivery.created_at,
            delivery.created_by,
            delivery.updated_at,
            delivery.traceparent,
        )

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Write states, errors and the hashes that are offered."""
        await self._connection.execute(
            "UPDATE deliveries d SET config_hash = u.config_hash, state = u.state, error = u.error,"
            " updated_at = u.updated_at, traceparent = u.traceparent FROM unnest($1::uuid[], $2::bytea[], $3::text[],"
            " $4::text[], $5::timestamptz[], $6::text[]) AS u (id, config_hash, state, error, updated_at, traceparent)"
            " WHERE d.delivery_id = u.id",
            [one.delivery_id for one in deliveries],
            [one.config_hash for one in deliveries],
            [one.state for one in deliveries],
            [one.error for one in deliveries],
            [one.updated_at for one in deliveries],
            [one.traceparent for one in deliveries],
        )

    async def automatic_since(self, instance_uid: UUID, since: datetime) -> int:
        """How many deliveries the agent got by itself since then."""
        return int(
            await self._connection.fetchval(
                "SELECT count(*) FROM deliveries WHERE instance_uid = $1 AND is_automatic AND created_at >= $2",
                instance_uid,
                since,
            )
        )

    async def count_by_state(self) -> dict[str, int]:
        """Agents by the state of their latest delivery."""
        rows = await self._connection.fetch(
            "SELECT state, count(*) AS number FROM deliveries WHERE is_latest GROUP BY state"
        )
        return {row["state"]: row["number"] for row in rows}

    async def applying_since(self) -> datetime | None:
        """When the agent began that has been applying its latest delivery for longest."""
        since: datetime | None = await self._connection.fetchval(
            "SELECT min(updated_at) FROM deliveries WHERE is_latest AND state = 'applying'"
        )
        return since

    async def set_capabilities(self, instance_uid: UUID, capabilities: int) -> None:
        """The agent can do other things than before."""
        await self._connection.execute(
            "UPDATE agents SET capabilities = $2 WHERE instance_uid = $1", instance_uid, signed(capabilities)
        )

    async def set_gateway(self, instance_uid: UUID, gateway_id: UUID) -> UUID | None:
        """Remember whose instance an agent is, before or after its first report; returns whose it was before."""
        before: UUID | None = await self._connection.fetchval(
            "WITH before AS (SELECT gateway_id FROM agents WHERE instance_uid = $1)"
            " INSERT INTO agents (instance_uid, gateway_id, capabilities, connected_at) VALUES ($1, $2, 0, 'epoch')"
            " ON CONFLICT (instance_uid) DO UPDATE SET gateway_id = excluded.gateway_id"
            " RETURNING (SELECT gateway_id FROM before)",
            instance_uid,
            gateway_id,
        )
        return before

    async def rename(self, previous: UUID, instance_uid: UUID) -> Delivery | None:
        """Give an agent's deliveries to its new instance_uid; returns the latest one."""
        await self._connection.execute("DELETE FROM agents WHERE instance_uid = $1", previous)
        await self._connection.execute(
            "UPDATE deliveries SET is_latest = false WHERE instance_uid = $2 AND is_latest"
            " AND EXISTS (SELECT FROM deliveries WHERE instance_uid = $1 AND is_latest)",
            previous,
            instance_uid,
        )
        await self._connection.execute(
            "UPDATE deliveries SET instance_uid = $2 WHERE instance_uid = $1", previous, instance_uid
        )
        return (await self.latest([instance_uid])).get(instance_uid)

    async def forget(self, instance_uid: UUID) -> None:
        """Drop an agent and its deliveries; configurations stay."""
        await self._connection.execute("DELETE FROM deliveries WHERE instance_uid = $1", instance_uid)
        await self._connection.execute("DELETE FROM agents WHERE instance_uid = $1", instance_uid)


def _unsigned(row: asyncpg.Record) -> dict[str, Any]:
    values = dict(row.items())
    values["capabilities"] = unsigned(values["capabilities"])
    return values
