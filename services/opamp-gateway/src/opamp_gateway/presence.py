"""Who was heard of: told once a second on core NATS, so that an idle heartbeat costs no more than a set's entry."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.telemetry import get_log

log = get_log()

_UIDS_A_MESSAGE = 30_000  # of 16 bytes, well below NATS' max_payload


class Presence:
    """Gathers uids and publishes them."""

    def __init__(self, publish: Callable[[str, bytes], Awaitable[None]], gateway: str) -> None:
        self._publish = publish
        self._gateway = gateway
        self.heard: set[bytes] = set()

    async def run(self) -> None:
        """Tell once a second until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.tell()

    async def tell(self) -> None:
        """Publish what was heard since the last time; what cannot be sent is not told later, for it would be old."""
        uids, self.heard = list(self.heard), set()
        for start in range(0, len(uids), _UIDS_A_MESSAGE):
            message = desired_pb2.Presence(
                gateway=self._gateway,
                at_unix_nano=time.time_ns(),
                instance_uids=b"".join(uids[start : start + _UIDS_A_MESSAGE]),
            )
            try:
                await self._publish(contracts.subject_of(message), message.SerializeToString())
            except nats.errors.Error as error:
                log.debug("presence.not_told", error=repr(error))
                return
