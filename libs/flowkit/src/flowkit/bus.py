"""The bus: one NATS connection, its JetStream streams, KV buckets and object stores."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from flowgate.options.v1 import options_pb2
from flowkit import contracts
from flowkit.errors import NotFoundError, TooLargeError, UnavailableError
from flowkit.telemetry import get_log

log = get_log()

_FIRST_CONNECT = 5.0  # s
_BODY_TRIES = 3
_CONSUMERS_PAGE = 256  # what NATS tells at a time
ACK_WAIT = 10.0  # s; a handler's transaction is far shorter, and a killed replica's batch is taken over after it
_EXISTS = {
    10058,
    10148,
}  # JetStream error codes: stream name, consumer already in use with another configuration


@dataclass(frozen=True)
class Outgoing:
    """A message for JetStream; the same id twice within the stream's window is stored once."""

    subject: str
    message_id: str
    payload: bytes
    headers: dict[str, str]


class Bus:
    """A connection to NATS that goes on by itself after interruptions.

    Attributes:
        connection: for what has no method here.
        jetstream: likewise.
    """

    def __init__(self, connection: Client, replicas: int) -> None:
        self.connection = connection
        self.jetstream: JetStreamContext = connection.jetstream(timeout=5.0)
        self._replicas = replicas
        self._buckets: dict[str, KeyValue] = {}
        self._stores: dict[str, ObjectStore] = {}

    @property
    def is_connected(self) -> bool:
        """Whether NATS answers now."""
        return self.connection.is_connected

    async def close(self) -> None:
        """Close the connection after what is buffered has been sent."""
        if not self.connection.is_closed:
            try:
                await asyncio.wait_for(self.connection.flush(), 1.0)
                await self.connection.close()
            except (TimeoutError, OSError, nats.errors.Error) as error:
                log.warning("bus.close_failed", error=repr(error))

    async def publish(self, message: Outgoing, deadline: float = 5.0) -> int:
        """Store a message in JetStream; returns its sequence in the stream.

        Raises:
            TooLargeError: it is larger than NATS takes.
            UnavailableError: JetStream did not confirm within `deadline` seconds.
        """
        headers = {**message.headers, "Nats-Msg-Id": message.message_id}
        try:
            ack = await self.jetstream.publish(message.subject, message.payload, timeout=deadline, headers=headers)
        except nats.errors.MaxPayloadError as error:
            raise TooLargeError(f"a message of {len(message.payload)} bytes is too large for NATS") from error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"NATS JetStream did not take a message on {message.subject}: {error!r}") from error
        return int(ack.seq)

    async def kv(self, bucket: str) -> KeyValue:
        """A KV bucket that `ensure` made."""
        if bucket not in self._buckets:
            self._buckets[bucket] = await self.jetstream.key_value(bucket)
        return self._buckets[bucket]

    async def put_body(self, store: str, name: str, body: bytes) -> None:
        """Put a body into an object store unless one is there: a name stands for the same body for ever.

        Putting it again would not be harmless: NATS then drops the pieces that a reader may be about to fetch.

        Raises:
            UnavailableError: NATS did not take it.
        """
        try:
            objects = await self._store(store)
            try:
                await objects.get_info(name)
            except nats.js.errors.ObjectNotFoundError:
                await objects.put(name, body)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"object store {store} did not take {name}: {error!r}") from error

    async def get_body(self, store: str, name: str) -> bytes:
        """A body from an object store.

        Raises:
            NotFoundError: there is none under that name.
            UnavailableError: NATS did not answer.
        """
        try:
            objects = await self._store(store)
            for _ in range(_BODY_TRIES):
                info = await objects.get_info(name)
                with suppress(nats.js.errors.NotFoundError):  # two put it at once: the pieces are those of the other
                    return await self._pieces(store, info)
        except (nats.js.errors.ObjectNotFoundError, nats.js.errors.ObjectDeletedError) as error:
            raise NotFoundError(f"object store {store} has no {name}") from error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"object store {store} did not answer: {error!r}") from error
        raise UnavailableError(f"object store {store} has only a part of {name}")

    async def _pieces(self, store: str, info: api.ObjectInfo) -> bytes:
        """The pieces of an object, each asked for by itself.

        `ObjectStore.get` of nats-py has a consumer deliver them, and waits for ever when one does not come.
        """
        pieces: list[bytes] = []
        sequence = 1
        for _ in range(info.chunks or 0):
            piece = await self.jetstream.get_msg(f"OBJ_{store}", sequence, f"$O.{store}.C.{info.nuid}", next=True)
            pieces.append(piece.data or b"")
            sequence = (piece.seq or 0) + 1
        return b"".join(pieces)

    async def delete_body(self, store: str, name: str) -> None:
        """Delete a body; one that is gone already is fine."""
        try:
            await (await self._store(store)).delete(name)
        except nats.js.errors.ObjectNotFoundError:
            return

    async def _store(self, name: str) -> ObjectStore:
        if name not in self._stores:
            self._stores[name] = await self.jetstream.object_store(name)
        return self._stores[name]

    async def ensure(self, shards: int) -> None:
        """Make every stream, bucket and consumer of a shard that does not exist yet, and give those that do as many
        copies as are wanted; all services do so at their start.

        The consumers of uplink and telemetry belong to the stream: it drops what no consumer waits for, so all of them
        exist before the first report does, whichever service starts first.
        """
        declared = contracts.streams()
        await asyncio.gather(
            *(self._ensure_stream(stream) for stream in declared.values()),
            self._ensure_kv(contracts.AGENT_DESIRED, ttl=None),
            self._ensure_kv(contracts.AGENT_CREDENTIALS, ttl=None),
            self._ensure_kv(contracts.AGENT_SESSIONS, ttl=contracts.AGENT_SESSIONS_TTL),
            self._ensure_store(contracts.BODIES, ttl=contracts.BODIES_TTL),
            self._ensure_store(contracts.UPLINK_BODIES, ttl=contracts.UPLINK_BODIES_TTL),
        )
        await asyncio.gather(
            *(self._ensure_shards(declared[name], shards) for name in (contracts.UPLINK, contracts.TELEMETRY))
        )

    async def _ensure_shards(self, stream: options_pb2.Stream, shards: int) -> None:
        # One with a number of copies of its own would not follow its stream.
        present = {info.name for info in await self.consumers(stream.name) if not info.config.num_replicas}
        await asyncio.gather(
            *(
                self.ensure_consumer(
                    stream.name, shard_durable(reader, shard), [stream.subjects[0].replace("*", str(shard))]
                )
                for reader in stream.readers
                for shard in range(shards)
                if shard_durable(reader, shard) not in present
            )
        )

    async def consumers(self, stream: str) -> list[api.ConsumerInfo]:
        """Every consumer of a stream, with what waits for it."""
        found: list[api.ConsumerInfo] = []
        while page := await self.jetstream.consumers_info(stream, offset=len(found)):
            found += page
            if len(page) < _CONSUMERS_PAGE:
                break
        return found

    async def ensure_consumer(self, stream: str, durable: str, subjects: Sequence[str]) -> None:
        """Make a durable pull consumer that hands out one message at a time, in order, over all replicas; with as many
        copies as its stream."""
        await self.jetstream.add_consumer(
            stream,
            api.ConsumerConfig(
                durable_name=durable,
                filter_subject=subjects[0] if len(subjects) == 1 else None,
                filter_subjects=list(subjects) if len(subjects) > 1 else None,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT,
                deliver_policy=api.DeliverPolicy.ALL,
                max_ack_pending=1,
            ),
        )

    async def _ensure_stream(self, stream: options_pb2.Stream) -> None:
        interest = stream.retention == options_pb2.RETENTION_INTEREST
        config = api.StreamConfig(
            name=stream.name,
            description=stream.description,
            subjects=list(stream.subjects),
            retention=api.RetentionPolicy.INTEREST if interest else api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.NEW if interest else api.DiscardPolicy.OLD,
            max_age=float(stream.max_age_seconds) or None,
            max_bytes=int(stream.max_bytes) or -1,
            duplicate_window=float(stream.duplicate_window_seconds),
            num_replicas=self._replicas,
            allow_direct=True,
        )
        try:
            await self.jetstream.add_stream(config)
        except nats.js.errors.BadRequestError as error:
            if error.err_code not in _EXISTS:
                raise
            await self.jetstream.update_stream(config)

    async def _ensure_kv(self, bucket: str, ttl: float | None) -> None:
        config = api.KeyValueConfig(bucket=bucket, ttl=ttl, replicas=self._replicas, history=1)
        await self._ensure_backing(f"KV_{bucket}", self.jetstream.create_key_value(config), allow_msg_ttl=True)

    async def _ensure_store(self, bucket: str, ttl: float) -> None:
        config = api.ObjectStoreConfig(ttl=ttl, replicas=self._replicas)
        await self._ensure_backing(f"OBJ_{bucket}", self.jetstream.create_object_store(bucket, config), max_age=ttl)

    async def _ensure_backing(self, stream: str, creation: Awaitable[object], **wanted: object) -> None:
        """Make a bucket or an object store; its stream gets as many copies as are wanted, and what else is."""
        try:
            await creation
        except nats.js.errors.BadRequestError as error:
            if error.err_code not in _EXISTS:
                raise
        config = (await self.jetstream.stream_info(stream)).config
        wanted["num_replicas"] = self._replicas
        if any(getattr(config, name) != value for name, value in wanted.items()):
            await self.jetstream.update_stream(config, **wanted)


