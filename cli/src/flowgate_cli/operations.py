"""`flowgate operations …`: the same action for many agents, a few at a time."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import OTHERWISE, Api, Json
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption, DryRunOption, FormatOption
from flowgate_cli.output import Format

EXIT_CODES = """Exit codes: 0 done, 1 error, 2 wrong usage, 3 no such agent, 4 refused, 5 failed or cancelled."""
PATH = "/supervisor/operations"
COUNTS = ("waiting", "running", "succeeded", "failed", "skipped")
SHOWN = 50  # agents that failed or were skipped, in a table

app = typer.Typer(no_args_is_help=True, help="Restart or configure many agents, a few at a time.", epilog=EXIT_CODES)

AgentOption = Annotated[
    list[str] | None,
    typer.Option("--agent", help="This agent (id, name, beginning of an id); may be given several times."),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "--selector", "-l", help="Agents with this label, key=value or key; all of several are wanted."
    ),
]
ModeOption = Annotated[str | None, typer.Option("--mode", help="Agents of this mode: supervisor or extension.")]
StatusOption = Annotated[list[str] | None, typer.Option("--status", help="Only online, stale or offline ones.")]
AllOption = Annotated[bool, typer.Option("--all", help="The whole fleet.")]
RoomOption = Annotated[
    str, typer.Option("--max-unavailable", help="How many may be under way at once: a number, or a share such as 25%.")
]
StopOption = Annotated[bool, typer.Option("--stop-on-failure", help="Begin nothing more after a failure.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Show progress until it is over.")]


@app.command("restart", epilog=EXIT_CODES)
def restart(
    agent: AgentOption = None,
    label: LabelOption = None,
    mode: ModeOption = None,
    status: StatusOption = None,
    all: AllOption = False,
    max_unavailable: RoomOption = "1",
    stop_on_failure: StopOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Restart the collectors of many agents."""
    with Api(connections.find(connection, data_dir)) as api:
        order = {"action": "restart", **_whom(api, agent, label, mode, status, all)}
        _run(api, order, max_unavailable, stop_on_failure, dry_run, wait, format)


