"""`flowgate policies …`: which connection settings agents are offered."""

from typing import Annotated

import typer

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import Api, Json
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption, DryRunOption, FormatOption, pair
from flowgate_cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Say which agents send their own telemetry, and their heartbeat.")

NameArgument = Annotated[str, typer.Argument(help="Name of the policy; `default` is for all agents.")]


@app.command("list")
def list_policies(
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the policies. For each setting the one with the most labels that says something on it counts."""
    with Api(connections.find(connection, data_dir)) as api:
        found = api.call("GET", "/supervisor/policies")
    if format is not Format.TABLE:
        output.show(found, format)
        return
    table = output.table(("NAME", "LABELS", "LOGS", "METRICS", "TRACES", "HEARTBEAT", "CHANGED", "BY"))
    for one in found["items"]:
        beat = one["heartbeat_interval_seconds"]
        table.add_row(
            output.text(one["name"]),
            output.text(output.labels(one["selector"]) or "all"),
            *(_switch(one[f"own_{signal}"]) for signal in ("logs", "metrics", "traces")),
            f"{beat} s" if beat else "-",
            output.ago(one["updated_at"]),
            output.text(one["updated_by"]),
        )
    output.console().print(table)


@app.command("set")
def set_policy(
    name: NameArgument,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="key=value that an agent must have; may be given several times."),
    ] = None,
    logs: Annotated[bool | None, typer.Option("--logs/--no-logs", help="Own logs.")] = None,
    metrics: Annotated[bool | None, typer.Option("--metrics/--no-metrics", help="Own metrics.")] = None,
    traces: Annotated[bool | None, typer.Option("--traces/--no-traces", help="Own traces.")] = None,
    heartbeat: Annotated[int | None, typer.Option(min=1, max=3600, help="Seconds between heartbeats.")] = None,
    dry_run: DryRunOption = False,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a policy, or replace the one of this name; on what is left out it says nothing."""
    body: Json = {
        "selector": dict(map(pair, label or [])),
        "own_logs": logs,
        "own_metrics": metrics,
        "own_traces": traces,
        "heartbeat_interval_seconds": heartbeat,
    }
    _change("PUT", name, dry_run, format, connections.find(connection, data_dir), body)


@app.command("delete")
def delete_policy(
    name: NameArgument,
    dry_run: DryRunOption = False,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove a policy; the default one stays."""
    _change("DELETE", name, dry_run, format, connections.find(connection, data_dir))


def _change(
    method: str,
    name: str,
    dry_run: bool,
    format: Format,
    found: connections.Connection,
    body: Json | None = None,
) -> None:
    if not name or "/" in name or "?" in name:
        raise CommandError(f"{name!r} is no name of a policy", 2)
    with Api(found) as api:
        path = f"/supervisor/policies/{name}?dry_run={str(dry_run).lower()}"
        told = api.call(method, path, json=body) if body is not None else api.call(method, path)
    if format is not Format.TABLE:
        output.show(told, format)
        return
    typer.echo(told["effect"]["summary"])


def _switch(value: bool | None) -> str:
    return "-" if value is None else "on" if value else "off"
