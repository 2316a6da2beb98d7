"""`flowgate tokens …`: with what agents come into the fleet."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import NOT_FOUND, Api, Json
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption, FormatOption, pair
from flowgate_cli.output import Format

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke enrollment tokens.")


@app.command("create")
def create_token(
    name: Annotated[str, typer.Option("--name", help="Name; unique among the tokens that are live.")],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="key=value for the agents that come with it; may be given several times."),
    ] = None,
    expires_in: Annotated[str | None, typer.Option(help="30m, 24h, 7d, …; without it, never.")] = None,
    max_uses: Annotated[
        int | None, typer.Option(min=1, help="Agents that may register with it; without it, any number.")
    ] = None,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make an enrollment token and show it, this once: only its hash is kept."""
    body: Json = {"name": name, "labels": dict(map(pair, label or [])), "max_uses": max_uses}
    if expires_in is not None:
        body["expires_at"] = (datetime.now(UTC) + span(expires_in)).isoformat()
    with Api(connections.find(connection, data_dir)) as api:
        made = api.call("POST", "/enrollment-tokens", json=body)
    if format is not Format.TABLE:
        output.show(made, format)
        return
    typer.echo(made["token"])
    typer.echo(f"{made['name']} ({made['token_id']}); it is not shown again", err=True)


@app.command("list")
def list_tokens(
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the enrollment tokens, newest first; never with their secrets."""
    with Api(connections.find(connection, data_dir)) as api:
        found = api.call("GET", "/enrollment-tokens")
    if format is not Format.TABLE:
        output.show(found, format)
        return
    if not found["items"]:
        typer.echo("No enrollment tokens but the one of `flowgate up`.")
        return
    table = output.table(("NAME", "STATE", "USES", "EXPIRES", "LAST USED", "LABELS", "TOKEN ID"))
    for one in found["items"]:
        uses = f"{one['uses']} of {one['max_uses']}" if one["max_uses"] else str(one["uses"])
        table.add_row(
            output.text(one["name"]),
            output.word(one["state"]),
            uses,
            output.text((one["expires_at"] or "never")[:19]),
            output.ago(one["last_used_at"]),
            output.text(output.labels(one["labels"])),
            one["token_id"],
        )
    output.console().print(table)


@app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="token_id, or name of a live token.")],
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a token: connections made with it are closed within seconds, and it opens nothing any more."""
    with Api(connections.find(connection, data_dir)) as api:
        revoked = api.call("DELETE", f"/enrollment-tokens/{_token_id(api, token)}")
    if format is not Format.TABLE:
        output.show(revoked, format)
        return
    typer.echo(f"{revoked['name']} is revoked ({revoked['uses']} agents came with it)")


def admin_token(connection: ConnectionOption = None, data_dir: DataDirOption = None) -> None:
    """Print the admin token, with which people sign in to the UI."""
    token = connections.find(connection, data_dir).admin_token
    if not token:
        raise CommandError("there is no admin token here; set FLOWGATE_TOKEN, or name the data folder of `flowgate up`")
    typer.echo(token)


def _token_id(api: Api, wanted: str) -> str:
    try:
        return str(UUID(wanted))
    except ValueError:
        found = [one for one in api.call("GET", "/enrollment-tokens")["items"] if one["name"] == wanted]
    live = [one for one in found if one["state"] in ("live", "used_up")]
    if len(live) == 1:
        return str(live[0]["token_id"])
    if found:
        raise CommandError(f"the token {wanted!r} is {found[0]['state']} already; use its token_id")
    raise CommandError(f"no token is called {wanted!r}; see `flowgate tokens list`", NOT_FOUND)


def span(text: str) -> timedelta:
    """A time span such as 30m, 24h or 7d.

    Raises:
        CommandError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None or not int(found[1]):
        raise CommandError(f"{text!r} is no time span; use 30m, 24h or 7d", 2)
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])