@app.command("push", epilog=EXIT_CODES)
def push(
    file: Annotated[Path, typer.Argument(help="YAML file with the configuration; - reads standard input.")],
    agent: AgentOption = None,
    label: LabelOption = None,
    mode: ModeOption = None,
    status: StatusOption = None,
    all: AllOption = False,
    max_unavailable: RoomOption = "1",
    stop_on_failure: StopOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Give many agents a configuration."""
    try:
        config = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}") from None
    with Api(connections.find(connection, data_dir)) as api:
        order = {"action": "push_config", "config": config, **_whom(api, agent, label, mode, status, all)}
        _run(api, order, max_unavailable, stop_on_failure, dry_run, wait, format)


@app.command("list", epilog=EXIT_CODES)
def list_operations(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Operations at most.")] = 20,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the latest bulk operations."""
    with Api(connections.find(connection, data_dir)) as api:
        found = api.call("GET", PATH, params={"limit": limit})
    if format is not Format.TABLE:
        output.show(found, format)
        return
    if not found["items"]:
        typer.echo("No bulk operations.")
        return
    table = output.table(("ACTION", "STATE", *(name.upper() for name in COUNTS), "BEGAN", "OPERATION ID"))
    for one in found["items"]:
        counts = (str(one[name]) for name in COUNTS)
        began = output.ago(one["created_at"])
        table.add_row(one["action"], output.word(one["state"]), *counts, began, one["operation_id"])
    output.console().print(table)


@app.command("show", epilog=EXIT_CODES)
def show_operation(
    operation_id: Annotated[str, typer.Argument(help="operation_id.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show progress until it is over.")] = False,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a bulk operation with the outcome of each agent."""
    with Api(connections.find(connection, data_dir)) as api:
        if follow:
            _follow(api, operation_id, Console(stderr=format is not Format.TABLE, highlight=False))
        operation = api.call("GET", f"{PATH}/{operation_id}")
    if format is Format.TABLE:
        _print(operation, operation["targets"])
    else:
        output.show(operation, format)


@app.command("cancel", epilog=EXIT_CODES)
def cancel_operation(
    operation_id: Annotated[str, typer.Argument(help="operation_id.")],
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Begin nothing more of a bulk operation; agents that are under way end by themselves."""
    with Api(connections.find(connection, data_dir)) as api:
        operation = api.call("POST", f"{PATH}/{operation_id}/cancel")
    if format is Format.TABLE:
        typer.echo(_progress(operation))
    else:
        output.show(operation, format)


def _whom(
    api: Api, agents: list[str] | None, labels: list[str] | None, mode: str | None, status: list[str] | None, all: bool
) -> Json:
    """The order's part that says whom it is for. Nothing said is nobody, not everybody."""
    chosen = bool(labels or mode or status)
    if agents:
        if chosen or all:
            raise CommandError("name agents, or choose them by --label, --mode, --status or --all; not both", 2)
        return {"instance_ids": [api.find(one)["instance_id"] for one in agents]}
    if not chosen and not all:
        raise CommandError("say whom it is for: --agent, --label, --mode, --status, or --all for the whole fleet", 2)
    pairs = (one.partition("=") for one in labels or [])
    return {
        "selector": {
            "labels": {key: value for key, _, value in pairs},
            "management_mode": mode,
            "status": status or [],
        }
    }


def _run(
    api: Api, order: Json, max_unavailable: str, stop_on_failure: bool, dry_run: bool, wait: bool, format: Format
) -> None:
    room = int(max_unavailable) if max_unavailable.isdecimal() else max_unavailable
    more = {"max_unavailable": room, "stop_on_failure": stop_on_failure, "dry_run": dry_run}
    operation = api.call("POST", PATH, json=order | more)
    is_table = format is Format.TABLE
    if dry_run or not wait:
        if not is_table:
            output.show(operation, format)
        else:
            _print(operation, operation["targets"] if dry_run else [])
        return
    operation_id = operation["operation_id"]
    progress = Console(stderr=not is_table, highlight=False)
    progress.print(f"operation {operation_id}")
    try:
        _follow(api, operation_id, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"\nthe operation goes on: `flowgate operations show --follow {operation_id}` shows it,"
            f" `flowgate operations cancel {operation_id}` stops it",
            err=True,
        )
        raise typer.Exit(130) from None
    operation = api.call("GET", f"{PATH}/{operation_id}")
    if not is_table:
        output.show(operation, format)
    else:
        _print(operation, [one for one in operation["targets"] if one["state"] in ("failed", "skipped")][:SHOWN])
    if operation["state"] != "succeeded":
        raise CommandError(f"{operation['state']}: {operation['failed']} of the agents failed", OTHERWISE)


def _follow(api: Api, operation_id: str, console: Console) -> None:
    """Print progress until the operation is over."""
    for progress in api.progress(f"{PATH}/{operation_id}/events"):
        console.print(_progress(progress))


def _progress(operation: Json) -> str:
    return f"{operation['state']}: " + ", ".join(f"{operation[name]} {name}" for name in COUNTS)


def _print(operation: Json, targets: list[Json]) -> None:
    terminal = output.console()
    if operation["dry_run"]:
        text = f"would be begun for {operation['waiting']} agents, {operation['max_unavailable']} at a time"
        terminal.print(f"{operation['action']} {text}; {operation['skipped']} would be skipped")
    else:
        terminal.print(f"{operation['action']} {operation['operation_id']}: {_progress(operation)}")
    if not targets:
        return
    table = output.table(("NAME", "STATE", "REASON", "INSTANCE ID"))
    for one in targets:
        reason = output.text(one["reason"])
        table.add_row(output.text(one["name"]), output.word(one["state"]), reason, one["instance_id"])
    terminal.print(table)
