"""The commands and their options; each imports what it needs when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flowgate_cli import agents, diagnosis, events, gateway, logs, operations, policies, tokens
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption, pair

app = typer.Typer(
    name="flowgate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="FlowGate manages fleets of OpenTelemetry Collectors over OpAMP.",
)
app.add_typer(agents.app, name="agents")
app.add_typer(events.app, name="events")
app.add_typer(gateway.app, name="gateway")
app.add_typer(operations.app, name="operations")
app.add_typer(policies.app, name="policies")
app.add_typer(tokens.app, name="tokens")
agents.app.command("diagnose", epilog=agents.EXIT_CODES)(diagnosis.diagnose)
agents.app.command("logs", epilog=agents.EXIT_CODES)(logs.logs)
app.command("status")(agents.status)
app.command("admin-token")(tokens.admin_token)


def run() -> None:
    """Run the command; what is wrong is told in a line or two."""
    try:
        app()
    except CommandError as error:
        typer.echo(f"flowgate: {error}", err=True)
        raise SystemExit(error.exit_code) from None


@app.command()
def up(
    data_dir: DataDirOption = None,
    api_port: Annotated[int, typer.Option(help="Port of the API and the web pages.")] = 8080,
    opamp_port: Annotated[int, typer.Option(help="Port that agents connect to.")] = 4320,
    api_host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    opamp_host: Annotated[
        str, typer.Option(help="Address that agents connect to; 0.0.0.0 lets in those of other machines.")
    ] = "127.0.0.1",
    demo: Annotated[bool, typer.Option("--demo", help="Run a handful of simulated agents as well.")] = False,
    replicas: Annotated[
        int,
        typer.Option(min=1, max=4, help="Processes of each service; further listeners take the next ports."),
    ] = 1,
) -> None:
    """Run FlowGate on this machine until Ctrl-C.

    Starts a NATS server and a PostgreSQL of its own, brings the database up to date and runs the services. With
    FLOWGATE_NATS_URL or FLOWGATE_DATABASE_URL set, it uses those servers instead. Addresses and tokens are written
    to connection.json in the data folder, logs to its folder logs. The data stays there for the next start.
    """
    from flowgate_cli.connection import default_data_dir
    from flowgate_cli.up.command import run as run_up
    from flowgate_cli.up.specs import Options

    run_up(
        data_dir or default_data_dir(),
        Options(api_host, api_port, opamp_host, opamp_port, replicas, demo),
    )


@app.command()
def sim(
    agents: Annotated[int, typer.Option(min=1, max=100_000, help="How many agents.")] = 10,
    supervised_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Part of them under a supervisor; the others are plain extensions.")
    ] = 0.67,
    transport: Annotated[str, typer.Option(help="ws, http, or mixed.")] = "ws",
    url: Annotated[str | None, typer.Option(help="Where agents connect, with --token; several with commas.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="FLOWGATE_ENROLLMENT_TOKEN", help="Enrollment token, with --url.")
    ] = None,
    heartbeat: Annotated[float, typer.Option(min=0, help="Seconds between heartbeats; 0 means none.")] = 30.0,
    report: Annotated[
        float, typer.Option(min=0, help="Seconds between health reports, for load; 0 means only at a change.")
    ] = 0.0,
    apply: Annotated[float, typer.Option(min=0.05, help="Seconds that it takes to apply a configuration.")] = 1.0,
    validate: Annotated[
        bool,
        typer.Option(help="Refuse a bad configuration before it is applied, or let the collector crash on it."),
    ] = True,
    seconds: Annotated[float, typer.Option(min=0, help="End after that long; 0 means at Ctrl-C.")] = 0.0,
    seed: Annotated[str, typer.Option(help="Another word is another fleet, the same word the same one again.")] = "sim",
    attribute: Annotated[
        list[str] | None, typer.Option(help="name=value for the agents' descriptions; may be given several times.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Write the counts as JSON at the end.")] = False,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Run simulated agents that behave as real ones do, in both modes.

    They report health and configuration, apply what is pushed (and fail on a bad one), restart, and come back when the
    server was away. Without --url they connect to the FlowGate of the data folder.
    """
    from flowgate_cli import connection as connections
    from flowgate_cli.sim import FleetPlan
    from flowgate_cli.sim_command import run as run_sim

    if transport not in ("ws", "http", "mixed"):
        raise CommandError(f"there is no transport {transport!r}; use ws, http or mixed", 2)
    if url is not None and not token:
        raise CommandError("--url needs --token (or FLOWGATE_ENROLLMENT_TOKEN)", 2)
    pairs = [text.partition("=") for text in attribute or []]
    if url is not None:
        urls = tuple(url.split(","))
    else:
        found = connections.find(connection, data_dir)
        urls, token = found.opamp_urls or (found.opamp_url,), token or found.enrollment_token
    plan = FleetPlan(
        urls=urls,
        token=token or "",
        agents=agents,
        supervised_ratio=supervised_ratio,
        transport=transport,
        heartbeat_seconds=heartbeat,
        report_seconds=report,
        apply_seconds=apply,
        validates=validate,
        seed=seed,
        attributes={name: value for name, _, value in pairs},
    )
    run_sim(plan, seconds, json_)


@app.command()
def enroll(
    mode: Annotated[str, typer.Argument(help="supervisor (it is managed) or extension (it is only seen).")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Write to this file, readable by you alone.")
    ] = None,
    transport: Annotated[str, typer.Option(help="ws or http.")] = "ws",
    endpoint: Annotated[
        str | None, typer.Option(help="Where the collector finds FlowGate, if not as this machine does.")
    ] = None,
    executable: Annotated[
        str | None, typer.Option(help="The collector that the supervisor runs. Default: otelcol-contrib.")
    ] = None,
    storage: Annotated[str, typer.Option(help="Folder of the supervisor.")] = "./supervisor-storage",
    token_name: Annotated[
        str | None,
        typer.Option(help="Make a new enrollment token of this name for it; see `flowgate tokens`."),
    ] = None,
    token_label: Annotated[
        list[str] | None, typer.Option(help="key=value for the agents that come with the new token.")
    ] = None,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the configuration with which a real collector comes to this FlowGate.

    With `supervisor` it is a supervisor.yaml for opampsupervisor, with `extension` a collector configuration.
    """
    from flowgate_cli import connection as connections
    from flowgate_cli.enroll import configuration, with_new_token

    found = connections.find(connection, data_dir)
    if token_name is not None:
        found = with_new_token(found, token_name, dict(map(pair, token_label or [])))
    text = configuration(mode, found, transport, endpoint, executable, storage)
    if file is None:
        typer.echo(text, nl=False)
        return
    from flowkit.embedded.process import write_private

    write_private(file, text)
    typer.echo(f"wrote {file}", err=True)


@app.command()
def version() -> None:
    """Show the version."""
    from importlib.metadata import version as version_of

    typer.echo(f"flowgate {version_of('flowgate')}")
