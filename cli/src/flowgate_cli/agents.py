"""`flowgate agents …` and `flowgate status`: the fleet over the REST API."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import OTHERWISE, REFUSED, Api, Json
from flowgate_cli.errors import CommandError
from flowgate_cli.options import AgentArgument, ConnectionOption, DataDirOption, FormatOption
from flowgate_cli.output import Format

EXIT_CODES = """Exit codes: 0 done, 1 error, 2 wrong usage, 3 no such agent, 4 refused, 5 --wait saw another end."""

app = typer.Typer(no_args_is_help=True, help="Look at agents, configure and restart them.", epilog=EXIT_CODES)

TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]
WaitOption = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the outcome.")]


@app.command("list", epilog=EXIT_CODES)
def list_agents(
    mode: Annotated[str | None, typer.Option(help="Only of this mode: extension or supervisor.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only online, stale or offline ones; may be given several times.")
    ] = None,
    healthy: Annotated[
        bool | None, typer.Option("--healthy/--unhealthy", help="Only healthy ones, or only the others.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="Only with this label, key=value or key; may be given several times."),
    ] = None,
    q: Annotated[str | None, typer.Option("--query", "-q", help="Only with this text in name, ids, host, …")] = None,
    sort: Annotated[str, typer.Option(help="name, last_seen_at, version, status, health; - turns it round.")] = "name",
    limit: Annotated[int, typer.Option(min=1, help="Agents at most.")] = 100,
    headers: Annotated[bool, typer.Option("--headers/--no-headers", help="Headers of the table.")] = True,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the agents of the fleet, in both modes."""
    wanted: Json = {"management_mode": mode, "status": status, "healthy": healthy, "label": label, "q": q}
    filters = {key: value for key, value in wanted.items() if value not in (None, [])} | {"sort": sort}
    with _api(connection, data_dir) as api:
        page = api.gateways(filters, limit)
    if format is not Format.TABLE:
        output.show(page, format)
        return
    table = output.table(("NAME", "MODE", "STATUS", "HEALTH", "VERSION", "LAST SEEN", "LABELS", "INSTANCE ID"), headers)
    for one in page["items"]:
        table.add_row(
            output.text(one["name"]),
            one["management_mode"],
            output.word(one["status"]),
            output.word(one["health"]["state"]),
            output.text(one["version"]),
            output.ago(one["last_seen_at"]),
            output.text(output.labels(one["labels"])),
            one["instance_id"],
        )
    terminal = output.console()
    if page["items"]:
        terminal.print(table)
    elif headers:
        terminal.print("No agents." if page["total"] == 0 else "None on this page.")
    if page["total"] > len(page["items"]):
        typer.echo(f"{len(page['items'])} of {page['total']} shown; --limit shows more", err=True)


@app.command("show", epilog=EXIT_CODES)
def show_agent(
    agent: AgentArgument,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show everything known of an agent."""
    with _api(connection, data_dir) as api:
        gateway = api.find(agent)
        if gateway["management_mode"] == "supervisor":
            known = api.call("GET", f"/supervisor/ui/agents/{gateway['instance_id']}")
        else:
            status = api.call("GET", f"/gateways/{gateway['gateway_id']}/status")
            known = {"gateway": gateway, **{key: status[key] for key in ("health", "version", "config", "partial")}}
    if format is not Format.TABLE:
        output.show(known, format)
        return
    from flowgate_cli.agent_page import print_agent

    print_agent(output.console(), known)


@app.command("config", epilog=EXIT_CODES)
def show_config(
    agent: AgentArgument,
    assigned: Annotated[bool, typer.Option("--assigned", help="What it should run with instead.")] = False,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the configuration that an agent runs with to standard output, as it reported it."""
    with _api(connection, data_dir) as api:
        config = api.call("GET", f"/gateways/{api.find(agent)['gateway_id']}/config")
    if assigned:
        if not config["assigned"]:
            raise CommandError("no configuration was pushed to this agent", REFUSED)
        sys.stdout.write(config["assigned"]["config"])
        return
    files = (config["effective"] or {}).get("files", {})
    if not files:
        raise CommandError("the agent has not reported its configuration", REFUSED)
    for name, file in sorted(files.items()):
        if len(files) > 1:
            sys.stdout.write(f"# --- {name}\n")
        sys.stdout.write(file["body"])


@app.command("push", epilog=EXIT_CODES)
def push_config(
    agent: AgentArgument,
    file: Annotated[Path, typer.Argument(help="YAML file with the configuration; - reads standard input.")],
    wait: WaitOption = False,
    timeout: TimeoutOption = 60.0,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Give a supervisor-managed agent a configuration; one that is offline gets it when it is back."""
    try:
        config = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}") from None
    with _api(connection, data_dir) as api:
        uid = api.find(agent)["instance_id"]
        begun = api.call("POST", f"/supervisor/ui/agents/{uid}/config", json={"config": config})
        _outcome(api, agent, begun, f"/deliveries/{begun['delivery_id']}", "applied", wait, timeout, format)


@app.command("restart", epilog=EXIT_CODES)
def restart(
    agent: AgentArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = 60.0,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Restart the collector of a supervisor-managed agent; delivered at most once."""
    with _api(connection, data_dir) as api:
        uid = api.find(agent)["instance_id"]
        begun = api.call("POST", f"/supervisor/agents/{uid}/restart")
        _outcome(api, agent, begun, f"/commands/{begun['command_id']}", "completed", wait, timeout, format)


def status(
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the fleet in numbers."""
    with _api(connection, data_dir) as api:
        summary = api.call("GET", "/fleet/summary")
    if format is not Format.TABLE:
        output.show(summary, format)
        return
    table = output.table(("", ""), headers=False)
    table.add_row("agents", str(summary["total"]))
    for title, key in (("mode", "by_mode"), ("status", "by_status"), ("health", "by_health"),
                       ("version", "by_version"), ("configuration", "by_config_state")):  # fmt: skip
        counts = summary[key] or {}
        table.add_row(title, output.text("   ".join(f"{name} {count}" for name, count in counts.items())))
    output.console().print(table)
    for name in summary["partial"]:
        typer.echo(f"{name} did not answer; its numbers are missing", err=True)


def _api(connection: Path | None, data_dir: Path | None) -> Api:
    return Api(connections.find(connection, data_dir))


def _outcome(
    api: Api, agent: str, begun: Json, path: str, wished: str, wait: bool, timeout: float, format: Format
) -> None:
    """Tell what was begun and, with `wait`, how it goes on; another end than the one wished for is an error."""
    table = format is Format.TABLE
    last: dict[str, Any] = begun
    if table and not wait:
        typer.echo(f"{begun['state']} ({path.removeprefix('/')})")
    if wait:
        progress = Console(stderr=not table, highlight=False)
        for last in api.follow(path, timeout):
            progress.print(output.word(last["state"]))
    if not table:
        output.show(last, format)
    if wait and last["state"] != wished:
        reason = last.get("error") or "no reason was given"
        hint = f"why, and what to do: flowgate agents diagnose {shlex.quote(agent)}"
        raise CommandError(f"{last['state']}: {reason}\n{hint}", OTHERWISE)
