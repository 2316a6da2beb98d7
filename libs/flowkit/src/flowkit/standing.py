"""What stands in KV buckets, put right: a service's database says what should be there.

NATS and a database may be older than one another, after a loss or from a backup; so NATS may start empty, and a service
whose database was restored takes back what it does not know of.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import nats.errors
import nats.js.errors
from nats.js import api
from nats.js.kv import KV_DEL, KV_PURGE

from flowkit import contracts, outbox
from flowkit.bus import Bus
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.outbox import Desired, KvPut, Relay
from flowkit.telemetry import get_log

log = get_log()

_WRONG_LAST_SEQUENCE = (10071, 10164)  # JetStream error codes
_EVERY_SECONDS = 300.0
_AGAIN_SECONDS = 2.0
_PATIENCE = 5.0  # seconds until the next entry of a list

Store = TypeVar("Store")


@dataclass(frozen=True)
class Standing(Generic[Store]):
    """The entries of a bucket that a service answers for.

    Attributes:
        bucket: its name.
        is_own: whether the service answers for a key.
        entries: (store) → what should be there now.
    """

    bucket: str
    is_own: Callable[[str], bool]
    entries: Callable[[Store], Awaitable[Sequence[Desired | KvPut]]]


async def keep_right(
    bus: Bus,
    database: Database,
    relay: Relay,
    service: str,
    store: Callable[[Connection], Store],
    standing: Sequence[Standing[Store]],
    shards: int,
) -> None:
    """Put right at the start and every few minutes, until cancelled. What NATS has lost of its streams is made anew."""
    is_lost = False
    while True:
        pause = _AGAIN_SECONDS
        try:
            if is_lost:
                await bus.ensure(shards)
            for one in standing:
                await put_right(bus, database, relay, service, store, one)
            is_lost, pause = False, _EVERY_SECONDS
        except nats.js.errors.NotFoundError as error:
            log.warning("standing.lost", error=repr(error))
            is_lost = True
        except (UnavailableError, nats.errors.Error, nats.js.errors.Error, TimeoutError, *TRANSIENT) as error:
            log.warning("standing.retry", error=repr(error))
        await asyncio.sleep(pause)


async def put_right(
    bus: Bus,
    database: Database,
    relay: Relay,
    service: str,
    store: Callable[[Connection], Store],
    standing: Standing[Store],
) -> None:
    """Put what is missing in the bucket, and take away what is too much."""
    there = {key: revision for key, revision in (await _entries(bus, standing.bucket)).items() if standing.is_own(key)}
    async with database.transaction() as connection:
        wanted = {outbox.key_of(one): one for one in await standing.entries(store(connection))}
        missing = [one for key, one in wanted.items() if key not in there]
        await outbox.add(connection, service, missing)
    relay.wake()
    removed = 0
    for key in there.keys() - wanted.keys():
        headers = {**contracts.KV_REMOVED, api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(there[key])}
        try:
            await bus.jetstream.publish(f"$KV.{standing.bucket}.{key}", b"", headers=headers)
            removed += 1
        except nats.js.errors.APIError as error:
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                raise
            log.debug("standing.changed", bucket=standing.bucket, key=key)  # something else is wished by now
    if missing or removed:
        log.info("standing.put_right", bucket=standing.bucket, put=len(missing), removed=removed)


async def _entries(bus: Bus, bucket: str) -> dict[str, int]:
    """Keys of a bucket with their revisions."""
    watcher = await (await bus.kv(bucket)).watchall(meta_only=True)
    found: dict[str, int] = {}
    try:
        while (entry := await watcher.updates(_PATIENCE)) is not None:  # type: ignore[no-untyped-call]
            if entry.operation not in (KV_DEL, KV_PURGE):
                found[entry.key] = entry.revision
    finally:
        await watcher.stop()  # type: ignore[no-untyped-call]
    return found
