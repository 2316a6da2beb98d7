"""An owner: a service with a store, put together from its routing tables.

The way of a message is always subject → handler → store → reply or effects. The frame opens the transaction, calls
the handler, stores its effects and the offset, commits, publishes, acknowledges.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from google.protobuf.message import Message
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from flowgate.uplink.v1 import uplink_pb2
from flowkit import bus as buses
from flowkit import contracts, db, metrics, outbox, tasks
from flowkit.bus import Bus
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import UnavailableError
from flowkit.exports import Export, Exports
from flowkit.follow import EventHandler, Follower
from flowkit.metrics import FactCounter, FrameMetrics, Metrics
from flowkit.outbox import Effect
from flowkit.rpc import RpcHandler, RpcServer
from flowkit.service import Running
from flowkit.settings import OwnerSettings
from flowkit.shards import EntriesHandler, ShardConsumer
from flowkit.standing import Standing, keep_right
from flowkit.tasks import end_if_cancelled
from flowkit.telemetry import get_log
from flowkit.uplink import Report, Uplink

log = get_log()

_FIGURES_SECONDS = 15.0  # what the store tells may be that old
_EXPORTS_AT_ONCE = 2  # batches of own telemetry: a flood of it leaves connections to PostgreSQL for everything else

Store = TypeVar("Store")

PeriodicHandler = Callable[[Store, datetime], Awaitable[Sequence[Effect]]]
"""(store, now) → effects; run by one replica at a time."""
FiguresHandler = Callable[[Store, datetime], Awaitable[Iterable[Metric]]]
"""(store, now) → what the store tells at /metrics; every replica tells the same."""


@dataclass(frozen=True)
class Routes(Generic[Store]):
    """What a service listens to: message → handler.

    Attributes:
        reports: handler of the uplink.
        wanted_fields: fields of AgentToServer that it cares for.
        wanted_kinds: kinds of uplink entries, besides reports, that it cares for.
        wants_connections: it also wants reports without any of the fields, since they tell of a connection.
        wants: has a closer look at a report that the masks let through; a batch with nothing wanted costs no
            transaction.
        rpc: question → handler.
        events: fact of another service → handler.
        periodic: (seconds, handler) of what is done again and again.
        exports: handler of agents' own telemetry.
        standing: what the service answers for in KV buckets.
        counters: facts that are counted.
        figures: what is asked of the store at a scrape, every 15 s at most.
    """

    reports: EntriesHandler[Store, Report]
    wanted_fields: int
    wanted_kinds: frozenset[uplink_pb2.EntryKind] = frozenset()
    wants_connections: bool = False
    wants: Callable[[Report], bool] | None = None
    rpc: Mapping[type[Message], RpcHandler[Store]] = field(default_factory=dict)
    events: Mapping[type[Message], EventHandler[Store]] = field(default_factory=dict)
    periodic: Sequence[tuple[float, PeriodicHandler[Store]]] = ()
    exports: EntriesHandler[Store, Export] | None = None
    standing: Sequence[Standing[Store]] = ()
    counters: Sequence[FactCounter] = ()
    figures: FiguresHandler[Store] | None = None


@contextlib.asynccontextmanager
async def serve(
    service: str,
    settings: OwnerSettings,
    make: Callable[[Bus, Connection], Store],
    routes: Routes[Store],
    extra: Callable[[Bus, Database], Coroutine[None, None, None]] | None = None,
) -> AsyncIterator[Running]:
    """Run an owner while the block is open.

    Args:
        service: its name.
        settings: its settings.
        make: makes what its handlers work with on a transaction's connection.
        routes: what it listens to.
        extra: one more task, such as following presence; ends by being cancelled.

    Raises:
        UnavailableError: NATS or PostgreSQL is not there at the start.
    """
    bus = await buses.connect(settings.nats_url.get_secret_value(), service, replicas=settings.nats_replicas)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(bus.close)
        database = await db.connect(settings.database_url.get_secret_value(), settings.database_pool_size)
        stack.push_async_callback(database.close)
        await bus.ensure(settings.uplink_shards)
        store = functools.partial(make, bus)
        told = Metrics(service)
        frame = FrameMetrics(service, told.registry, routes.counters)
        relay = outbox.Relay(database, bus, frame)
        entries = Uplink(
            bus,
            wanted_fields=routes.wanted_fields,
            wanted_kinds=routes.wanted_kinds,
            wants_connections=routes.wants_connections,
            wants=routes.wants,
        )
        uplink = ShardConsumer(bus, database, relay, service, entries, store, routes.reports, metrics=frame)
        by_stream: dict[str, dict[type[Message], EventHandler[Store]]] = {}
        for kind, handler in routes.events.items():
            by_stream.setdefault(contracts.stream_of(kind), {})[kind] = handler
        followers = [
            Follower(bus, database, relay, service, store, stream, handlers, frame)
            for stream, handlers in by_stream.items()
        ]
        rpc = RpcServer(bus, database, relay, service, store, routes.rpc, frame)
        work = [
            uplink.run(settings.uplink_shards),
            *(follower.run() for follower in followers),
            *(_repeat(database, relay, frame, service, store, seconds, job) for seconds, job in routes.periodic),
        ]
        if routes.exports is not None:
            exports = ShardConsumer(
                bus, database, relay, service, Exports(), store, routes.exports, at_once=_EXPORTS_AT_ONCE, metrics=frame
            )
            work.append(exports.run(settings.uplink_shards))
        if routes.standing:
            shards = settings.uplink_shards
            work.append(keep_right(bus, database, relay, service, store, routes.standing, shards))
        if extra is not None:
            work.append(extra(bus, database))
        publishing = asyncio.ensure_future(relay.run())
        stack.push_async_callback(_cancel, [publishing])
        stack.push_async_callback(relay.flush)
        working = [asyncio.ensure_future(one) for one in work]
        stack.push_async_callback(_cancel, working)
        await rpc.start()
        stack.push_async_callback(rpc.stop)

        async def ready() -> dict[str, bool]:
            return {"nats": bus.is_connected, "postgresql": await database.is_ready()}

        told.add(lambda: metrics.connected({"main": bus}))
        told.add(lambda: _pool(database))
        told.ask("outbox", lambda: _outbox(database))
        if routes.figures is not None:
            told.ask("store", functools.partial(_figures, database, store, routes.figures), _FIGURES_SECONDS)
        yield Running(ready, told, (publishing, *working))


def _pool(database: Database) -> Iterable[Metric]:
    used, idle, most = database.connections()
    count = GaugeMetricFamily(
        "db_client_connection_count",
        "Connections to PostgreSQL, by state: used, idle",
        labels=["db_client_connection_state"],
    )
    count.add_metric(["used"], used)
    count.add_metric(["idle"], idle)
    yield count
    yield GaugeMetricFamily("db_client_connection_max", "Connections to PostgreSQL that there may be", value=most)


async def _outbox(database: Database) -> Iterable[Metric]:
    async with database.transaction() as connection:
        rows, age = await outbox.waiting(connection)
    return [
        GaugeMetricFamily(
            "flowgate_outbox_rows",
            f"Rows of the outbox that wait to be published, counted up to {outbox.COUNTED_ROWS}",
            value=rows,
        ),
        GaugeMetricFamily(
            "flowgate_outbox_oldest_age_seconds", "Age of the oldest row of the outbox; 0 without any", value=age
        ),
    ]


async def _figures(
    database: Database, store: Callable[[Connection], Store], handler: FiguresHandler[Store]
) -> Iterable[Metric]:
    async with database.transaction() as connection:
        return await handler(store(connection), datetime.now(UTC))


async def _cancel(running: Sequence[asyncio.Future[None]]) -> None:
    for error in await tasks.cancel(*running):
        log.error("service.task_failed", error=repr(error))


async def _repeat(
    database: Database,
    relay: outbox.Relay,
    frame: FrameMetrics,
    service: str,
    store: Callable[[Connection], Store],
    seconds: float,
    job: PeriodicHandler[Store],
) -> None:
    """Do a job every so many seconds, on one replica at a time; while PostgreSQL is away, later."""
    name = getattr(job, "__name__", "job")
    while True:
        end_if_cancelled()
        await asyncio.sleep(seconds)
        try:
            effects: Sequence[Effect] = ()
            async with database.transaction() as connection:
                lock = "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || ':job:' || $1))"
                if await connection.fetchval(lock, name):
                    effects = await job(store(connection), datetime.now(UTC))
                    await outbox.add(connection, service, effects)
            if effects:
                frame.committed(effects)
                relay.wake()
        except (UnavailableError, *TRANSIENT) as error:
            log.warning("service.job_retry", job=name, error=repr(error))
