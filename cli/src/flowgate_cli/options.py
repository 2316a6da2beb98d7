"""Options that several commands have, and what is read from them."""

from pathlib import Path
from typing import Annotated

import typer

from flowgate_cli.errors import CommandError
from flowgate_cli.output import Format

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="FLOWGATE_DATA_DIR",
        show_default=False,
        help="Data folder. Default: ./flowgate-data if it is there, else ~/.local/share/flowgate.",
    ),
]
ConnectionOption = Annotated[
    Path | None,
    typer.Option(
        "--connection",
        show_default=False,
        help="A connection.json. Without it and --data-dir: FLOWGATE_API_URL with FLOWGATE_TOKEN, if set.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
AgentArgument = Annotated[str, typer.Argument(help="instance_id, gateway_id, name, or the beginning of an id.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what it would do.")]


def pair(text: str) -> tuple[str, str]:
    """A label from key=value.

    Raises:
        CommandError: it is none.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise CommandError(f"{text!r} is no label; use key=value", 2)
    return key, value
