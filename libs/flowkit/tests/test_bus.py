"""Bodies in the object stores on a real NATS."""

import asyncio
import os

import pytest

from flowkit import bus as buses
from flowkit import contracts
from flowkit.errors import NotFoundError


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
