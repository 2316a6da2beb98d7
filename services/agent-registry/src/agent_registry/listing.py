"""Lists: filters, sort orders and cursors as parts of one statement."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from agent_registry.domain import USUAL_HEARTBEAT_SECONDS
from flowkit.errors import InvalidError

HEALTH = "CASE WHEN NOT is_connected OR healthy IS NULL THEN 'unknown' WHEN healthy THEN 'healthy' ELSE 'unhealthy' END"
# As domain.patience.
PATIENCE = (
    "make_interval(secs => CASE WHEN transport = 'http'"
    f" THEN 3 * greatest(0, heartbeat_seconds - {USUAL_HEARTBEAT_SECONDS}) ELSE 0 END)"
)
STATUS = (
    f"CASE WHEN NOT is_connected THEN 'offline' WHEN last_seen_at < ${{stale}}::timestamptz - {PATIENCE} THEN 'stale'"
    " ELSE 'online' END"
)
_SORTS = {
    "name": ("lower(coalesce(name, default_name))", "text"),
    "last_seen_at": ("last_seen_at", "timestamptz"),
    "first_seen_at": ("first_seen_at", "timestamptz"),
    "version": ("version", "text"),
    "status": (STATUS, "text"),
    # An agent that is away is never healthy (conformance item 74). What needs somebody comes first.
    "health": (f"array_position(ARRAY['unhealthy', 'unknown', 'healthy'], {HEALTH})", "integer"),
}
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100


@dataclass(frozen=True)
class Query:
    """Which gateways, in which order; field by field as ListGatewaysRequest has them."""

    stale_before: datetime
    mode: str = ""
    statuses: Sequence[str] = ()
    healths: Sequence[str] = ()
    config_states: Sequence[str] = ()
    q: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    versions: Sequence[str] = ()
    instance_uids: Sequence[UUID] = ()
    sort: str = "name"
    limit: int = DEFAULT_LIMIT
    cursor: str = ""

    def condition(self) -> tuple[str, list[Any]]:
        """WHERE clause and its arguments; $1 is always `stale_before`."""
        parts, arguments = ["archived_at IS NULL", "$1::timestamptz IS NOT NULL"], list[Any]([self.stale_before])

        def add(clause: str, value: Any) -> None:
            arguments.append(value)
            parts.append(clause.replace("?", f"${len(arguments)}"))

        if self.mode:
            add("management_mode = ?::text::management_mode", self.mode)
        if self.statuses:
            add(f"{STATUS.replace('${stale}', '$1')} = ANY(?::text[])", list(self.statuses))
        if self.healths:
            add(f"{HEALTH} = ANY(?::text[])", list(self.healths))
        if self.config_states:
            add("config_state = ANY(?::text[])", list(self.config_states))
        if self.q:
            add(
                "concat_ws(' ', name, default_name, gateway_id, instance_uid, agent_type, version, host_name, labels)"
                " ILIKE ?",
                "%" + self.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%",
            )
        if self.versions:
            add("coalesce(version, '') = ANY(?::text[])", list(self.versions))
        if self.instance_uids:
            add("instance_uid = ANY(?::uuid[])", list(self.instance_uids))
        for key, value in self.labels.items():
            if value:
                add("labels @> ?", {key: value})
            else:
                add("jsonb_exists(labels, ?)", key)
        return " AND ".join(parts), arguments

    def statement(self, columns: str) -> tuple[str, list[Any]]:
        """The page's statement and arguments: keyset paging by the sort order and then gateway_id. Each row has
        `total`, how many fit on all pages; without a page there is one row with that alone.

        Raises:
            InvalidError: sort or cursor make no sense.
        """
        condition, arguments = self.condition()
        expression, kind, is_descending = self._order()
        direction = "DESC" if is_descending else "ASC"
        order = f"ORDER BY sort_key {direction}, id {direction}"
        after = ""
        if self.cursor:
            arguments += _read_cursor(self.cursor, self.sort)
            sign = "<" if is_descending else ">"
            last = len(arguments)
            after = f"WHERE (sort_key, id) {sign} (${last - 1}::text::{kind}, ${last}::text::uuid)"
        return (
            f"WITH fitting AS MATERIALIZED (SELECT gateway_id AS id, {expression} AS sort_key FROM gateways"
            f" WHERE {condition}), page AS (SELECT * FROM fitting {after} {order} LIMIT {self.limit + 1})"
            f" SELECT {columns}, sort_key::text AS sort_value, total"
            " FROM (SELECT count(*) AS total FROM fitting) AS counted"
            f" LEFT JOIN page ON true LEFT JOIN gateways ON gateway_id = id {order}",
            arguments,
        )

    def _order(self) -> tuple[str, str, bool]:
        name = self.sort.removeprefix("-")
        if name not in _SORTS:
            raise InvalidError(
                f"sort {name!r} is not known; use one of {', '.join(_SORTS)}, with - in front to reverse"
            )
        expression, kind = _SORTS[name]
        return expression.replace("${stale}", "$1"), kind, self.sort.startswith("-")


def page_of(rows: Sequence[asyncpg.Record], query: Query) -> tuple[list[asyncpg.Record], str]:
    """The rows of the page, and the cursor of the next one: one row more than asked for tells that there is one."""
    page = list(rows[: query.limit])
    if len(rows) <= query.limit:
        return page, ""
    raw = orjson.dumps([query.sort, page[-1]["sort_value"], str(page[-1]["gateway_id"])])
    return page, base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[str, str]:
    try:
        made_for, value, gateway_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, orjson.JSONDecodeError, ValueError, TypeError) as error:
        raise InvalidError("cursor is damaged; start from the first page") from error
    if made_for != sort:
        raise InvalidError("cursor belongs to another sort order; start from the first page")
    return str(value), str(gateway_id)
