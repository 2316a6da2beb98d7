"""What a service tells at /metrics: figures in Prometheus' text form, behind a token of their own.

Names follow Prometheus' conventions with the prefix `flowgate_`; where OpenTelemetry's semantic conventions have a
name, that one is used. No label has unbounded values: no instance_uids, no ids, no paths with ids in them.
"""

import asyncio
import hmac
import itertools
import platform
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric

from flowkit import contracts
from flowkit.bus import Bus
from flowkit.telemetry import get_log
from flowkit.tracing import Traced

log = get_log()

Collect = Callable[[], Iterable[Metric]]
"""Figures that are at hand."""
Probe = Callable[[], Awaitable[Iterable[Metric]]]
"""Figures that another server has to be asked for."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
disable_created_metrics()  # type: ignore[no-untyped-call]
OUTCOMES = ("handled", "nothing", "damaged", "retried")  # of a message
_PROBE_SECONDS = 2.0  # a scrape does not wait longer for a server


class Metrics:
    """The figures of one service. Nothing is done for them between scrapes but to count.

    Attributes:
        registry: for metrics of prometheus_client.
    """

    def __init__(self, component: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        build = Info("flowgate_build", "What runs here", registry=self.registry)
        build.info({"component": component, "version": _version(component), "python": platform.python_version()})
        self._probes: list[_Probe] = []
        self._errors = Counter(
            "flowgate_metrics_probe_errors",
            "Scrapes for which a server did not tell its figures in time; these are missing then",
            ["probe"],
            registry=self.registry,
        )
        self._turn = asyncio.Lock()

    def add(self, collect: Collect) -> None:
        """Figures to be read at each scrape."""
        self.registry.register(_Collector(collect))

    def ask(self, name: str, probe: Probe, keep_seconds: float = 0.0) -> None:
        """Figures to be asked for at a scrape, unless those at hand are younger than `keep_seconds`."""
        self._errors.labels(name)
        one = _Probe(name, probe, keep_seconds)
        self._probes.append(one)
        self.add(lambda: one.families)

    async def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body of a scrape."""
        async with self._turn:
            for failed in await asyncio.gather(*(probe.read(time.monotonic()) for probe in self._probes)):
                if failed:
                    self._errors.labels(failed).inc()
            encode, content_type = choose_encoder(accept)
            return content_type, encode(self.registry)


class _Collector:
    def __init__(self, collect: Collect) -> None:
        self.collect = collect


class _Probe:
    def __init__(self, name: str, ask: Probe, keep_seconds: float) -> None:
        self.families: list[Metric] = []
        self._name = name
        self._ask = ask
        self._keep_seconds = keep_seconds
        self._read_at = float("-inf")

    async def read(self, now: float) -> str:
        """Ask if it is time; the name of the probe when that failed, else empty."""
        if now - self._read_at < self._keep_seconds:
            return ""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                self.families = list(await self._ask())
        except Exception as error:  # noqa: BLE001 whatever it was: the other figures are told all the same
            log.warning("metrics.probe_failed", probe=self._name, error=repr(error))
            self.families = []
            return self._name
        self._read_at = now
        return ""


def _version(component: str) -> str:
    try:
        return version(component)
    except PackageNotFoundError:
        return "unknown"


