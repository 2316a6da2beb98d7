"""The embedded nats-server and PostgreSQL under `flowgate up`, started again when they end unasked."""

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from flowgate_cli.up.datadir import DataDir, Secrets
from flowkit import contracts
from flowkit.embedded import EmbeddedNats, EmbeddedPostgres, EmbeddedServerError, NatsUser

EVENTS_USER = "events"
BACKOFF = (0.2, 1.0, 5.0, 15.0)  # seconds before each start in a row
STABLE_SECONDS = 30.0


class Server(Protocol):
    """What EmbeddedNats and EmbeddedPostgres have in common."""

    @property
    def pid(self) -> int | None:
        """Process id."""

    def spawn(self) -> None:
        """Start without waiting."""

    def wait_ready(self) -> None:
        """Wait until it answers."""

    def wait(self) -> int:
        """Wait until it ends."""

    def stop(self, within: float = ...) -> None:
        """Stop it within so many seconds."""


def make_nats(data: DataDir, secrets: Secrets, no_ports: Collection[int] = ()) -> EmbeddedNats:
    """The bus, on none of `no_ports`: one account for FlowGate, one that can only read events."""
    streams = contracts.streams()
    events = [name for name, stream in streams.items() if stream.subjects[0].startswith("flowgate.evt.")]
    users = [NatsUser("flowgate", secrets.nats), NatsUser(EVENTS_USER, secrets.nats_events, events)]
    return EmbeddedNats(data.nats, users=users, no_ports=no_ports, log=data.logs / "nats-server.log")


def make_postgres(data: DataDir, secrets: Secrets) -> EmbeddedPostgres:
    """The database."""
    return EmbeddedPostgres(data.postgres, password=secrets.postgres, log=data.logs / "postgres.log")


class KeptServer:
    """Keeps a server running until `stop`.

    `spawn` is called on the main thread only: the kernel ends the server when the thread that forked it is gone.
    """

    def __init__(
        self, name: str, server: Server, say: Callable[[str, str], None], on_start: Callable[[], None]
    ) -> None:
        self.name = name
        self.server = server
        self._say = say
        self._on_start = on_start
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    def keep(self) -> None:
        """From now on start it again when it ends; it runs already."""
        self._keeper = asyncio.create_task(self._keep(), name=self.name)

    async def failed(self) -> None:
        """Returns only by raising what made the keeper give up."""
        assert self._keeper is not None
        await asyncio.shield(self._keeper)

    async def stop(self, within: float) -> None:
        """End it."""
        self._stopping = True
        await asyncio.to_thread(self.server.stop, within)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_at = loop.time()
            code = await asyncio.to_thread(self.server.wait)
            if self._stopping:
                return
            failures = 1 if loop.time() - started_at > STABLE_SECONDS else failures + 1
            delay = BACKOFF[min(failures, len(BACKOFF)) - 1]
            self._say("error", f"{self.name} ended unasked (exit code {code}); starting it again in {delay:g} s")
            await asyncio.sleep(delay)
            try:
                self.server.spawn()
                self._on_start()
                await asyncio.to_thread(self.server.wait_ready)
            except EmbeddedServerError as error:
                self._say("error", f"{self.name}: {error}")
