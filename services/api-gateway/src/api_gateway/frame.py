"""What is the same around every request: its id, its log line, its largest body, and no failure that escapes."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.metrics import Exchange, HttpMetrics
from api_gateway.problems import internal, problem
from flowkit.telemetry import get_log

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = get_log()


class RequestFrame:
    """The outermost layer: everything within it answers with a request id and never with a stack trace."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._metrics.request(scope) as exchange:
            await self._answer(scope, receive, send, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        request = Request(scope)
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        begun = time.monotonic()

        async def framed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/event-stream"):
                    self._metrics.stream_begins(scope, exchange)
                headers[REQUEST_ID] = request_id
                headers.setdefault("Cache-Control", "no-store")
                if request.app.state.is_leaving:
                    headers["Connection"] = "close"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._within_limit(scope, receive, framed_send)
            except Exception:
                log.exception("request.failed", method=request.method, path=request.url.path)
                if exchange.status:  # too late for an answer: the connection breaks, which the client sees
                    raise
                await internal(request)(scope, receive, framed_send)
            finally:
                quiet = request.method == "GET" and exchange.status < 500
                (log.debug if quiet else log.info)(
                    "request",
                    method=request.method,
                    path=request.url.path,
                    status=exchange.status,
                    milliseconds=round((time.monotonic() - begun) * 1000, 1),
                )

    async def _within_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit, size = self._max_body_bytes, 0
        detail = f"The body may have {limit} bytes at most."
        announced = Request(scope).headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            await problem(Request(scope), 413, detail)(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, counted, send)
