"""What the bus tells of all services, whether or not they run."""

from nats.js.api import ClusterInfo, PeerInfo
from prometheus_client.metrics_core import Metric

from api_gateway.streams import count_copies, figures
from flowkit import bus as buses

SHARDS = 2


def told(families: list[Metric]) -> dict[tuple[str, ...], float]:
    """Values by the name and the labels' values."""
    return {
        (one.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for one in families
        for sample in one.samples
    }


async def test_what_waits_is_told_for_readers_that_are_down(fresh_nats_url: str) -> None:
    """No owner runs: their consumers are there, and nothing looks like no lag. Who reads for a client is no reader."""
    bus = await buses.connect(fresh_nats_url, "test")
    await bus.ensure(SHARDS)
    await bus.ensure_consumer("AGENT_EVENTS", "config-push", ["flowgate.evt.agent.v1.agent-registered.*"])
    await bus.jetstream.subscribe("flowgate.evt.agent.>", ordered_consumer=True)
    await bus.jetstream.publish("flowgate.uplink.v1.1", b"")
    await bus.jetstream.publish("flowgate.uplink.v1.1", b"")
    taken = await bus.jetstream.pull_subscribe_bind("agent-registry-1", "UPLINK")
    await taken.fetch(1)
    found = told(list(await figures(bus, SHARDS)))
    waits = {key[1:]: value for key, value in found.items() if key[0] == "flowgate_consumer_lag"}
    assert waits == {
        **{(reader, "0", "UPLINK"): 0 for reader in ("agent-registry", "config-push", "supervisor-control")},
        **{(reader, "1", "UPLINK"): 2 for reader in ("config-push", "supervisor-control")},
        ("agent-registry", "1", "UPLINK"): 1,
        **{("supervisor-control", shard, "TELEMETRY"): 0 for shard in "01"},
        ("config-push", "0", "AGENT_EVENTS"): 0,
    }
    assert found["flowgate_consumer_ack_pending", "agent-registry", "1", "UPLINK"] == 1
    streams = len(await bus.jetstream.streams_info())
    assert found["flowgate_stream_copies", "", "current"] == streams
    assert found["flowgate_stream_copies", "", "offline"] == found["flowgate_stream_copies", "", "behind"] == 0
    await bus.close()


def test_copies_are_counted_by_server() -> None:
    """The leader has one; a server that is away is named, and one that has nothing missing says so."""
    away = PeerInfo(name="nats-2", current=False, offline=True)
    late = PeerInfo(name="nats-1", current=False)
    clusters = [
        ClusterInfo(leader="nats-0", replicas=[PeerInfo(name="nats-1", current=True), away]),
        ClusterInfo(leader="nats-0", replicas=[late, away]),
        ClusterInfo(leader="", replicas=[PeerInfo(name="nats-0", current=True), late, away]),
    ]
    assert count_copies(clusters) == {
        ("nats-0", "current"): 3, ("nats-0", "behind"): 0, ("nats-0", "offline"): 0,
        ("nats-1", "current"): 1, ("nats-1", "behind"): 2, ("nats-1", "offline"): 0,
        ("nats-2", "current"): 0, ("nats-2", "behind"): 0, ("nats-2", "offline"): 3,
    }  # fmt: skip
