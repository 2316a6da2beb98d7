"""Enrollment tokens and refusals in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

import asyncpg

from agent_registry.enrollment import EnrollmentToken
from flowkit.db import Connection

_NAMES = [one.name for one in fields(EnrollmentToken)]
_COLUMNS = ", ".join(_NAMES)


class EnrollmentStore:
    """Enrollment tokens and refusals in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, token: EnrollmentToken) -> bool:
        """Keep a new token; False when a live one has the name."""
        values = ", ".join(f"${number}" for number in range(1, len(_NAMES) + 1))
        added = await self._connection.fetchval(
            f"INSERT INTO enrollment_tokens ({_COLUMNS}) VALUES ({values})"
            " ON CONFLICT (name) WHERE is_live DO NOTHING RETURNING true",
            *(getattr(token, name) for name in _NAMES),
        )
        return bool(added)

    async def locked(self, token_ids: Sequence[UUID]) -> list[EnrollmentToken]:
        """Tokens, locked in one order over all replicas until the transaction ends."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM enrollment_tokens WHERE token_id = ANY($1::uuid[]) ORDER BY token_id FOR UPDATE",
            token_ids,
        )
        return [_token(row) for row in rows]

    async def all(self) -> list[EnrollmentToken]:
        """Every token, newest first."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM enrollment_tokens ORDER BY created_at DESC, token_id"
        )
        return [_token(row) for row in rows]

    async def live(self) -> list[EnrollmentToken]:
        """Tokens that are live, kept so until the transaction ends."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM enrollment_tokens WHERE is_live ORDER BY token_id FOR SHARE"
        )
        return [_token(row) for row in rows]

    async def save_uses(self, tokens: Sequence[EnrollmentToken]) -> None:
        """Write how often tokens were used."""
        await self._connection.execute(
            "UPDATE enrollment_tokens t SET uses = u.uses, last_used_at = u.at"
            " FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS u (id, uses, at) WHERE t.token_id = u.id",
            [one.token_id for one in tokens],
            [one.uses for one in tokens],
            [one.last_used_at for one in tokens],
        )

    async def revoke(self, token_id: UUID, at: datetime) -> None:
        """Mark a token as revoked."""
        await self._connection.execute(
            "UPDATE enrollment_tokens SET is_live = false, revoked_at = $2 WHERE token_id = $1", token_id, at
        )

    async def end_expired(self, now: datetime) -> list[EnrollmentToken]:
        """Mark live tokens as no longer live whose time is over; returns them."""
        rows = await self._connection.fetch(
            f"UPDATE enrollment_tokens SET is_live = false WHERE is_live AND expires_at <= $1 RETURNING {_COLUMNS}", now
        )
        return [_token(row) for row in rows]

    async def refused(self, instance_uids: Sequence[UUID]) -> set[UUID]:
        """Those of the agents that are refused."""
        rows = await self._connection.fetch(
            "SELECT instance_uid FROM refusals WHERE instance_uid = ANY($1::uuid[])", instance_uids
        )
        return {row["instance_uid"] for row in rows}

    async def refuse(self, refusals: dict[UUID, datetime]) -> None:
        """Remember who is refused and until when."""
        await self._connection.execute(
            "INSERT INTO refusals (instance_uid, expires_at) SELECT * FROM unnest($1::uuid[], $2::timestamptz[])"
            " ON CONFLICT (instance_uid) DO UPDATE SET expires_at = excluded.expires_at",
            list(refusals),
            list(refusals.values()),
        )

    async def forgive(self, instance_uids: Sequence[UUID]) -> None:
        """Forget that agents were refused."""
        await self._connection.execute("DELETE FROM refusals WHERE instance_uid = ANY($1::uuid[])", instance_uids)

    async def end_refusals(self, now: datetime) -> list[UUID]:
        """Forget refusals whose time is over; returns whose they were."""
        rows = await self._connection.fetch("DELETE FROM refusals WHERE expires_at <= $1 RETURNING instance_uid", now)
        return [row["instance_uid"] for row in rows]


def _token(row: asyncpg.Record) -> EnrollmentToken:
    return EnrollmentToken(**dict(row.items()))
