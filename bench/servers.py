"""The two servers under the load generator, and what they cost: CPU time and memory of processes (Linux)."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import asyncpg

from flowkit.embedded.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0  # the first start makes a database
STOP_SECONDS = 20.0
QUIET_SECONDS = 300  # thousands of new agents, on one slow core
QUIET_SHARE = 0.15  # of one core: below it the consumers have caught up
GATEWAY = "gateway"
GROUPS = {  # by what the command line holds
    "opamp_gateway": GATEWAY,
    "nats-server": "nats",
    "postgres": "postgresql",
    "agent_registry": "agent-registry",
    "config_push": "config-push",
    "supervisor_control": "supervisor-control",
    "api_gateway": "api-gateway",
}


@dataclass(frozen=True)
class Cores:
    """Who runs where: the ingress alone on one core, the generator on another, FlowGate's rest beside."""

    ingress: int
    load: int
    rest: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Self:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("bench: two cores are needed, one for the server and one for the load")
        return cls(cores[0], cores[1], frozenset(cores[2:] or cores[1:2]))


@dataclass
class Command:
    """A child that answers lines of JSON on stdout, and ends when its stdin is closed."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, *command: str, core: int) -> Self:
        with pinned({core}):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return cls(process)

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {Path(str(self.process.args[0])).name} ended early")  # type: ignore[index]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def order(self, **order: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Server(ABC):
    """A running server: where it listens, and its processes by group (the ingress is `gateway`)."""

    name: str
    url: str
    token: str = ""

    @abstractmethod
    def processes(self) -> dict[int, str]:
        """Pids with their groups."""

    @abstractmethod
    def settle(self) -> None:
        """Wait until nothing of the last run is left to do."""

    def stored(self) -> float:
        """Bytes on disk of what it keeps of agents."""
        return 0.0

    def cpu(self) -> dict[int, tuple[str, float]]:
        """CPU seconds so far by process, with its group."""
        return {
            pid: (group, seconds)
            for pid, group in self.processes().items()
            if (seconds := cpu_seconds(pid)) is not None
        }

    def resident(self) -> float:
        """Resident bytes of the ingress."""
        return sum(resident_bytes(pid) for pid, group in self.processes().items() if group == GATEWAY)


@dataclass
class OpampGo(Server):
    """The opamp-go server, one process."""

    pid: int = 0

    def processes(self) -> dict[int, str]:
        return {self.pid: GATEWAY}

    def settle(self) -> None:
        time.sleep(0.3)


@dataclass
class FlowGate(Server):
    """All of `flowgate up`: the gateway on the ingress core; NATS, PostgreSQL, other services beside."""

    data_dir: Path = field(default_factory=Path)
    database_url: str = ""
    pid: int = 0
    cores: Cores = field(default_factory=Cores.of_this_machine)

    def processes(self) -> dict[int, str]:
        found: dict[int, str] = {}
        parents, commands = process_table()
        marker = str(self.data_dir)
        for pid, command in commands.items():
            line, ancestor = [pid], parents.get(pid, 0)
            while ancestor > 1:  # PostgreSQL may have left the launcher's tree: its folder gives it away
                line.append(ancestor)
                ancestor = parents.get(ancestor, 0)
            if self.pid in line or any(marker in commands.get(each, "") for each in line):
                found[pid] = group_of(command)
        return found

    def stored(self) -> float:
        async def ask() -> float:
            connection = await asyncpg.connect(self.database_url)
            try:
                return float(await connection.fetchval("SELECT pg_database_size(current_database())"))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def pin(self) -> None:
        """Move the gateway to the ingress core; it may have been started anew since the last time."""
        gateways = [pid for pid, group in self.processes().items() if group == GATEWAY]
        if len(gateways) != 1:
            raise SystemExit(f"bench: {len(gateways)} processes of the opamp-gateway, expected one")
        for thread in Path(f"/proc/{gateways[0]}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {self.cores.ingress})

    def settle(self) -> None:
        """Wait until the consumers have worked off what the last run left on the bus."""
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            before, began = self.cpu(), time.monotonic()
            time.sleep(0.5)
            used = sum(spent(before, self.cpu()).values())
            if used < QUIET_SHARE * (time.monotonic() - began):
                return
        raise SystemExit(f"bench: FlowGate did not become quiet within {QUIET_SECONDS} s after the load")


def group_of(command: str) -> str:
    """The group of a process by its command line."""
    return next((group for part, group in GROUPS.items() if part in command), "launcher")


def process_table() -> tuple[dict[int, int], dict[int, str]]:
    """Parent and command line of every process."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                raw = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            commands[int(entry.name)] = raw.replace(b"\0", b" ").decode(errors="replace")
    return parents, commands


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process with all its threads, ended ones too; None when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock of clock_getcpuclockid(3), in nanoseconds
    except OSError:
        return None


def spent(before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]]) -> dict[str, float]:
    """CPU seconds by group between two looks."""
    total: dict[str, float] = {}
    for pid, (group, seconds) in after.items():
        total[group] = total.get(group, 0.0) + seconds - before.get(pid, (group, 0.0))[1]
    return total


def resident_bytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


@contextmanager
def pinned(cores: set[int] | frozenset[int]) -> Iterator[None]:
    """What is started within inherits these cores at once, for Go sizes its scheduler at its start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def opamp_go(binary: Path, cores: Cores) -> Iterator[OpampGo]:
    """Run the opamp-go server on the ingress core."""
    command = Command.start(str(binary), core=cores.ingress)
    try:
        yield OpampGo("opamp-go", command.read()["url"], pid=command.process.pid)
    finally:
        command.stop()


@contextmanager
def flowgate(executable: Path, cores: Cores, log: IO[str]) -> Iterator[FlowGate]:
    """Run `flowgate up` in a new folder; its output goes to `log`."""
    folder = Path(tempfile.mkdtemp(prefix="flowgate-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own when started by root
    data_dir = folder / "data"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOWGATE_")}
    api_port, opamp_port = free_ports(2)
    command = [str(executable), "up", "--data-dir", str(data_dir)]
    command += ["--api-port", str(api_port), "--opamp-port", str(opamp_port)]
    with pinned(cores.rest):
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        settings = wait_until_ready(process, data_dir / "connection.json", opamp_port)
        url, token, database_url = (settings[name] for name in ("opamp_url", "enrollment_token", "database_url"))
        server = FlowGate("FlowGate", url, token, data_dir, database_url, process.pid, cores)
        server.pin()
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(process: subprocess.Popen[bytes], file: Path, port: int) -> dict[str, str]:
    """The connection settings, once they are written and the gateway listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"bench: flowgate up ended with code {process.returncode}; see its log")
        if file.exists():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    settings: dict[str, str] = json.loads(file.read_text())
                    return settings
            except (OSError, json.JSONDecodeError):
                pass
        time.sleep(0.1)
    raise SystemExit("bench: flowgate up was not ready in time; see its log")
