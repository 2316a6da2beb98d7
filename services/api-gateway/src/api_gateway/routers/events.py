"""Fleet events as they happen, as server-sent events."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.live import Hub, StoredEvent, Wanted
from api_gateway.owners import OwnersDep, canonical_id, find
from api_gateway.recent import count, recent
from api_gateway.schemas.event import FleetEvent, RecentEventsResponse
from flowkit.errors import UnavailableError

router = APIRouter(prefix="/api/v1", tags=["events"], responses=refusals(401, 404, 422, 503))

Domain = Literal["agent", "config", "supervisor"]

_RETRY_MILLISECONDS = 2000  # how long a browser waits before it comes back


def _wanted(
    domain: Annotated[
        list[Domain] | None,
        Query(description="Only events of this domain; may be given several times."),
    ] = None,
    instance_id: Annotated[
        list[str] | None,
        Query(description="Only events of this agent or gateway (either id); may be given several times."),
    ] = None,
) -> Wanted:
    return Wanted(frozenset(domain or ()), frozenset(canonical_id(text) for text in instance_id or ()))


def hub_of(request: Request) -> Hub:
    """The events.

    Raises:
        UnavailableError: they cannot be read now.
    """
    hub: Hub = request.app.state.hub
    if not hub.is_running and not hub.is_closed:
        raise UnavailableError("Events cannot be read now.", service="nats")
    return hub


async def _listening(
    hub: Annotated[Hub, Depends(hub_of)],
    wanted: Annotated[Wanted, Depends(_wanted)],
    last_event_id: Annotated[
        str | None,
        Header(description="Id of the last event that was seen: what came after it is sent first."),
    ] = None,
) -> AsyncIterator[AsyncGenerator[tuple[str, StoredEvent | None], None]]:
    """What is sent, closed at the end of the request. FastAPI drops an endpoint's generator when the client leaves, and
    the garbage collector would close the parts of this one in any order."""
    async with aclosing(hub.listen(wanted, last_event_id or None)) as events:
        yield events


@router.get("/events/recent", operation_id="listRecentEvents", response_model=RecentEventsResponse)
async def list_recent(
    request: Request,
    owners: OwnersDep,
    hub: Annotated[Hub, Depends(hub_of)],
    domain: Annotated[list[Domain] | None, Query(description="Only of these domains.")] = None,
    instance_id: Annotated[str | None, Query(description="Only of this agent or gateway (either id).")] = None,
    since: Annotated[datetime | None, Query(description="Only events that are not older; RFC 3339.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events at most.")] = 100,
) -> Response:
    """The latest events, newest first."""
    uid = (await find(owners, instance_id)).gateway.instance_id if instance_id else None
    oldest = 0.0 if since is None else (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
    wanted = Wanted(frozenset(domain or ()))
    found = await recent(hub.events, wanted, uid, limit, lambda event: event.stored_at >= oldest)
    total = await count(hub.events, wanted, oldest) if since is not None and uid is None else None
    return answer({"items": [event.body for event in found], "total": total})


@router.get("/events", operation_id="streamEvents", response_class=EventSourceResponse)
async def stream_events(
    events: Annotated[AsyncGenerator[tuple[str, StoredEvent | None], None], Depends(_listening)],
) -> AsyncIterable[FleetEvent | ServerSentEvent]:
    """Fleet events as they happen. `event` is the kind, such as agent.connected, `data` a FleetEvent.

    The first message carries an `id` only: where the stream begins. With Last-Event-ID the stream begins behind that
    event; with an id that is unknown or no longer kept, at the oldest event that is. Events are kept for seven days.
    A comment comes every 15 s without events. A client that is too slow is let go and comes back by its id.
    """
    try:
        async for cursor, event in events:
            if event is None:
                yield ServerSentEvent(id=cursor, retry=_RETRY_MILLISECONDS, comment="connected")
            else:
                kind = event.body["event"] if event.body else None
                yield ServerSentEvent(raw_data=event.text, event=kind, id=cursor)
    except UnavailableError:
        return  # the streams cannot be read now: the client comes back by its id
