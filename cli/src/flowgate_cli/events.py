"""`flowgate events tail`: facts of the fleet, decoded, from NATS."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from flowgate_cli import connection as connections
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption
from flowkit import contracts

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
    # The inbox prefix goes with the account: one that only reads events may subscribe to its own alone.
    user = urlsplit(url).username or "flowgate"
    try:
        client = await nats.connect(url, inbox_prefix=f"_INBOX_{user}".encode(), allow_reconnect=follow)
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
    jetstream = client.jetstream()
    arrived: asyncio.Queue[Msg] = asyncio.Queue(maxsize=1000)
    waiting = 0
    for stream, subjects in wanted.items():
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME if start else DeliverPolicy.NEW,
            opt_start_time=start,
            filter_subjects=subjects if len(subjects) > 1 else None,
        )
        try:
            subscription = await jetstream.subscribe(
                subjects[0] if len(subjects) == 1 else "",
                stream=stream,
                cb=arrived.put,
                ordered_consumer=True,
                config=config,
            )
        except nats.js.errors.NotFoundError:
            continue  # no service has made the stream yet
        info = await subscription.consumer_info()
        waiting += (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
    while follow or waiting > 0 or not arrived.empty():
        show(await arrived.get(), format)
        waiting -= 1


def show(message: Msg, format: EventFormat) -> None:
    """Write one event to standard output."""
    try:
        fact = contracts.decode_event(message.subject, message.data)
    except (LookupError, DecodeError) as error:
        typer.echo(f"flowgate: cannot read an event on {message.subject}: {error}", err=True)
        return
    fields = MessageToDict(fact, preserving_proto_field_name=True)
    name = contracts.event_name(type(fact))
    if format is EventFormat.JSON:
        headers = message.headers or {}
        known = {"event": name, "id": headers.get("Nats-Msg-Id"), "subject": message.subject, "data": fields}
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
