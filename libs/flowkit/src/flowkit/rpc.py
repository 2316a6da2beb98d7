"""Questions and orders to one owner, over NATS micro services.

The subject comes from the type of the question (`contracts.rpc_methods`). An answer is protobuf; an error is the
micro services' error headers with a JSON body of detail and extra members. What is too large for a NATS message goes
through the object store, either way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import uuid4

import asyncpg
import nats.errors
import nats.micro
import orjson
from google.protobuf.message import DecodeError, Message
from nats.micro.request import Request
from nats.micro.service import Service
from opentelemetry.trace import SpanKind

from flowkit import contracts, outbox, tracing
from flowkit.bus import Bus
from flowkit.db import TRANSIENT, Connection, Database
from flowkit.errors import FlowGateError, InvalidError, UnavailableError, error_of
from flowkit.metrics import ClientMetrics, FrameMetrics
from flowkit.telemetry import get_log

log = get_log()

Store = TypeVar("Store")
Response = TypeVar("Response", bound=Message)

MAX_INLINE = 512 * 1024  # bytes; larger ones go through the object store
_BODY_HEADER = "Flowgate-Body-Object"
_ERROR_CODE = "Nats-Service-Error-Code"
_NUL = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
_MAX_CONCURRENT = 64  # requests of one method worked on at a time


@dataclass(frozen=True)
class Reply:
    """An answer with effects."""

    response: Message
    effects: Sequence[outbox.Effect] = ()


RpcHandler = Callable[[Store, Any, datetime], Awaitable[Reply | Message]]
"""(store, question, now) → answer."""


class RpcServer(Generic[Store]):
    """Answers the questions of one owner, each in a transaction of its own."""

    def __init__(
        self,
        bus: Bus,
        database: Database,
        relay: outbox.Relay,
        service: str,
        store: Callable[[Connection], Store],
        handlers: Mapping[type[Message], RpcHandler[Store]],
        metrics: FrameMetrics | None = None,
    ) -> None:
        self._bus = bus
        self._database = database
        self._relay = relay
        self._service = service
        self._store = store
        self._handlers = handlers
        self._metrics = metrics or FrameMetrics(service)
        self._micro: Service | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        self._micro = await nats.micro.add_service(
            self._bus.connection, name=self._service, version="1.0.0", queue_group=self._service
        )
        for question, handler in self._handlers.items():
            method = contracts.rpc_methods()[question]
            slots = asyncio.Semaphore(_MAX_CONCURRENT)
            await self._micro.add_endpoint(
                name=method.name, subject=method.subject, handler=self._endpoint(question, handler, slots)
            )

    async def stop(self) -> None:
        """Take no more questions, and answer those that were taken."""
        if self._micro is not None:
            with suppress(nats.errors.Error):
                await self._micro.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3.0)

    def _endpoint(
        self, question: type[Message], handler: RpcHandler[Store], slots: asyncio.Semaphore
    ) -> Callable[[Request], Awaitable[None]]:
        name = _span_name(contracts.rpc_methods()[question])

        async def answer(request: Request) -> None:
            parent = (request.headers or {}).get(tracing.HEADER, "")
            async with slots:
                with tracing.span(name, SpanKind.SERVER, parent, rpc__system__name="nats", rpc__method=name) as span:
                    status = await self._answer(request, question, handler)
                    span.set_attribute("rpc.response.status_code", str(status))
                    if status >= FlowGateError.code:
                        tracing.failed(span, f"answered {status}")

        async def spawn(request: Request) -> None:
            task = asyncio.create_task(answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return spawn

    async def _answer(self, request: Request, kind: type[Message], handler: RpcHandler[Store]) -> int:
        """Answer a question; returns 200 or the code of the error."""
        begun, status = time.monotonic(), 200
        try:
            try:
                body = await _taken(self._bus, request.data, request.headers)
                reply = await self._handle(kind.FromString(body), handler)
                data, headers = await _packed(self._bus, reply.SerializeToString())
                await request.respond(data, headers=headers)
            except DecodeError as error:
                raise InvalidError(f"the request is no {kind.DESCRIPTOR.full_name}") from error
            except _NUL as error:
                raise InvalidError("a text of the request holds a NUL character; nothing here does") from error
            except TRANSIENT as error:
                raise UnavailableError(f"{self._service} cannot reach its store: {error!r}") from error
        except FlowGateError as error:
            status = error.code
            await self._refuse(request, error)
        except Exception as error:
            status = FlowGateError.code
            log.error("rpc.failed", method=kind.DESCRIPTOR.name, error=repr(error), exc_info=True)
            await self._refuse(request, FlowGateError(f"{self._service} failed on the request; its log says why"))
        self._metrics.answered(contracts.rpc_methods()[kind].name, status, time.monotonic() - begun)
        return status

    async def _handle(self, question: Message, handler: RpcHandler[Store]) -> Message:
        async with self._database.transaction() as connection:
            reply = await handler(self._store(connection), question, datetime.now(UTC))
            if isinstance(reply, Message):
                return reply
            await outbox.add(connection, self._service, reply.effects)
        self._metrics.committed(reply.effects)
        self._relay.wake()
        return reply.response

    async def _refuse(self, request: Request, error: FlowGateError) -> None:
        body = orjson.dumps({"detail": error.detail, "extra": error.extra})
        with suppress(nats.errors.Error):
            await request.respond_error(str(error.code), error.title, data=body)


class RpcClient:
    """Asks the owners."""

    def __init__(self, bus: Bus, timeout: float = 2.0, metrics: ClientMetrics | None = None) -> None:
        self._bus = bus
        self._timeout = timeout
        self._metrics = metrics

    async def call(self, question: Message, answer: type[Response], *, timeout: float | None = None) -> Response:
        """Ask the owner of this type of question, and wait `timeout` seconds if that is not the usual time.

        What changes nothing is asked once more when the usual time is over: the question may be lost with a server of
        NATS or a replica, and another one answers. Orders are given once.

        Raises:
            UnavailableError: the owner did not answer in time.
            FlowGateError: the owner's own error, of the same kind as it raised.
        """
        method = contracts.rpc_methods()[type(question)]
        begun, status = time.monotonic(), FlowGateError.code
        name = _span_name(method)
        try:
            with tracing.span(name, SpanKind.CLIENT, rpc__system__name="nats", rpc__method=name):
                tries = 2 if method.is_question and timeout is None else 1
                reply = await self._call(method, question, answer, timeout or self._timeout, tries)
            status = 200
            return reply
        except FlowGateError as error:
            status = error.code
            raise
        finally:
            if self._metrics is not None:
                self._metrics.asked(method.service, method.name, status, time.monotonic() - begun)

    async def _call(
        self, method: contracts.RpcMethod, question: Message, answer: type[Response], seconds: float, tries: int
    ) -> Response:
        data, headers = await _packed(self._bus, question.SerializeToString())
        if tracing.is_on():
            headers = {**(headers or {}), tracing.HEADER: tracing.traceparent()}
        try:
            reply = await self._bus.connection.request(method.subject, data, timeout=seconds, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(f"{method.service} is not running", service=method.service) from error
        except (nats.errors.Error, TimeoutError) as error:
            if tries > 1 and isinstance(error, TimeoutError):
                log.warning("rpc.asked_again", method=method.name, seconds=seconds)
                return await self._call(method, question, answer, seconds, tries - 1)
            raise UnavailableError(
                f"{method.service} did not answer within {seconds:g} s", service=method.service
            ) from error
        code = (reply.headers or {}).get(_ERROR_CODE)
        if code:
            problem = orjson.loads(reply.data) if reply.data else {}
            raise error_of(int(code), problem.get("detail", ""), problem.get("extra", {}))
        return answer.FromString(await _taken(self._bus, reply.data, reply.headers))


def _span_name(method: contracts.RpcMethod) -> str:
    return f"{method.service}/{method.name}"


async def _packed(bus: Bus, data: bytes) -> tuple[bytes, dict[str, str] | None]:
    """The data, or where it lies when it is too large."""
    if len(data) <= MAX_INLINE:
        return data, None
    name = f"rpc-{uuid4()}"
    await bus.put_body(contracts.UPLINK_BODIES, name, data)
    return b"", {_BODY_HEADER: name}


async def _taken(bus: Bus, data: bytes, headers: dict[str, str] | None) -> bytes:
    name = (headers or {}).get(_BODY_HEADER)
    if not name:
        return data
    body = await bus.get_body(contracts.UPLINK_BODIES, name)
    await bus.delete_body(contracts.UPLINK_BODIES, name)
    return body
