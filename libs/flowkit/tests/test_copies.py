"""How many copies JetStream keeps, on a real cluster of three servers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nats.errors
import nats.js.errors
import pytest
from nats.js import api

from flowkit import bus as buses
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.embedded.ports import free_ports
from flowkit.errors import UnavailableError
from flowkit.testing import eventually

SERVERS = 3
FOLLOWED = ["flowgate.evt.agent.v1.agent-connected.*"]


@pytest.fixture
def cluster_urls(tmp_path: Path) -> Iterator[str]:
    """Three servers that know each other."""
    ports = free_ports(2 * SERVERS)
    clients, routes = ports[:SERVERS], ports[SERVERS:]
    with ExitStack() as stack:
        for number in range(SERVERS):
            config = tmp_path / f"nats-{number}.conf"
            config.write_text(
                json.dumps(
                    {
                        "server_name": f"nats-{number}",
                        "listen": f"127.0.0.1:{clients[number]}",
                        "jetstream": {"store_dir": str(tmp_path / f"data-{number}"), "max_file_store": 64 << 30},
                        "cluster": {
                            "name": "test",
                            "listen": f"127.0.0.1:{routes[number]}",
                            "routes": [f"nats-route://127.0.0.1:{port}" for port in routes],
                        },
                    }
                )
            )
            program = Path(sys.executable).parent / "nats-server"
            log = stack.enter_context((tmp_path / f"nats-{number}.log").open("wb"))
            process = stack.enter_context(subprocess.Popen([program, "-c", config], stdout=log, stderr=log))
            stack.callback(process.kill)
        yield ",".join(f"nats://127.0.0.1:{port}" for port in clients)


async def made(urls: str, replicas: int) -> Bus:
    """A connection to a cluster that has taken every stream with so many copies."""

    async def connect() -> Bus | None:
        try:
            bus = await buses.connect(urls, "test", replicas=replicas)
        except UnavailableError:
            return None
        try:
            await bus.ensure(2)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
            await bus.close()
            return None
        return bus

    return await eventually(connect, seconds=40)


async def copies(bus: Bus) -> dict[str, int]:
    """Of each stream and each consumer, as they are kept now; buckets and object stores are streams."""

    def count(info: api.StreamInfo | api.ConsumerInfo) -> int:
        assert info.cluster is not None
        return 1 + len(info.cluster.replicas or ())

    found: dict[str, int] = {}
    for stream in await bus.jetstream.streams_info():
        name = str(stream.config.name)
        found[name] = count(stream)
        found |= {f"{name}/{one.name}": count(one) for one in await bus.consumers(name)}
    return found


async def test_more_copies_of_everything(cluster_urls: str) -> None:
    """What was made with one copy and is asked for with three has three, and loses nothing: streams, buckets, bodies
    and consumers, also one that was made with a number of its own."""
    before = await made(cluster_urls, 1)
    alone = api.ConsumerConfig(
        durable_name="agent-registry-0",
        filter_subject="flowgate.uplink.v1.0",
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=buses.ACK_WAIT,
        max_ack_pending=1,
        num_replicas=1,
    )
    await before.jetstream.add_consumer(contracts.UPLINK, alone)
    await before.ensure_consumer("AGENT_EVENTS", "follower", FOLLOWED)
    await before.jetstream.publish("flowgate.uplink.v1.0", b"kept")
    await (await before.kv(contracts.AGENT_DESIRED)).put("uid.config", b"kept")
    await before.put_body(contracts.BODIES, "body", b"kept")
    found = await copies(before)
    assert {
        "UPLINK",
        "UPLINK/agent-registry-0",
        "AGENT_EVENTS/follower",
        "KV_agent_desired",
        "OBJ_bodies",
    } < found.keys()
    assert set(found.values()) == {1}
    await before.close()

    after = await made(cluster_urls, 3)
    await eventually(lambda: copies(after), seconds=60, until=lambda now: now == dict.fromkeys(found, 3))
    assert (await (await after.kv(contracts.AGENT_DESIRED)).get("uid.config")).value == b"kept"
    assert await after.get_body(contracts.BODIES, "body") == b"kept"
    assert (await after.jetstream.get_msg(contracts.UPLINK, 1)).data == b"kept"
    await after.close()
