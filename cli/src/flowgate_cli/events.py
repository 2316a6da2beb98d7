"""`flowgate events tail`: facts of the fleet, decoded, from NATS."""

import asyncio
import contextlib
import heapq
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import nats
import nats.errors
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg

from flowgate_cli import connection as connections
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption
from flowkit import contracts

BATCH = 256  # events that one direct get brings at most
ANSWER_SECONDS = 5.0
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds

app = typer.Typer(no_args_is_help=True, help="Follow what happens in the fleet.")


class EventFormat(StrEnum):
    """What `-o` takes."""

    LINE = "line"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: names such as agent.connected or a domain such as agent; none means all."""

    names: tuple[str, ...]
    agent: str

    def subjects(self) -> dict[str, list[str]]:
        """Subject filters by stream.

        Raises:
            CommandError: there is no such event.
        """
        found: dict[str, list[str]] = {}
        unknown = set(self.names)
        for name, kind in contracts.event_types().items():
            hits = {one for one in self.names if one in (name, name.partition(".")[0])}
            unknown -= hits
            if hits or not self.names:
                subject = contracts.filter_of(kind)
                if self.agent:
                    subject = subject.removesuffix("*") + self.agent
                found.setdefault(contracts.stream_of(kind), []).append(subject)
        if unknown:
            known = ", ".join(contracts.event_types())
            raise CommandError(f"there is no event {sorted(unknown)[0]!r}; there are {known}", 2)
        return found


@app.command()
def tail(
    event: Annotated[
        list[str] | None, typer.Argument(help="Only these, such as agent.connected, or a whole domain such as config.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Begin that long ago (10m, 2h, 1d) or at a time (RFC 3339); without it, now.")
    ] = None,
    agent: Annotated[str, typer.Option(help="Only of this instance_id.")] = "",
    follow: Annotated[bool, typer.Option(help="Go on with what happens, until Ctrl-C.")] = True,
    format: Annotated[EventFormat, typer.Option("--output", "-o", help="How events are written.")] = EventFormat.LINE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the facts that FlowGate publishes for other systems, as they happen."""
    found = connections.find(connection, data_dir)
    url = found.events_nats_url or found.nats_url
    if not url:
        raise CommandError("the address of NATS is not known here; use --data-dir, or set FLOWGATE_EVENTS_NATS_URL")
    wanted = Wanted(tuple(event or ()), agent).subjects()
    start = since_time(since, datetime.now(UTC)) if since else None
    if start is None and not follow:
        raise CommandError("--no-follow needs --since: what happened until now begins somewhere", 2)
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(_tail(url, wanted, start, follow, format))


def since_time(text: str, now: datetime) -> datetime:
    """The point in time that `--since` means.

    Raises:
        CommandError: it is neither a span nor a time.
    """
    if span := re.fullmatch(r"(\d+)([smhd])", text):
        return now - timedelta(seconds=int(span[1]) * UNITS[span[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no time; use 10m, 2h, 1d, or 2026-11-02T08:00:00Z", 2) from None
    return at if at.tzinfo else at.astimezone()


async def _tail(
    url: str, wanted: dict[str, list[str]], start: datetime | None, follow: bool, format: EventFormat
) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    try:
        client = await nats.connect(url, allow_reconnect=follow)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise CommandError(f"no answer from NATS ({error}); is `flowgate up` running?") from None
    work = asyncio.ensure_future(_read(client, wanted, start, follow, format))
    stop = asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        work.cancel()
        stop.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
        await client.close()


async def _read(
    client: Client, wanted: dict[str, list[str]], start: datetime | None, follow: bool, format: EventFormat
) -> None:
    live: asyncio.Queue[Msg] = asyncio.Queue(maxsize=10_000)
    if follow:
        for subjects in wanted.values():
            for subject in subjects:
                await client.subscribe(subject, cb=live.put)
        await client.flush()
    seen: set[str] = set()  # what history and the live subscription may both bring
    if start is not None:
        sources = [history(client, stream, subject, start) for stream, all_ in wanted.items() for subject in all_]
        async for event in in_order(sources):
            seen.add(event.id)
            show(event, format)
    while follow:
        message = await live.get()
        event = Event(message.subject, message.data, dict(message.headers or {}), "")
        if event.id not in seen:
            show(event, format)


@dataclass(frozen=True, slots=True)
class Event:
    """One stored or live event; `stored_at` is RFC 3339 with nanoseconds, empty when it is live."""

    subject: str
    payload: bytes
    headers: dict[str, str]
    stored_at: str

    @property
    def id(self) -> str:
        """The same id is the same event."""
        return self.headers.get("Nats-Msg-Id", "")


async def history(client: Client, stream: str, subject: str, start: datetime) -> AsyncIterator[Event]:
    """Stored events from `start` on, oldest first, by JetStream's batched direct get.

    Raises:
        CommandError: the stream cannot be read.
    """
    where: dict[str, Any] = {"start_time": start.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    while True:
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        ask = {**where, "batch": BATCH, "next_by_subj": subject}
        await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(ask).encode(), reply=inbox)
        try:
            while True:
                message = await answers.next_msg(timeout=ANSWER_SECONDS)
                headers = dict(message.headers or {})
                if status := headers.get("Status"):
                    break
                where = {"seq": int(headers["Nats-Sequence"]) + 1}
                yield Event(headers["Nats-Subject"], message.data, headers, headers["Nats-Time-Stamp"])
        except TimeoutError:
            raise CommandError(f"NATS does not give out the stream {stream}; does this FlowGate run?") from None
        finally:
            await answers.unsubscribe()
        if status != "204" or headers.get("Nats-Num-Pending") == "0":  # 404: nothing there (any more)
            return


async def in_order(sources: Sequence[AsyncIterator[Event]]) -> AsyncIterator[Event]:
    """The events of all sources by the time at which they were stored."""
    heads: list[tuple[str, int, Event]] = []
    for number, source in enumerate(sources):
        async for event in source:
            heapq.heappush(heads, (event.stored_at, number, event))
            break
    while heads:
        _, number, event = heapq.heappop(heads)
        yield event
        async for following in sources[number]:
            heapq.heappush(heads, (following.stored_at, number, following))
            break


def show(event: Event, format: EventFormat) -> None:
    """Write one event to standard output."""
    try:
        fact = contracts.decode_event(event.subject, event.payload)
    except (LookupError, DecodeError) as error:
        typer.echo(f"flowgate: cannot read an event on {event.subject}: {error}", err=True)
        return
    fields = MessageToDict(fact, preserving_proto_field_name=True)
    name = contracts.event_name(type(fact))
    if format is EventFormat.JSON:
        known = {"event": name, "id": event.id, "subject": event.subject, "data": fields}
        sys.stdout.write(json.dumps(known) + "\n")
    else:
        sys.stdout.write(line(name, fields) + "\n")
    sys.stdout.flush()


def line(name: str, fields: dict[str, Any], leave_out: Sequence[str] = ("gateway_id",)) -> str:
    """An event in one line: when, what, of whom, and the rest as name=value."""
    rest = dict(fields)
    at, uid = str(rest.pop("occurred_at", "")), str(rest.pop("instance_uid", ""))
    told = " ".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in rest.items() if key not in leave_out
    )
    return f"{at[:23]:23} {name:32} {uid} {told}".rstrip()
