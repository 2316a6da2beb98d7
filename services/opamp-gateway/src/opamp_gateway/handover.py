"""Sessions handed from one replica to the next through the KV bucket `agent_sessions`."""

import asyncio
import itertools
import time

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.bus import Bus
from flowkit.telemetry import get_log
from opamp_gateway.connections import Agent, canonical

log = get_log()

_LOAD_SECONDS = 1.0  # a session that takes longer to find is not waited for; the full state is asked for instead
_LOAD_PAUSES = (0.0, 0.1, 0.3)  # s, before each look
_PENDING_SECONDS = 3.0  # the same for one that was announced
_PENDING_PAUSE = 0.1  # s
_ANNOUNCED_SECONDS = 15.0  # after which an announcement says nothing any more: who made it did not survive it


class Handover:
    """Writes sessions of agents that left and reads those of agents that come.

    A session is a shortcut and no truth: a lost one costs a full state, an old one shows as a gap. So it is written
    without waiting for JetStream's word.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[bytes, bytes] = {}
        self._writer: asyncio.Task[None] | None = None

    def save(self, agent: Agent) -> None:
        """Hand over what is durable of the agent's session."""
        if agent.durable_sequence_num < 0:
            return
        state = desired_pb2.SessionState(
            sequence_num=agent.durable_sequence_num,
            capabilities=agent.capabilities,
            remote_config_hash=agent.reported_hash,
            offered_config_hash=agent.offered_hash,
            offered_connection_hash=agent.offered_connection,
            heartbeat_interval_seconds=agent.heartbeat_seconds,
            known_fields=0 if agent.is_missing else agent.known_fields,
            saved_at_unix_nano=time.time_ns(),
        )
        self._put(agent, state)

    def announce(self, agent: Agent) -> None:
        """Tell whoever looks for the agent's session that it is worth waiting for."""
        self._put(agent, desired_pb2.SessionState(is_pending=True, saved_at_unix_nano=time.time_ns()))

    def _put(self, agent: Agent, state: desired_pb2.SessionState) -> None:
        self._waiting[agent.uid] = state.SerializeToString()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                uid, state = self._waiting.popitem()
                await self._bus.connection.publish(f"$KV.{contracts.AGENT_SESSIONS}.{canonical(uid)}", state)
        except nats.errors.Error as error:
            log.warning("handover.not_saved", sessions=len(self._waiting), error=repr(error))
            self._waiting.clear()
        finally:
            self._writer = None

    async def flush(self) -> None:
        """Wait until everything is on its way; closing the bus sends it."""
        if self._writer is not None:
            await self._writer

    async def load(self, uid: bytes, last: int) -> desired_pb2.SessionState | None:
        """What another replica, or this one before a restart, knew of the agent.

        A replica hands a session over when the end of the connection is durable; an agent that comes back at once may
        be faster. So one that ends before sequence_num `last` is looked for again, and one that was announced for
        longer.
        """
        found: desired_pb2.SessionState | None = None
        is_pending = False
        try:
            async with asyncio.timeout(_LOAD_SECONDS) as patience:
                for look, pause in enumerate(itertools.chain(_LOAD_PAUSES, itertools.repeat(_PENDING_PAUSE)), 1):
                    await asyncio.sleep(pause)
                    state = await self._get(uid)
                    if state is None or not state.is_pending:
                        found = state or found
                        if found is not None and (found.sequence_num == last or is_pending):
                            break
                    elif not is_pending and time.time_ns() - state.saved_at_unix_nano < _ANNOUNCED_SECONDS * 1e9:
                        is_pending = True
                        patience.reschedule(asyncio.get_running_loop().time() + _PENDING_SECONDS)
                    if look >= len(_LOAD_PAUSES) and not is_pending:
                        break
        except (TimeoutError, nats.errors.Error, nats.js.errors.Error, DecodeError) as error:
            log.warning("handover.not_loaded", error=repr(error))
        return found

    async def _get(self, uid: bytes) -> desired_pb2.SessionState | None:
        bucket = await self._bus.kv(contracts.AGENT_SESSIONS)
        try:
            entry = await bucket.get(canonical(uid))
        except nats.js.errors.KeyNotFoundError:
            return None
        return desired_pb2.SessionState.FromString(entry.value or b"")