def shard_durable(service: str, shard: int) -> str:
    """Name of a service's consumer of one shard of a stream."""
    return f"{service}-{shard}"


async def connect(urls: str, name: str, *, replicas: int = 1, **options: Any) -> Bus:
    """Connect to NATS.

    Args:
        urls: one or more URLs, separated by commas, credentials included.
        name: shown by NATS for the connection.
        replicas: copies that JetStream keeps.
        options: more for nats.connect.

    Raises:
        UnavailableError: no server answers or it refuses the credentials.
    """

    async def on_error(error: Exception) -> None:
        log.warning("bus.error", error=repr(error))

    async def on_disconnected() -> None:
        if not connection.is_closed:  # our own close is no news
            log.warning("bus.disconnected")

    async def on_reconnected() -> None:
        log.info("bus.reconnected")

    settings: dict[str, Any] = {
        "servers": urls.split(","),
        "name": name,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 3,
        "ping_interval": 5,  # a server that is gone without a word is found dead after two
        "error_cb": on_error,
        "disconnected_cb": on_disconnected,
        "reconnected_cb": on_reconnected,
        **options,
    }
    # The first connection has a bound, unlike later ones: a wrong URL is told at the start, not retried in silence.
    connection = Client()
    try:
        await asyncio.wait_for(connection.connect(**settings), _FIRST_CONNECT)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await connection.close()
        raise UnavailableError(f"NATS does not answer: {error!r}") from error
    return Bus(connection, replicas)


def sequence_of(message: Msg) -> tuple[int, float]:
    """Sequence of a JetStream message in its stream, and how long ago it was stored, in seconds since 1970."""
    metadata = message.metadata
    return int(metadata.sequence.stream), metadata.timestamp.timestamp()
