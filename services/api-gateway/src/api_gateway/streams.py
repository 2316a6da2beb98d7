"""What the bus knows of all services: what waits for each reader, and which copies of the streams there are.

Told here, since a reader whose replicas are all down tells nothing, and what is not told looks like nothing waiting.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator

from nats.js.api import ClusterInfo
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from flowgate.options.v1 import options_pb2
from flowkit import contracts
from flowkit.bus import Bus, shard_durable

COPIES = ("current", "behind", "offline")


async def figures(bus: Bus, shards: int) -> Iterable[Metric]:
    """The same from every replica."""
    labels = ["consumer", "stream", "shard"]
    lag = GaugeMetricFamily("flowgate_consumer_lag", "Messages of a stream that wait to be read", labels=labels)
    open_ = GaugeMetricFamily(
        "flowgate_consumer_ack_pending", "Messages of a stream that a replica works on", labels=labels
    )
    copies = GaugeMetricFamily(
        "flowgate_stream_copies",
        "Copies of streams by NATS server (empty when there is only one) and state: current, behind, offline",
        labels=["server", "state"],
    )
    declared = contracts.streams().values()
    readers = await asyncio.gather(*(bus.consumers(stream.name) for stream in declared))
    for stream, consumers in zip(declared, readers, strict=True):
        names = _sharded(stream, shards)
        for info in (one for one in consumers if one.config.durable_name):  # the others follow for a client
            consumer, shard = names.get(info.name, (info.name, "0"))
            lag.add_metric([consumer, stream.name, shard], info.num_pending or 0)
            open_.add_metric([consumer, stream.name, shard], info.num_ack_pending or 0)
    kept = await bus.jetstream.streams_info()
    for (server, state), count in count_copies(stream.cluster for stream in kept).items():
        copies.add_metric([server, state], count)
    return [lag, open_, copies]


def _sharded(stream: options_pb2.Stream, shards: int) -> dict[str, tuple[str, str]]:
    """Reader and shard by the name of the consumer."""
    return {shard_durable(reader, shard): (reader, str(shard)) for reader in stream.readers for shard in range(shards)}


def count_copies(clusters: Iterable[ClusterInfo | None]) -> dict[tuple[str, str], int]:
    """Copies by server and state; each server that is known has a count for each state."""
    found = Counter(copy for cluster in clusters for copy in _copies(cluster))
    servers = sorted({server for server, _ in found})
    return {(server, state): found[server, state] for server in servers for state in COPIES}


def _copies(cluster: ClusterInfo | None) -> Iterator[tuple[str, str]]:
    if cluster is None:
        yield "", "current"
        return
    if cluster.leader:
        yield cluster.leader, "current"
    for peer in cluster.replicas or ():
        yield peer.name or "", "offline" if peer.offline else "current" if peer.current else "behind"
