"""The embedded servers: who may do what on them, and that they end with their parent."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import nats
import nats.errors
import psutil
import pytest
from nats.js import api

from flowgate_cli.connection import Connection
from flowgate_cli.up.datadir import DataDir
from flowgate_cli.up.servers import EVENTS_USER, make_nats
from flowgate_cli.up.specs import with_role
from flowkit.embedded import EmbeddedNats, EmbeddedPostgres
from flowkit.testing import eventually

EVENT = "flowgate.evt.agent.v1.connected.0198e4b0-7c1d-7a3e-9f00-0000000000a7"
DIRECT_GET = "$JS.API.DIRECT.GET.AGENT_EVENTS"


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    """The NATS of `flowgate up`, with its accounts."""
    with DataDir(tmp_path_factory.mktemp("data")) as data, make_nats(data, data.secrets()) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="flowgate-test-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as server,
    ):
        yield server


@pytest.fixture
async def owner(bus: EmbeddedNats):
    """FlowGate's own client, with the stream of agent events made anew and one event in it."""
    client = await nats.connect(bus.url)
    jetstream = client.jetstream()
    config = api.StreamConfig(name="AGENT_EVENTS", subjects=["flowgate.evt.agent.v1.>"], allow_direct=True)
    await jetstream.add_stream(config)
    await jetstream.publish(EVENT, b"stored", headers={"Nats-Msg-Id": "1"})
    yield client
    await jetstream.delete_stream("AGENT_EVENTS")
    await client.close()


@pytest.fixture
async def reader(bus: EmbeddedNats, owner: nats.NATS):
    """A client with the credentials for reading events; `refusals` collects what the server refuses it."""
    refusals: list[str] = []

    async def refused(error: Exception) -> None:
        refusals.append(str(error))

    client = await nats.connect(bus.url_of(EVENTS_USER), error_cb=refused)
    client.refusals = refusals
    yield client
    await client.close()


async def test_the_events_user_hears_events_live(owner, reader):
    """The same message that JetStream stores reaches a plain subscription of the reader."""
    heard = await reader.subscribe("flowgate.evt.>")
    await reader.request(DIRECT_GET, b'{"seq": 1}')  # answered after the subscription is there; a flush may not be
    await owner.publish(EVENT, b"live")
    assert ((message := await heard.next_msg(5)).subject, message.data) == (EVENT, b"live")


async def test_the_events_user_reads_stored_events(reader):
    """Direct get gives a stored event, by its sequence."""
    assert (await reader.request(DIRECT_GET, b'{"seq": 1}')).data == b"stored"


@pytest.mark.parametrize("subject", ["flowgate.uplink.v1.*", "flowgate.rpc.>", "$KV.>", "flowgate.presence.v1", ">"])
async def test_the_events_user_subscribes_to_nothing_else(reader, subject):
    await reader.subscribe(subject)
    await reader.flush()
    await eventually(lambda: any("permissions violation for subscription" in text for text in reader.refusals))


@pytest.mark.parametrize(
    "subject",
    [
        EVENT,
        "flowgate.rpc.supervisor-control.v1.request-restart",
        "flowgate.uplink.v1.0",
        "$KV.agent_desired.x",
        "$JS.API.CONSUMER.CREATE.AGENT_EVENTS",
        "$JS.API.STREAM.DELETE.AGENT_EVENTS",
        "$JS.API.DIRECT.GET.UPLINK",
        "_INBOX.somebody",
    ],
)
async def test_the_events_user_publishes_nothing(reader, subject):
    await reader.publish(subject, b"{}")
    await reader.flush()
    await eventually(lambda: any("permissions violation for publish" in text for text in reader.refusals))


@pytest.mark.parametrize("target", ["flowgate.rpc.supervisor-control.v1.request-restart", "flowgate.evt.agent.v1.x.y"])
async def test_the_events_user_cannot_have_an_event_sent_to_a_service(owner, reader, target):
    """The answer to a direct get goes to the reply subject that the asker names: it must not leave its account."""
    got = await owner.subscribe(target)
    await owner.flush()
    await reader.publish(DIRECT_GET, b'{"seq": 1}', reply=target)
    await reader.flush()
    await reader.request(DIRECT_GET, b'{"seq": 1}')  # asked later, answered: the one before is through as well
    await owner.flush()
    with pytest.raises(nats.errors.TimeoutError):
        await got.next_msg(0.3)


