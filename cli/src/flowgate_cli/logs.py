"""`flowgate agents logs`: what an agent's supervisor and collector log, and what FlowGate knows of it."""

import contextlib
import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import PAGE, Api, Json
from flowgate_cli.events import EventFormat, since_time
from flowgate_cli.options import AgentArgument, ConnectionOption, DataDirOption

_COLOURS = {"WARN": "yellow", "ERROR": "red", "FATAL": "bold red", "DEBUG": "dim", "TRACE": "dim"}


def logs(
    agent: AgentArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    source: Annotated[str | None, typer.Option(help="Only of the supervisor, collector, or of flowgate.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only of this severity or above: info, warn, error, …")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only since then: 10m, 2h, 1d, or a time such as 2026-11-02T08:00:00Z.")
    ] = None,
    q: Annotated[str | None, typer.Option("--query", "-q", help="Only with this text; case does not count.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Records at most: the latest ones.")] = 100,
    format: Annotated[EventFormat, typer.Option("--output", "-o", help="How a record is written.")] = EventFormat.LINE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the log records of an agent, oldest first."""
    begin = since_time(since, datetime.now(UTC)) if since else None
    wanted = {"since": begin and begin.isoformat(), "severity": severity, "source": source, "q": q}
    filters = {key: value for key, value in wanted.items() if value}
    with Api(connections.find(connection, data_dir)) as api, contextlib.suppress(KeyboardInterrupt):
        gateway = api.find(agent)
        path = f"/gateways/{gateway['gateway_id']}/logs"
        if not follow:
            for record in reversed(latest(api, path, filters, limit)):
                _show(record, format)
            return
        for record in api.stream(f"/supervisor/agents/{gateway['instance_id']}/logs/stream", filters):
            _show(record, format)
            sys.stdout.flush()


def latest(api: Api, path: str, filters: Json, limit: int) -> list[Json]:
    """Up to `limit` records, newest first, over as many pages as it takes."""
    items: list[Json] = []
    cursor: str | None = ""
    while cursor is not None and len(items) < limit:
        more = {"cursor": cursor} if cursor else {}
        page = api.call("GET", path, params={**filters, "limit": min(PAGE, limit - len(items)), **more})
        items += page["items"]
        cursor = page["next_cursor"]
    return items


def _show(record: Json, format: EventFormat) -> None:
    if format is EventFormat.JSON:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    attributes = {key: value for key, value in record["attributes"].items() if value not in (None, "")}
    more = " ".join(f"{key}={value}" for key, value in attributes.items())
    output.console().print(
        Text.assemble(
            (str(record["timestamp"]), "dim"),
            " ",
            (f"{record['severity']:<5}", _COLOURS.get(record["severity"], "")),
            f" {record['source']:<10} ",
            output.text(record["body"]),
            (f"  {output.text(more)}" if more else "", "dim"),
        ),
        soft_wrap=True,
    )
