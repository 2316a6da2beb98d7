"""How clients find a running FlowGate: the file `connection.json`, or the environment."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from flowgate_cli.errors import CommandError
from flowkit.embedded.process import write_private

FILE_NAME = "connection.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """Addresses and credentials of one FlowGate; an empty text means: not known.

    `api_urls` and `opamp_urls` list every replica, the first one being `api_url` and `opamp_url`.
    """

    api_url: str = ""
    opamp_url: str = ""
    nats_url: str = field(default="", repr=False)
    events_nats_url: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    admin_token: str = field(default="", repr=False)
    enrollment_token: str = field(default="", repr=False)
    api_urls: tuple[str, ...] = ()
    opamp_urls: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Write the file so that only its owner can read it, in one step."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Connection":
        """Read the file; fields that this version does not know are ignored.

        Raises:
            CommandError: there is no such file, or it is none of ours.
        """
        try:
            fields = json.loads(path.read_text())
            known = {name: fields[name] for name in cls.__slots__ if name in fields}
        except FileNotFoundError:
            raise CommandError(
                f"no FlowGate found: {path} does not exist. Start one with `flowgate up`, point to its folder "
                "with --data-dir, or set FLOWGATE_API_URL and FLOWGATE_TOKEN"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise CommandError(f"cannot read {path}: {error}") from None
        for name in ("api_urls", "opamp_urls"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


def default_data_dir() -> Path:
    """FLOWGATE_DATA_DIR, else ./flowgate-data if it is there, else ~/.local/share/flowgate."""
    if named := os.environ.get("FLOWGATE_DATA_DIR"):
        return Path(named).expanduser()
    here = Path("flowgate-data")
    if here.is_dir():
        return here.absolute()
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "flowgate"


def find(connection: Path | None, data_dir: Path | None) -> Connection:
    """The FlowGate that a client command talks to.

    An option wins over FLOWGATE_API_URL with FLOWGATE_TOKEN, and these over the default data folder.

    Raises:
        CommandError: none is known.
    """
    if connection is not None:
        return Connection.read(connection / FILE_NAME if connection.is_dir() else connection)
    if data_dir is not None:
        return Connection.read(data_dir / FILE_NAME)
    if url := os.environ.get("FLOWGATE_API_URL"):
        if urlsplit(url).scheme not in ("http", "https"):
            raise CommandError(f"FLOWGATE_API_URL is {url!r}; it needs to be http://… or https://…")
        return Connection(
            api_url=url.rstrip("/"),
            admin_token=os.environ.get("FLOWGATE_TOKEN", ""),
            events_nats_url=os.environ.get("FLOWGATE_EVENTS_NATS_URL", ""),
        )
    return Connection.read(default_data_dir() / FILE_NAME)
