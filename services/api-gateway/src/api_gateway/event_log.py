"""The event streams in JetStream, read without a durable consumer: a reader that is gone leaves nothing behind."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats.errors
import nats.js.errors
import orjson
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo

from api_gateway.live import STREAMS, StoredEvent
from flowkit.bus import Bus, sequence_of
from flowkit.errors import UnavailableError
from flowkit.telemetry import get_log

_BATCH = 256  # messages asked for at once
_EXPIRES = 30.0  # s; then the server ends a request and the next one is made
_HEARTBEAT = 5.0  # s; without two of them in a row the consumer is taken for gone
_RETRY = 0.5  # s
_FAILURES = (nats.errors.Error, nats.js.errors.Error, TimeoutError, UnavailableError)

log = get_log()


@dataclass(frozen=True)
class _Consumer:
    stream: str
    name: str
    pending: int


class JetStreamEventLog:
    """`live.EventLog` over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def bounds(self) -> Sequence[tuple[int, int]]:
        """First and last sequence kept, per stream. Asked twice: a stream without a leader does not answer."""
        try:
            infos = await self._infos()
        except _FAILURES as error:
            log.warning("live.bounds_retry", error=repr(error))
            await asyncio.sleep(_RETRY)
            try:
                infos = await self._infos()
            except _FAILURES as again:
                raise UnavailableError(f"The event streams do not answer: {again!r}", service="nats") from again
        return [(info.state.first_seq, info.state.last_seq) for info in infos]

    async def _infos(self) -> Sequence[StreamInfo]:
        return await asyncio.gather(*(self._bus.jetstream.stream_info(name) for name in STREAMS))

    async def count(self, stream: int, since: float) -> int:
        """How many the stream has got since then: a consumer that begins there knows, without reading any."""
        try:
            consumer = await self._consumer(
                stream,
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=datetime.fromtimestamp(since, UTC),
            )
        except _FAILURES as error:
            raise UnavailableError(f"The event streams do not answer: {error!r}", service="nats") from error
        await self._end(consumer)
        return consumer.pending

    async def read(
        self, stream: int, after: int, until: int, subject: str | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        """What is kept behind `after`, up to `until`; only under the subject."""
        consumer = await self._begin(stream, after, subject)
        if not consumer.pending:
            await self._end(consumer)
            return
        async with aclosing(self._messages(consumer)) as messages:
            async for message in messages:
                event = _stored(stream, message)
                if event.sequence <= until:
                    yield event
                if event.sequence >= until or not message.metadata.num_pending:
                    return

    async def follow(self, stream: int, after: int) -> AsyncGenerator[StoredEvent, None]:
        """What comes behind `after`, without end."""
        while True:
            try:
                info = await self._bus.jetstream.stream_info(STREAMS[stream])
                if info.state.last_seq < after:  # made anew: begin at its beginning
                    after = 0
                async with aclosing(self._messages(await self._begin(stream, after))) as messages:
                    async for message in messages:
                        event = _stored(stream, message)
                        after = event.sequence
                        yield event
            except _FAILURES as error:
                log.warning("live.read_retry", stream=STREAMS[stream], error=repr(error))
                await asyncio.sleep(_RETRY)

    async def _begin(self, stream: int, after: int, subject: str | None = None) -> _Consumer:
        return await self._consumer(
            stream, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1, filter_subject=subject
        )

    async def _consumer(self, stream: int, **where: Any) -> _Consumer:
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE, inactive_threshold=2 * _EXPIRES, mem_storage=True, num_replicas=1, **where
        )
        info = await self._bus.jetstream.add_consumer(STREAMS[stream], config)
        return _Consumer(STREAMS[stream], info.name, info.num_pending or 0)

    async def _end(self, consumer: _Consumer) -> None:
        with suppress(*_FAILURES):
            await self._bus.jetstream.delete_consumer(consumer.stream, consumer.name)

    async def _messages(self, consumer: _Consumer) -> AsyncGenerator[Msg, None]:
        """Messages as they come; raises when the consumer is gone."""
        connection = self._bus.connection
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        request = orjson.dumps(
            {"batch": _BATCH, "expires": int(_EXPIRES * 1e9), "idle_heartbeat": int(_HEARTBEAT * 1e9)}
        )
        try:
            while True:
                await connection.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}", request, reply=inbox
                )
                outstanding = _BATCH
                while outstanding:
                    message = await subscription.next_msg(timeout=2 * _HEARTBEAT + 1)
                    status = (message.headers or {}).get("Status")
                    if status is None:
                        outstanding -= 1
                        yield message
                    elif status == "408":  # the request has run its time
                        outstanding = 0
                    elif status != "100":  # 100 is a heartbeat
                        raise UnavailableError(f"consumer of {consumer.stream} is gone: {message.headers}")
        finally:
            with suppress(*_FAILURES):
                await subscription.unsubscribe()
            await self._end(consumer)


def _stored(stream: int, message: Msg) -> StoredEvent:
    sequence, stored_at = sequence_of(message)
    message_id = (message.headers or {}).get("Nats-Msg-Id")
    return StoredEvent(stream, sequence, stored_at, message.subject, message.data, message_id)
