"""`flowgate gateway bundle`: a folder with which a collector in a container joins this FlowGate."""

import re
import shlex
import socket
from importlib.resources import files
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import typer

from flowgate_cli import connection as connections
from flowgate_cli.errors import CommandError
from flowgate_cli.options import ConnectionOption, DataDirOption
from flowkit.embedded.process import write_private

FILES = ("docker-compose.yml", "supervisor.yaml", "collector.yaml", "README.md")
MODES = {"supervisor": "true", "extension": "false"}
DEFAULT_IMAGE = "flowgate-gateway:local"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

app = typer.Typer(no_args_is_help=True, help="Collectors in containers.")


@app.callback()
def _group() -> None:
    """Collectors in containers."""


@app.command()
def bundle(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must be empty or not be there.")],
    mode: Annotated[
        str, typer.Option(help="supervisor (FlowGate manages the collector) or extension (it only sees it).")
    ] = "supervisor",
    endpoint: Annotated[
        str | None, typer.Option(help="Where the container finds FlowGate, such as wss://host:4320/v1/opamp.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="FLOWGATE_ENROLLMENT_TOKEN", help="Enrollment token, if not that of the data folder."),
    ] = None,
    image: Annotated[str, typer.Option(help="The collector image, built from gateway/.")] = DEFAULT_IMAGE,
    name: Annotated[str | None, typer.Option(help="Host name of the container, which names the agent.")] = None,
    instance_uid: Annotated[
        str | None, typer.Option(help="Identity to take over from an agent that moves here; default: a new one.")
    ] = None,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a folder that `docker compose up -d --wait` turns into a gateway of this FlowGate.

    It holds a compose file, supervisor.yaml, collector.yaml and .env with the enrollment token, readable by you alone.
    An agent moves between the modes by USE_SUPERVISOR in that file; it stays the same gateway.
    """
    if mode not in MODES:
        raise CommandError(f"there is no mode {mode!r}; use supervisor or extension", 2)
    if endpoint is None or not token:
        found = connections.find(connection, data_dir)
        endpoint, token = endpoint or found.opamp_url, token or found.enrollment_token
    if not token:
        raise CommandError("the enrollment token is not known here; use --token, --data-dir or --connection")
    settings = {
        "USE_SUPERVISOR": MODES[mode],
        "FLOWGATE_GATEWAY_IMAGE": image,
        "GATEWAY_HOSTNAME": _host_name(name or f"{socket.gethostname().partition('.')[0]}-gateway"),
        "FLOWGATE_OPAMP_ENDPOINT": _endpoint(endpoint),
        "FLOWGATE_INSTANCE_UID": _uuid(instance_uid) if instance_uid else "",
        "FLOWGATE_ENROLLMENT_TOKEN": token,
    }
    write(folder, settings)
    typer.echo(f"wrote {folder}; start it with: cd {shlex.quote(str(folder))} && docker compose up -d --wait", err=True)


def write(folder: Path, settings: dict[str, str]) -> None:
    """Make the folder with the files and these settings in .env.

    Raises:
        CommandError: it is there and holds something, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty; choose another folder")
        for file in FILES:
            (folder / file).write_text((files("flowgate_cli") / "bundle" / file).read_text())
            (folder / file).chmod(0o644)  # the container's account reads them
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        write_private(folder / ".env", f"# Holds the enrollment token: keep the file private.\n{lines}")
    except OSError as error:
        raise CommandError(f"cannot write {folder}: {error.strerror}") from None


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise CommandError(f"the endpoint is {url!r}; it needs to be ws://, wss://, http:// or https:// and a host", 2)
    if parts.hostname in LOOPBACK:
        raise CommandError(
            f"a container does not reach {url}: that is its own loopback; give --endpoint with an address of this "
            "machine, and let FlowGate listen there (flowgate up --opamp-host)"
        )
    return url


def _host_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", name):
        raise CommandError(f"{name!r} is no host name; use letters, digits and -, at most 63", 2)
    return name


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise CommandError(f"{text!r} is no UUID, such as an agent's instance_id", 2) from None
