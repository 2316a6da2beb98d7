"""`flowgate up` as its users run it: with all services, on ports and in a folder of the test's own."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from flowgate_cli.up import demo
from flowkit.embedded import EmbeddedNats, EmbeddedPostgres

pytestmark = pytest.mark.system

FLOWGATE = str(Path(sys.executable).parent / "flowgate")
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on, each with a free one after it."""
    found: list[int] = []
    for port in range(20000 + os.getpid() % 500 * 20, 32000, 2):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        found.append(port)
        if len(found) == 2:
            return found[0], found[1]
    raise AssertionError("no free ports")


class Up:
    """A running `flowgate up`."""

    def __init__(self, folder: Path, ports: tuple[int, int], *more: str, **settings: str) -> None:
        self.folder = folder
        self.out = folder.with_name(folder.name + ".out")
        self.began = time.monotonic()
        command = [FLOWGATE, "up", "--data-dir", str(folder), "--api-port", str(ports[0])]
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--opamp-port", str(ports[1]), *more],
                stdout=out,
                stderr=out,
                env={**environment(), **settings},
            )

    @property
    def text(self) -> str:
        """What it said so far."""
        return self.out.read_text()

    def connection(self) -> dict[str, Any]:
        """What it wrote for clients."""
        return json.loads((self.folder / "connection.json").read_text())

    def processes(self) -> dict[str, Any]:
        """Its processes."""
        return json.loads((self.folder / "processes.json").read_text())

    def family(self) -> list[psutil.Process]:
        """Itself and all processes below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def wait(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.text}"
            time.sleep(0.05)

    def wait_ready(self) -> float:
        """Wait for the ready block; returns the seconds since the start."""
        self.wait(lambda: "FlowGate is ready" in self.text or self.process.poll() is not None, READY_SECONDS)
        assert self.process.poll() is None, self.text
        return time.monotonic() - self.began

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> float:
        """Stop it; returns the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(sig)
        self.process.wait(30)
        return time.monotonic() - began

    def call(self, path: str, **options: Any) -> httpx2.Response:
        """GET from its API as the administrator."""
        connection = self.connection()
        headers = {"Authorization": f"Bearer {connection['admin_token']}"}
        return httpx2.get(f"{connection['api_url']}/api/v1{path}", headers=headers, timeout=10, **options)


