"""What the api-gateway tells at /metrics of its own: its requests, its event streams, who signs in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Scope

from api_gateway.ui import is_ui
from flowkit.metrics import SECONDS

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass
class Exchange:
    """A request that is being answered."""

    status: int = 0
    is_stream: bool = False


class HttpMetrics:
    """Counts requests by the template of their path, never by the path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            "Requests answered, event streams apart; the route is the path with its parameters unfilled, ui for the"
            " pages, empty when no path matches",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=(*SECONDS, 10.0),
            registry=registry,
        )
        self._active = Gauge(
            "http_server_active_requests", "Requests under way, event streams included", registry=registry
        )
        self._clients = Gauge(
            "flowgate_sse_clients", "Event streams that are open, by route", ["http_route"], registry=registry
        )
        self._streams = Counter(
            "flowgate_sse_streams", "Event streams that were opened, by route", ["http_route"], registry=registry
        )
        self.sign_ins = Counter(
            "flowgate_sign_ins",
            "Attempts to begin a session at the UI, by outcome: begun, refused. Sessions are kept by no replica, so"
            " nobody can count those that last",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("begun", "refused"):
            self.sign_ins.labels(outcome)

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Exchange]:
        """Around a request; the exchange is filled in as its answer begins."""
        exchange, begun = Exchange(), time.monotonic()
        self._active.inc()
        try:
            yield exchange
        finally:
            self._active.dec()
            route = route_of(scope)
            if exchange.is_stream:
                self._clients.labels(route).dec()
            else:
                method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
                self._seconds.labels(method, route, exchange.status).observe(time.monotonic() - begun)

    def stream_begins(self, scope: Scope, exchange: Exchange) -> None:
        """The answer to the request is an event stream."""
        exchange.is_stream = True
        self._clients.labels(route_of(scope)).inc()
        self._streams.labels(route_of(scope)).inc()


def route_of(scope: Scope) -> str:
    """Template of the request's path, as far as it has been routed."""
    route = scope.get("route")
    if route is not None:
        return str(getattr(route, "path_format", route.path))
    return "ui" if is_ui(scope["path"]) else ""