class Tally:
    """A histogram for what happens often: a list of numbers, which only the event loop changes.

    Args:
        bounds: upper bounds of its buckets, in order; one more without a bound comes by itself.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        """The figures as Prometheus has them: each bucket with all that is below it."""
        buckets, below = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            buckets.append((bound, below))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self.total)


def connected(buses: Mapping[str, Bus]) -> Iterable[Metric]:
    """Whether NATS answers, by connection."""
    is_connected = GaugeMetricFamily("flowgate_nats_connected", "1 while NATS answers", labels=["connection"])
    for name, bus in buses.items():
        is_connected.add_metric([name], float(bus.is_connected))
    yield is_connected


@dataclass(frozen=True)
class FactCounter:
    """Facts that are counted when they are committed.

    Attributes:
        kind: their type.
        name: of the metric, without `_total`.
        text: what it counts.
        labels: label → what it says of a fact.
        values: label → all that it may say, so that each of the counters begins at 0.
    """

    kind: type[Message]
    name: str
    text: str
    labels: Mapping[str, Callable[[Any], str]]
    values: Mapping[str, Iterable[str]]


class FrameMetrics:
    """What the frame counts around the handlers of an owner, and what follows from the facts that they tell."""

    def __init__(
        self, service: str, registry: CollectorRegistry | None = None, facts: Sequence[FactCounter] = ()
    ) -> None:
        own = registry or CollectorRegistry(auto_describe=False)
        self._service = service
        self._batches = Counter(
            "flowgate_consumer_batches",
            "Messages of a stream, by outcome: handled, nothing (none of it is wanted), damaged, retried",
            ["consumer", "stream", "shard", "outcome"],
            registry=own,
        )
        self._seconds = Histogram(
            "flowgate_consumer_batch_duration_seconds",
            "From a message's arrival to its acknowledgement",
            ["consumer", "stream"],
            buckets=SECONDS,
            registry=own,
        )
        self._entries = Counter(
            "flowgate_consumer_entries", "Entries of handled messages", ["consumer", "stream"], registry=own
        )
        self._dead = Counter("flowgate_dead_letters", "Entries given up", ["consumer", "stream"], registry=own)
        self._facts = Counter("flowgate_events", "Facts told, when they are committed", ["event"], registry=own)
        self._published = Counter(
            "flowgate_outbox_published", "Rows of the outbox that JetStream has confirmed", registry=own
        )
        self._calls = Histogram(
            "rpc_server_call_duration_seconds",
            "Questions and orders answered, by method and status (200, or the code of the error)",
            ["rpc_method", "rpc_response_status_code"],
            buckets=SECONDS,
            registry=own,
        )
        self._counted = {one.kind: (one, Counter(one.name, one.text, list(one.labels), registry=own)) for one in facts}
        for counted, counter in self._counted.values():
            for values in itertools.product(*(counted.values[label] for label in counted.labels)):
                counter.labels(*values)
        self._names = {kind: name for name, kind in contracts.event_types().items()}

    def reads(self, stream: str, shards: int) -> None:
        """A stream is going to be read: its counters begin at 0, for an increase is seen of what was there before."""
        self._dead.labels(self._service, stream)
        self._entries.labels(self._service, stream)
        for shard, outcome in itertools.product(range(shards), OUTCOMES):
            self._batches.labels(self._service, stream, shard, outcome)

    def message(self, stream: str, shard: int, outcome: str, seconds: float, entries: int = 0) -> None:
        """A message was dealt with."""
        self._batches.labels(self._service, stream, shard, outcome).inc()
        self._seconds.labels(self._service, stream).observe(seconds)
        self._entries.labels(self._service, stream).inc(entries)

    def dead_letter(self, stream: str) -> None:
        """An entry was given up."""
        self._dead.labels(self._service, stream).inc()

    def committed(self, effects: Iterable[object]) -> None:
        """What handlers want said is committed."""
        for said in effects:
            effect = said.effect if isinstance(said, Traced) else said
            kind = type(effect)
            if kind in self._names:
                self._facts.labels(self._names[kind]).inc()
            if kind in self._counted:
                counter, metric = self._counted[kind]
                metric.labels(*(say(effect) for say in counter.labels.values())).inc()

    def published(self, rows: int) -> None:
        """Rows of the outbox were published."""
        self._published.inc(rows)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """A question was answered."""
        self._calls.labels(method, status).observe(seconds)


class ClientMetrics:
    """What is counted of questions to the owners."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "rpc_client_call_duration_seconds",
            "Questions and orders to the owners, by owner, method and status (200, or the code of the error; 503 also"
            " when nobody answers)",
            ["rpc_service", "rpc_method", "rpc_response_status_code"],
            buckets=SECONDS,
            registry=registry,
        )

    def asked(self, service: str, method: str, status: int, seconds: float) -> None:
        """A question was answered, or was not."""
        self._seconds.labels(service, method, status).observe(seconds)


class TokenGuard:
    """Who may read the figures.

    Args:
        digests: SHA-256 of each token, hex, separated by commas; without any nobody may.
    """

    def __init__(self, digests: str) -> None:
        self._digests = [one.strip().lower() for one in digests.split(",") if one.strip()]

    @property
    def is_open(self) -> bool:
        """Whether anybody may read them at all."""
        return bool(self._digests)

    def admits(self, authorization: str) -> bool:
        """Whether a header `Authorization` shows one of the tokens; all are compared, in constant time each."""
        scheme, _, token = authorization.partition(" ")
        shown = sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        matches = [hmac.compare_digest(shown, digest) for digest in self._digests]
        return scheme.lower() == "bearer" and any(matches)
