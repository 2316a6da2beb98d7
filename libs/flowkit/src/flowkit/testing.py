"""Fixtures and builders for tests: real servers, made-up agents, waiting without sleeping.

A server comes from its URL in the environment (FLOWGATE_TEST_NATS_URL, FLOWGATE_TEST_DATABASE_URL), else from
testcontainers where a Docker engine answers and has the image, else from the embedded binaries. The tests are the same.
"""

import asyncio
import inspect
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from flowgate.uplink.v1 import uplink_pb2
from flowkit import bus as buses
from flowkit import db, migrate, tokens
from flowkit.bus import Bus
from flowkit.db import Connection
from flowkit.embedded import EmbeddedNats, EmbeddedPostgres
from flowkit.uplink import Report
from opamp.v1 import opamp_pb2

Value = TypeVar("Value")

OWNERS = ("agent_registry", "config_push", "supervisor_control")
PASSWORD = "of-a-test"
SUPERVISOR = 0x7DE7  # capabilities of a real opampsupervisor with all keys on
EXTENSION = 0x4805  # capabilities of a real opampextension


async def eventually(
    probe: Callable[[], Value | Awaitable[Value]], *, seconds: float = 10.0, until: Callable[[Value], bool] = bool
) -> Value:
    """Ask again and again until the answer satisfies `until`; returns it.

    Raises:
        AssertionError: it did not within `seconds`; tells the last answer. An AssertionError of the probe counts as
            an answer that does not satisfy.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        last: object
        try:
            answer = probe()
            value: Value = await answer if inspect.isawaitable(answer) else answer
            if until(value):
                return value
            last = value
        except AssertionError as error:
            last = error
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {seconds} s; last: {last!r}")
        await asyncio.sleep(0.02)


def _has_image(image: str) -> bool:
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    import docker  # a dependency of testcontainers
    import docker.errors

    try:
        with_engine = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        with_engine.images.get(image)
    except docker.errors.DockerException:
        return False
    finally:
        with_engine.close()
    return True


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real nats-server with JetStream, shared by the tests of a session."""
    with ExitStack() as stack:
        given = os.environ.get("FLOWGATE_TEST_NATS_URL")
        if given:
            yield given
        elif _has_image("nats:2"):
            from testcontainers.nats import NatsContainer

            container = stack.enter_context(NatsContainer("nats:2", jetstream=True))
            yield container.nats_uri()
        else:
            yield stack.enter_context(EmbeddedNats(tmp_path_factory.mktemp("nats"))).url


@pytest.fixture
def fresh_nats_url(tmp_path: Path) -> Iterator[str]:
    """A real nats-server of the test's own, empty."""
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server.url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder that other users can be let into: pytest's own is closed again by the next run of pytest, and
    then the account of PostgreSQL cannot reach its files."""
    with tempfile.TemporaryDirectory(prefix="flowgate-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL, as a role that may do everything, shared by the tests of a session."""
    with ExitStack() as stack:
        given = os.environ.get("FLOWGATE_TEST_DATABASE_URL")
        if given:
            yield given
        elif _has_image("postgres:18"):
            from testcontainers.postgres import PostgresContainer

            container = stack.enter_context(PostgresContainer("postgres:18", driver=None))
            yield container.get_connection_url()
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flowgate-test-"))
            yield stack.enter_context(EmbeddedPostgres(Path(folder) / "postgres")).url


@pytest.fixture(scope="session")
def database(postgres_url: str) -> str:
    """Name of a database with the schemas of all owners at their newest version; tests leave nothing in it."""

    async def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        await _execute(postgres_url, f"CREATE DATABASE {name}")
        await migrate.migrate(_with_database(postgres_url, name), dict.fromkeys(OWNERS, PASSWORD))
        return name

    return _run(make())


@pytest.fixture(scope="session")
def database_url(postgres_url: str, database: str) -> Callable[[str], str]:
    """URL of the shared database for an owner's role by its package name; for tests in `rolled_back` transactions."""
    return lambda owner: _with_role(_with_database(postgres_url, database), owner, PASSWORD)


@pytest.fixture
def fresh_database_url(postgres_url: str, database: str) -> Iterator[Callable[[str], str]]:
    """The same for a database of the test's own."""
    name = f"test_{uuid4().hex[:12]}"
    _run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {database}"))
    yield lambda owner: _with_role(_with_database(postgres_url, name), owner, PASSWORD)
    _run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


def _run(work: Coroutine[Any, Any, Value]) -> Value:
    """Run to the end on a loop of its own; asyncio.run would take pytest-asyncio's loop away."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_database(url: str, name: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _with_role(url: str, role: str, password: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)


@asynccontextmanager
async def connected_bus(url: str, shards: int = 2) -> AsyncIterator[Bus]:
    """A connection to NATS with all streams, buckets and consumers made."""
    bus = await buses.connect(url, "test")
    try:
        await bus.ensure(shards)
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def rolled_back(url: str) -> AsyncIterator[Connection]:
    """A transaction that leaves nothing behind."""
    database = await db.connect(url, 1)
    try:
        async with database.transaction() as connection:
            rollback = connection.transaction()
            await rollback.start()
            yield connection
            await rollback.rollback()
    finally:
        await database.close()


def make_report(
    uid: UUID,
    message: opamp_pb2.AgentToServer | None = None,
    *,
    kind: uplink_pb2.EntryKind = uplink_pb2.ENTRY_KIND_REPORT,
    connection: UUID = UUID(int=1),
    connected_at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    at: datetime = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    gateway: str = "gateway-1",
    **changes: Any,
) -> Report:
    """An entry of the uplink as the ingress would write it; `changes` are more fields of the entry."""
    said = message if message is not None else opamp_pb2.AgentToServer()
    said.instance_uid = uid.bytes
    fields = sum(1 << descriptor.number for descriptor, _ in said.ListFields())
    entry = uplink_pb2.UplinkEntry(
        kind=kind,
        instance_uid=uid.bytes,
        connection_id=connection.bytes,
        connected_at_unix_nano=int(connected_at.timestamp() * 1e9),
        received_at_unix_nano=int(at.timestamp() * 1e9),
        transport=uplink_pb2.TRANSPORT_WEBSOCKET,
        remote_address="127.0.0.1:1234",
        **{"credential_id": tokens.BOOTSTRAP, **changes},
    )
    if kind == uplink_pb2.ENTRY_KIND_REPORT:
        entry.fields = fields
        entry.agent_to_server = said.SerializeToString()
    return Report(entry, gateway)


def make_description(**attributes: str) -> opamp_pb2.AgentDescription:
    """An agent's description; the double underscore in a keyword stands for a dot, and names that begin with
    `service` identify."""
    description = opamp_pb2.AgentDescription()
    for keyword, value in attributes.items():
        name = keyword.replace("__", ".")
        identifies = name.startswith("service")
        pairs = description.identifying_attributes if identifies else description.non_identifying_attributes
        pair = pairs.add(key=name)
        pair.value.string_value = value
    return description
