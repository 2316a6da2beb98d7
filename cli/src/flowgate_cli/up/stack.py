"""The order in which everything starts and stops."""

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from flowgate_cli.connection import Connection
from flowgate_cli.errors import CommandError
from flowgate_cli.up.child import Child
from flowgate_cli.up.datadir import DataDir
from flowgate_cli.up.servers import EVENTS_USER, KeptServer, make_nats, make_postgres
from flowgate_cli.up.specs import (
    OWNERS,
    Options,
    ServiceSpec,
    external,
    migration_environment,
    service_specs,
)
from flowkit.embedded import EmbeddedServerError
from flowkit.embedded.process import write_private

# Seconds for each step of the stop; together they stay below the 10 s that a stop may take.
INGRESS_GRACE = 3.0
OWNER_GRACE = 3.0
SERVER_GRACE = 2.5


class Stack:
    """FlowGate as processes of this machine. `say(level, text)` shows a line on the terminal."""

    def __init__(self, data: DataDir, options: Options, say: Callable[[str, str], None]) -> None:
        self.data = data
        self.options = options
        self._say = say
        self._began_at = time.monotonic()
        self._servers: list[KeptServer] = []
        self._children: list[Child] = []

    async def start(self) -> Connection:
        """Start everything and wait until it is ready; writes connection.json.

        Raises:
            CommandError: something does not start.
        """
        self.options.require_free_ports()
        secrets = self.data.secrets()
        try:
            nats_url, events_url, database_url = await self._start_servers()
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from None
        specs = service_specs(self.options, secrets, nats_url, database_url)
        _require_packages(specs)
        # The ingress needs no database: it starts while the schemas are brought up to date.
        self._start_children([spec for spec in specs if spec.is_ingress])
        await self._step("database schemas are up to date", self._migrate(database_url))
        self._start_children([spec for spec in specs if not spec.is_ingress])
        await self._step(f"{len(specs)} services are ready", self._all_ready())
        connection = Connection(
            api_url=self.options.api_urls()[0],
            opamp_url=self.options.opamp_urls()[0],
            nats_url=nats_url,
            events_nats_url=events_url,
            database_url=database_url,
            admin_token=secrets.admin_token,
            enrollment_token=secrets.enrollment_token,
            api_urls=self.options.api_urls(),
            opamp_urls=self.options.opamp_urls(),
        )
        connection.write(self.data.connection)
        return connection

    async def failed(self) -> None:
        """Returns only by raising what cannot be helped by starting it again."""
        kept: list[KeptServer | Child] = [*self._servers, *self._children]
        waiting = [asyncio.ensure_future(one.failed()) for one in kept]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def stop(self) -> None:
        """Stop everything: the ingress first, then the owners, at last the servers that they need."""
        ingress = [child for child in self._children if child.spec.is_ingress]
        owners = [child for child in self._children if not child.spec.is_ingress]
        await asyncio.gather(*(child.stop(INGRESS_GRACE) for child in ingress))
        await asyncio.gather(*(child.stop(OWNER_GRACE) for child in owners))
        await asyncio.gather(*(kept.stop(SERVER_GRACE) for kept in self._servers))
        self.data.processes.unlink(missing_ok=True)

    async def _start_servers(self) -> tuple[str, str, str]:
        """NATS and PostgreSQL, side by side; returns the addresses of NATS, of its events reader, of PostgreSQL."""
        nats_url, events_url, database_url = external()
        secrets = self.data.secrets()
        if not nats_url:
            nats = make_nats(self.data, secrets, self.options.ports)
            nats.spawn()
            self._servers.append(KeptServer("nats-server", nats, self._say, self._record))
            nats_url, events_url = nats.url, nats.url_of(EVENTS_USER)
        if not database_url:
            postgres = make_postgres(self.data, secrets)
            postgres.spawn()
            self._servers.append(KeptServer("postgres", postgres, self._say, self._record))
            database_url = postgres.url
        for kept in self._servers:
            await self._step(f"{kept.name} is ready", asyncio.to_thread(kept.server.wait_ready))
            kept.keep()
        return nats_url, events_url, database_url

    def _start_children(self, specs: Sequence[ServiceSpec]) -> None:
        for spec in specs:
            child = Child(spec, self.data.logs, self._say, self._record)
            self._children.append(child)
            child.start()

    async def _all_ready(self) -> None:
        waits = [asyncio.ensure_future(child.wait_ready()) for child in self._children]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _migrate(self, database_url: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flowkit.migrate", *(name.replace("-", "_") for name in OWNERS)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=migration_environment(self.data.secrets(), database_url),
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        log = self.data.logs / "migrate.log"
        write_private(log, output.decode(errors="replace"))
        if process.returncode != 0:
            last = (output.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise CommandError(f"the database schemas cannot be brought up to date: {last} (log: {log})")

    async def _step(self, text: str, work: Awaitable[None]) -> None:
        await work
        self._say("step", f"{text} ({time.monotonic() - self._began_at:.1f} s)")

    def _record(self) -> None:
        """Write down which process is what, for scripts and for people who look."""
        services: dict[str, list[int]] = {}
        metrics: dict[str, list[str]] = {}
        for child in self._children:
            services.setdefault(child.spec.name, []).append(child.pid or 0)
            metrics.setdefault(child.spec.name, []).append(child.spec.metrics_url)
        servers = {kept.name: kept.server.pid for kept in self._servers}
        record = {"flowgate": os.getpid(), **servers, "services": services, "metrics": metrics}
        write_private(self.data.processes, json.dumps(record, indent=2) + "\n")


def _require_packages(specs: Sequence[ServiceSpec]) -> None:
    missing = sorted({spec.name for spec in specs if importlib.util.find_spec(spec.package) is None})
    if missing:
        raise CommandError(f"not installed: {', '.join(missing)}; install the package flowgate with what it needs")
