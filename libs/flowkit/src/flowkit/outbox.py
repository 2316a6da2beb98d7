"""The outbox: what a handler says is stored in its transaction and published after it, so neither goes without the
other.

A relay publishes in the order of the rows. It holds a lock of the schema meanwhile, so with several replicas one
publishes at a time and an agent's facts keep their order; a row published twice after a crash has the same
Nats-Msg-Id, which JetStream stores once.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from google.protobuf.message import Message
from opentelemetry.trace import SpanKind

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts, tracing
from flowkit.bus import Bus, Outgoing
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import TooLargeError, UnavailableError
from flowkit.metrics import FrameMetrics
from flowkit.tasks import end_if_cancelled
from flowkit.telemetry import get_log
from flowkit.tracing import Traced

log = get_log()

_BATCH = 500  # rows published in one transaction
COUNTED_ROWS = 100_000
_LAST_SECONDS = 2.0
_IDLE_SECONDS = 5.0  # looks for rows that a killed replica left behind


@dataclass(frozen=True)
class Desired:
    """A wish for an agent, or its end: `state` None removes the entry."""

    instance_uid: str
    facet: str
    state: desired_pb2.DesiredState | None


@dataclass(frozen=True)
class KvPut:
    """An entry of a KV bucket other than the wishes, or its end: `payload` None removes it."""

    bucket: str
    key: str
    payload: bytes | None


def key_of(entry: Desired | KvPut) -> str:
    """The key of an entry in its bucket."""
    return entry.key if isinstance(entry, KvPut) else f"{entry.instance_uid}.{entry.facet}"


Effect = Message | Desired | KvPut | Traced
"""What a handler wants said: a fact (an event message), a wish or another entry; traced if it goes on with an earlier
trace than that of the handler."""


def outgoing(effect: Effect, service: str, traceparent: str) -> Outgoing:
    """The effect as a message for JetStream, with CloudEvents headers in binary mode when it is a fact."""
    message_id = str(uuid4())
    if isinstance(effect, Traced):
        return outgoing(effect.effect, service, tracing.told(effect))
    if isinstance(effect, Desired):
        payload = effect.state.SerializeToString() if effect.state is not None else None
        effect = KvPut(contracts.AGENT_DESIRED, key_of(effect), payload)
    if isinstance(effect, KvPut):
        subject = f"$KV.{effect.bucket}.{effect.key}"
        traced = {tracing.HEADER: traceparent} if tracing.is_sampled(traceparent) else {}
        if effect.payload is None:
            return Outgoing(subject, message_id, b"", {**contracts.KV_REMOVED, **traced})
        return Outgoing(subject, message_id, effect.payload, traced)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": message_id,
        "ce-source": f"/flowgate/{service}",
        "ce-type": effect.DESCRIPTOR.full_name,
        "ce-time": datetime.now(UTC).isoformat(),
        "content-type": "application/protobuf",
        tracing.HEADER: traceparent,
    }
    uid = getattr(effect, "instance_uid", "")
    if uid:
        headers["ce-subject"] = uid
    return Outgoing(contracts.subject_of(effect), message_id, effect.SerializeToString(), headers)


async def add(connection: Connection, service: str, effects: Sequence[Effect]) -> None:
    """Store effects in the transaction of `connection`, in order."""
    if not effects:
        return
    # Without a trace one is made up that nobody keeps: what belongs together can be told by it all the same.
    traceparent = tracing.traceparent() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    rows = [outgoing(effect, service, traceparent) for effect in effects]
    await connection.execute(
        "INSERT INTO outbox (subject, message_id, headers, payload) SELECT * FROM unnest($1::text[], $2::text[],"
        " $3::jsonb[], $4::bytea[])",
        [row.subject for row in rows],
        [row.message_id for row in rows],
        [row.headers for row in rows],
        [row.payload for row in rows],
    )


class Relay:
    """Publishes what handlers left in the outbox, at once when woken."""

    def __init__(self, database: Database, bus: Bus, metrics: FrameMetrics | None = None) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics or FrameMetrics("")
        self._rows = asyncio.Event()
        self._rows.set()  # what an earlier run left behind

    def wake(self) -> None:
        """There are new rows."""
        self._rows.set()

    async def run(self) -> None:
        """Publish until cancelled. While NATS or PostgreSQL is away, rows stay where they are."""
        while True:
            end_if_cancelled()
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._rows.wait()
            except TimeoutError:
                pass
            self._rows.clear()
            try:
                await self._publish()
            except (UnavailableError, *TRANSIENT) as error:
                log.warning("outbox.retry", error=str(error))
                self._rows.set()
                await asyncio.sleep(0.5)

    async def flush(self) -> None:
        """Publish what is there, at the end of the service; what cannot be published waits for another replica."""
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._publish()
        except (UnavailableError, TimeoutError, *TRANSIENT) as error:
            log.warning("outbox.not_flushed", error=repr(error))

    async def _publish(self) -> None:
        while await self._publish_batch() == _BATCH:
            pass

    async def _publish_batch(self) -> int:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('outbox:' || current_schema()))")
            rows = await connection.fetch(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1)"
                " RETURNING id, subject, message_id, headers, payload",
                _BATCH,
            )
            rows.sort(key=lambda row: row["id"])
            await asyncio.gather(
                *(
                    self._publish_row(Outgoing(row["subject"], row["message_id"], row["payload"], row["headers"]))
                    for row in rows
                )
            )
        self._metrics.published(len(rows))
        return len(rows)

    async def _publish_row(self, row: Outgoing) -> None:
        """Publish a row. One that NATS will never take is given up: all the others wait behind it."""
        try:
            await self._publish_traced(row)
        except TooLargeError as error:
            log.error("outbox.too_large", subject=row.subject, message_id=row.message_id, error=str(error))
            self._metrics.dead_letter("outbox")

    async def _publish_traced(self, row: Outgoing) -> None:
        parent = row.headers.get(tracing.HEADER, "")
        if not tracing.is_sampled(parent):
            await self._bus.publish(row)
            return
        with tracing.span(f"publish {_kind(row.subject)}", SpanKind.PRODUCER, parent, messaging__system="nats"):
            await self._bus.publish(replace(row, headers={**row.headers, tracing.HEADER: tracing.traceparent()}))


def _kind(subject: str) -> str:
    """What is published there, without ids: an event by its name, or a bucket."""
    parts = subject.split(".")
    if parts[0] == "$KV":
        return parts[1]
    return f"{parts[2]}.{parts[4]}" if len(parts) > 4 and parts[1] == "evt" else ".".join(parts[:4])


async def waiting(connection: Connection) -> tuple[int, float]:
    """Rows that are not published, counted up to `COUNTED_ROWS`, and the age of the oldest in seconds."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS few) AS number, (SELECT"
        " extract(epoch FROM clock_timestamp() - created_at)::float8 FROM outbox ORDER BY id LIMIT 1) AS age",
        COUNTED_ROWS,
    )
    return (int(row["number"]), max(0.0, float(row["age"] or 0.0))) if row is not None else (0, 0.0)