@pytest.mark.parametrize("credentials", ["", "events:wrong@"])
async def test_nats_wants_credentials(bus, credentials):
    client = nats.NATS()
    try:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await client.connect(f"nats://{credentials}127.0.0.1:{bus.port}", allow_reconnect=False, error_cb=ignore)
    finally:
        await client.close()


async def ignore(_: Exception) -> None:
    """For errors that the caller sees anyway."""


def test_nats_listens_on_loopback_only(bus):
    listening = [one for one in psutil.Process(bus.pid).net_connections("inet") if one.status == "LISTEN"]
    assert {"127.0.0.1"} == {one.laddr.ip for one in listening}


async def test_nats_keeps_port_and_streams(tmp_path: Path):
    """A second start on the same folder is the same server to its clients."""
    with EmbeddedNats(tmp_path) as first:
        port = first.port
        client = await nats.connect(first.url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"1")
        await client.close()
    with EmbeddedNats(tmp_path) as second:
        client = await nats.connect(second.url)
        assert (port, 1) == (second.port, (await client.jetstream().stream_info("KEPT")).state.messages)
        await client.close()


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_postgres_refuses_without_the_password(postgres: EmbeddedPostgres, password: str):
    """The socket alone opens nothing, for the superuser neither."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(with_role(postgres.url, "postgres", password))


def test_postgres_listens_on_no_port(postgres: EmbeddedPostgres):
    connections = psutil.Process(postgres.pid).net_connections("inet")
    assert [one for one in connections if one.status == "LISTEN"] == []


async def test_postgres_keeps_its_data_and_password(data_dir: Path):
    with EmbeddedPostgres(data_dir, durable=False) as first:
        connection = await asyncpg.connect(first.url)
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        await connection.close()
    with EmbeddedPostgres(data_dir, durable=False) as second:
        assert first.password == second.password
        connection = await asyncpg.connect(second.url)
        assert await connection.fetchval("SELECT one FROM kept") == 1
        await connection.close()


def test_a_long_path_gets_a_short_socket(data_dir: Path):
    """A Unix socket's path is bounded by the kernel; the data folder's is not."""
    folder = data_dir / ("long-" * 20)
    folder.mkdir()
    with EmbeddedPostgres(folder, durable=False) as server:
        assert asyncio.run(_one(server.url)) == 1


async def _one(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT 1")
    finally:
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL an account of its own")
def test_root_may_use_a_folder_that_nobody_else_can_enter(data_dir: Path):
    """Like /root: the server's account gets a way through, everybody else stays out."""
    private = data_dir / "private"
    private.mkdir(mode=0o700)
    with EmbeddedPostgres(private / "data", durable=False) as server:
        assert asyncio.run(_one(server.url)) == 1
    assert stat.S_IMODE(private.stat().st_mode) & 0o007 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_the_servers_end_when_their_parent_is_killed(data_dir: Path):
    """After kill -9 of the parent no server is left, and the next start finds the data in order."""
    program = """
        import sys, time
        from pathlib import Path
        from flowkit.embedded import EmbeddedNats, EmbeddedPostgres
        folder = Path(sys.argv[1])
        with EmbeddedNats(folder / "nats") as bus, EmbeddedPostgres(folder / "pg", durable=False) as pg:
            print(bus.pid, pg.pid, flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        servers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    for server in servers:
        _wait_gone(server)
    with EmbeddedPostgres(data_dir / "pg", durable=False) as again:
        assert again.is_running()


def _wait_gone(process: psutil.Process) -> None:
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(10)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass
    assert not psutil.pid_exists(process.pid) or process.status() == psutil.STATUS_ZOMBIE


def test_the_connection_file_is_private(tmp_path: Path):
    """It holds tokens and passwords."""
    path = tmp_path / "connection.json"
    Connection(api_url="http://127.0.0.1:8080").write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
