"""Bodies in the object stores on a real NATS."""

import asyncio
import os

import pytest
from nats.js.errors import KeyNotFoundError

from flowkit import bus as buses
from flowkit import contracts
from flowkit.bus import Outgoing
from flowkit.errors import NotFoundError
from flowkit.testing import eventually


async def test_a_body_is_read_while_it_is_put_again(fresh_nats_url: str) -> None:
    """A bulk push stores one body for each of its agents while ingress replicas fetch it: nobody waits for ever."""
    bus = await buses.connect(fresh_nats_url, "test")
    await bus.ensure(1)
    body = os.urandom(1000)
    await bus.put_body(contracts.BODIES, "config-1", body)

    async def put() -> None:
        for _ in range(100):
            await bus.put_body(contracts.BODIES, "config-1", body)

    async def get() -> None:
        for _ in range(100):
            assert await bus.get_body(contracts.BODIES, "config-1") == body

    async with asyncio.timeout(30):
        await asyncio.gather(put(), put(), get(), get())
    await bus.close()


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_body_comes_back_whole(fresh_nats_url: str, size: int) -> None:
    """Also an empty one, and one of several chunks."""
    bus = await buses.connect(fresh_nats_url, "test")
    await bus.ensure(1)
    body = os.urandom(size)
    await bus.put_body(contracts.BODIES, "body", body)
    assert await bus.get_body(contracts.BODIES, "body") == body
    await bus.delete_body(contracts.BODIES, "body")
    with pytest.raises(NotFoundError, match="no body"):
        await bus.get_body(contracts.BODIES, "body")
    await bus.put_body(contracts.BODIES, "body", body)
    assert await bus.get_body(contracts.BODIES, "body") == body
    await bus.close()


async def test_what_was_made_by_an_older_version_gets_the_limits_of_this_one(fresh_nats_url: str) -> None:
    """Bodies end after a while, and so do the markers of entries that were removed: neither grows for ever."""
    bus = await buses.connect(fresh_nats_url, "test")
    await bus.jetstream.create_object_store(contracts.BODIES)
    await bus.jetstream.create_key_value(bucket=contracts.AGENT_DESIRED)
    await bus.ensure(1)
    assert (await bus.jetstream.stream_info(f"OBJ_{contracts.BODIES}")).config.max_age == contracts.BODIES_TTL
    assert (await bus.jetstream.stream_info(f"KV_{contracts.AGENT_DESIRED}")).config.allow_msg_ttl
    bucket = await bus.kv(contracts.AGENT_DESIRED)
    await bucket.put("key", b"value")
    headers = {**contracts.KV_REMOVED, "Nats-TTL": "1s"}
    await bus.publish(Outgoing(f"$KV.{contracts.AGENT_DESIRED}.key", "end", b"", headers))
    with pytest.raises(KeyNotFoundError):
        await bucket.get("key")

    async def left() -> int:
        return int((await bus.jetstream.stream_info(f"KV_{contracts.AGENT_DESIRED}")).state.messages)

    await eventually(left, until=lambda many: many == 0)
    await bus.close()
