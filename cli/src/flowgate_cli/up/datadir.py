"""The data folder: who holds it, where things lie in it, and its secrets."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from flowgate_cli.connection import FILE_NAME
from flowgate_cli.errors import CommandError
from flowkit import tokens
from flowkit.embedded.process import write_private

TOKEN_BYTES = 32
_LATER = frozenset({"telemetry_key", "metrics_token"})  # secrets that older folders lack


def _password() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Everything made up at the first start and kept since: tokens, the key that telemetry tokens are made with, and a
    password for each account."""

    admin_token: str = field(default_factory=lambda: tokens.mint(tokens.ADMIN))
    enrollment_token: str = field(default_factory=lambda: tokens.mint(tokens.ENROLLMENT))
    telemetry_key: str = field(default_factory=_password)
    metrics_token: str = field(default_factory=lambda: tokens.mint(tokens.METRICS))
    nats: str = field(default_factory=_password)
    nats_events: str = field(default_factory=_password)
    postgres: str = field(default_factory=_password)
    agent_registry: str = field(default_factory=_password)
    config_push: str = field(default_factory=_password)
    supervisor_control: str = field(default_factory=_password)


class DataDir:
    """The folder, held by one `flowgate up` at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.connection = self.root / FILE_NAME
        self.processes = self.root / "processes.json"
        self.logs = self.root / "logs"
        self.nats = self.root / "nats"
        self.postgres = self.root / "postgres"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the folder and take it.

        Raises:
            CommandError: it cannot be made, or another instance holds it.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CommandError(f"cannot use the data folder {self.root}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._lock, 32).decode().strip()
            os.close(self._lock)
            self._lock = None
            raise CommandError(
                f"the data folder {self.root} is in use by another flowgate (pid {holder or 'unknown'}); "
                "stop that one, or choose another folder with --data-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            os.close(self._lock)  # the kernel lets go of the lock with it
            self._lock = None

    def secrets(self) -> Secrets:
        """The secrets of the folder; made up at the first call.

        Raises:
            CommandError: the file is damaged.
        """
        path = self.root / "secrets.json"
        if not path.exists():
            made = Secrets()
            write_private(path, json.dumps(asdict(made), indent=2) + "\n")
            return made
        try:
            stored = json.loads(path.read_text())
            kept = Secrets(**{name: str(stored[name]) for name in Secrets.__slots__ if name in stored})
        except (OSError, ValueError, TypeError) as error:
            raise CommandError(f"cannot read {path}: {error!r}") from None
        if missing := [name for name in Secrets.__slots__ if name not in stored and name not in _LATER]:
            raise CommandError(f"{path} lacks {', '.join(missing)}")
        if not stored.keys() >= _LATER:  # a folder from before there were these
            write_private(path, json.dumps(asdict(kept), indent=2) + "\n")
        return kept