def environment() -> dict[str, str]:
    """Without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLOWGATE_")}


@contextmanager
def up(folder: Path, ports: tuple[int, int], *more: str, **settings: str) -> Iterator[Up]:
    """A ready `flowgate up`, stopped at the end."""
    (folder.with_name(folder.name + ".out")).unlink(missing_ok=True)
    running = Up(folder, ports, *more, **settings)
    try:
        running.wait_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def alive(processes: list[psutil.Process]) -> list[str]:
    """Those that are still there."""
    return [str(one) for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def flowgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a client command."""
    return subprocess.run(
        [FLOWGATE, *arguments], capture_output=True, text=True, timeout=90, check=False, env=environment()
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One with the demo fleet, for tests that leave it as it was."""
    with (
        tempfile.TemporaryDirectory(prefix="flowgate-test-") as name,
        up(Path(name) / "data", free_ports(), "--demo") as one,
    ):
        one.wait(lambda: one.call("/fleet/summary").json()["by_status"]["online"] == 6)
        yield one


def test_the_connection_file_has_everything(running: Up):
    """Addresses and tokens for clients; private."""
    connection = running.connection()
    assert connection["api_url"].startswith("http://127.0.0.1:")
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v1/opamp", connection["opamp_url"])
    assert re.fullmatch(r"fga_[\w-]{43}", connection["admin_token"])
    assert re.fullmatch(r"fge_[\w-]{43}", connection["enrollment_token"])
    assert all(connection[name] for name in ("nats_url", "events_nats_url", "database_url"))
    assert stat.S_IMODE((running.folder / "connection.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((running.folder / "secrets.json").stat().st_mode) == 0o600


def test_secrets_are_on_no_command_line_and_in_no_log(running: Up):
    """Everybody on the machine can read command lines."""
    secrets = json.loads((running.folder / "secrets.json").read_text()).values()
    lines = [" ".join(one.cmdline()) for one in running.family()]
    logs = [path.read_text(errors="replace") for path in (running.folder / "logs").iterdir()]
    for text in (*lines, *logs, running.text):
        assert not [secret for secret in secrets if secret in text]


def test_everything_together_stays_below_600_mb(running: Up):
    """Issue 3, done-when 7: resident memory of all processes, shared pages counted once."""
    pages = 0
    for process in running.family():
        pages += process.memory_full_info().pss
    assert pages < 600 * 2**20


def test_a_folder_in_use_is_refused_in_one_line(running: Up):
    result = flowgate("up", "--data-dir", str(running.folder), "--api-port", "1", "--opamp-port", "2")
    assert result.returncode == 1
    assert result.stderr.startswith(f"flowgate: the data folder {running.folder} is in use by another flowgate (pid ")
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_refused_in_one_line(running: Up, data_dir: Path):
    port = running.connection()["api_url"].rpartition(":")[2]
    result = flowgate("up", "--data-dir", str(data_dir), "--api-port", port)
    assert result.returncode == 1
    assert result.stderr == f"flowgate: port {port} on 127.0.0.1 is in use; choose another with --api-port\n"
    assert not (data_dir / "postgres").exists()


def test_a_crashed_service_is_started_again(running: Up):
    """One clear line, a new process under the same name, and it is ready again."""
    (old,) = running.processes()["services"]["config-push"]
    os.kill(old, signal.SIGKILL)
    running.wait(lambda: "config-push crashed (killed by SIGKILL); starting it again" in running.text)
    running.wait(lambda: running.processes()["services"]["config-push"] != [old])
    running.wait(lambda: running.call("/fleet/summary").json()["partial"] == [])


@pytest.mark.parametrize("server", ["nats-server", "postgres"])
def test_a_crashed_server_is_started_again(running: Up, server: str):
    """The services find it again by themselves."""
    os.kill(running.processes()[server], signal.SIGKILL)
    running.wait(lambda: f"{server} ended unasked" in running.text)
    running.wait(lambda: running.call("/fleet/summary").status_code == 200, 60)


def test_the_demo_fleet_is_there_and_labelled(running: Up):
    """Four supervised agents and two extensions that a newcomer may look at and change."""
    running.wait(lambda: running.call("/gateways", params={"label": "env=demo"}).json()["total"] == 6)
    listed = flowgate("agents", "list", "-l", "env=demo", "-o", "json", "--data-dir", str(running.folder))
    modes = sorted(one["management_mode"] for one in json.loads(listed.stdout)["items"])
    assert modes == ["extension"] * 2 + ["supervisor"] * 4


def test_agents_can_be_configured_and_restarted_from_the_terminal(running: Up, tmp_path: Path):
    """push --wait and restart --wait end with 0 when it is done, and tell why when it is not."""
    where = ("--data-dir", str(running.folder))
    good = tmp_path / "good.yaml"
    good.write_text(
        "receivers: {otlp: {protocols: {grpc: {}}}}\nexporters: {debug: {}}\n"
        "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n"
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text().replace("debug", "dbg"))
    ugly = tmp_path / "ugly.yaml"
    ugly.write_text("a: [1\nb: 2\n")
    agent = "otelcol-contrib@demo-supervisor-1"
    running.wait(lambda: running.call("/fleet/summary").json()["by_status"]["online"] == 6)

    pushed = flowgate("agents", "push", agent, str(good), "--wait", *where)
    assert (pushed.returncode, pushed.stdout.split()[-1]) == (0, "applied"), pushed.stderr
    assert "otlp" in flowgate("agents", "config", agent, *where).stdout

    failed = flowgate("agents", "push", agent, str(bad), "--wait", *where)
    assert failed.returncode == 5
    assert 'unknown type: "dbg"' in failed.stderr
    assert f"flowgate agents diagnose {agent}" in failed.stderr

    refused = flowgate("agents", "push", agent, str(ugly), *where)
    assert refused.returncode == 4
    assert "line 2" in refused.stderr

    seen = flowgate("agents", "push", "otelcol-contrib@demo-extension-5", str(good), *where)
    assert seen.returncode == 4
    assert "AcceptsRemoteConfig" in seen.stderr

    restarted = flowgate("agents", "restart", agent, "--wait", "-o", "json", *where)
    assert json.loads(restarted.stdout)["state"] == "completed", restarted.stderr
    assert flowgate("agents", "show", "nobody", *where).returncode == 3


def test_events_can_be_read_back(running: Up):
    """By the credentials that read events only; oldest first, decoded."""
    told = flowgate("events", "tail", "--since", "1h", "--no-follow", "-o", "json", "--data-dir", str(running.folder))
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert {"agent.registered", "agent.connected"} <= {one["event"] for one in events}
    assert len({one["id"] for one in events}) == len(events)
    assert all(one["data"]["occurred_at"] for one in events)


def test_a_second_start_has_the_state_and_is_quick(data_dir: Path):
    """Same tokens, same gateways; ready in under 15 s (issue 3, done-when 7)."""
    folder, ports = data_dir / "data", free_ports()
    with up(folder, ports) as first:
        before = first.connection()
        sim = flowgate("sim", "--agents", "3", "--seconds", "4", "--data-dir", str(folder), "--json")
        assert json.loads(sim.stdout)["connects"] == 3, sim.stderr
        known = {one["gateway_id"] for one in first.call("/gateways").json()["items"]}
        assert len(known) == 3
        assert first.stop() < STOP_SECONDS
    again = Up(folder, ports)
    try:
        again.out.unlink()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                found = {one["gateway_id"] for one in again.call("/gateways").json()["items"]}
                break
            except (httpx2.HTTPError, KeyError):
                time.sleep(0.1)
        assert found == known
        assert again.connection() == before
    finally:
        again.stop()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process(data_dir: Path, sig: signal.Signals):
    """Within 10 s, with agents connected; without an error."""
    with up(data_dir / "data", free_ports(), "--demo") as one:
        one.wait(lambda: one.call("/gateways", params={"status": "online"}).json()["total"] == demo.AGENTS)
        family = one.family()
        assert len(family) > 7
        assert one.stop(sig) < STOP_SECONDS
        assert alive(family) == []
        assert one.process.returncode == 0
        assert "FlowGate has stopped" in one.text


def test_a_service_that_does_not_stop_is_killed(data_dir: Path):
    """Within the same 10 s."""
    with up(data_dir / "data", free_ports()) as one:
        family = one.family()
        os.kill(one.processes()["services"]["agent-registry"][0], signal.SIGSTOP)
        assert one.stop() < STOP_SECONDS
        assert alive(family) == []
        assert "agent-registry did not stop within" in one.text


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_kill_9_of_flowgate_leaves_no_process_and_a_folder_in_order(data_dir: Path):
    folder, ports = data_dir / "data", free_ports()
    with up(folder, ports) as one:
        family = one.family()
        one.stop(signal.SIGKILL)
        one.wait(lambda: not alive(family), 10)
    with up(folder, ports) as again:
        assert again.call("/fleet/summary").status_code == 200


def test_two_replicas_of_every_service(data_dir: Path):
    """Further listeners take the next ports, and agents may be dealt out over them."""
    ports = free_ports()
    with up(data_dir / "data", ports, "--replicas", "2") as one:
        assert {2} == {len(pids) for pids in one.processes()["services"].values()}
        connection = one.connection()
        assert connection["opamp_urls"] == [f"ws://127.0.0.1:{ports[1] + n}/v1/opamp" for n in range(2)]
        assert connection["api_urls"] == [f"http://127.0.0.1:{ports[0] + n}" for n in range(2)]
        sim = flowgate("sim", "--agents", "6", "--seconds", "3", "--data-dir", str(one.folder), "--json")
        assert json.loads(sim.stdout)["connects"] == 6, sim.stderr
        for url in connection["api_urls"]:
            headers = {"Authorization": f"Bearer {connection['admin_token']}"}
            assert httpx2.get(f"{url}/api/v1/gateways", headers=headers, timeout=10).json()["total"] == 6


def test_servers_of_ones_own_are_used_instead(data_dir: Path):
    """With FLOWGATE_NATS_URL and FLOWGATE_DATABASE_URL nothing embedded is started."""
    with (
        EmbeddedNats(data_dir / "nats") as bus,
        EmbeddedPostgres(data_dir / "pg", durable=False) as postgres,
        up(data_dir / "data", free_ports(), FLOWGATE_NATS_URL=bus.url, FLOWGATE_DATABASE_URL=postgres.url) as one,
    ):
        assert set(one.processes()) == {"flowgate", "services", "metrics"}
        assert (one.connection()["nats_url"], one.connection()["database_url"]) == (bus.url, postgres.url)
        assert one.call("/fleet/summary").json()["total"] == 0
