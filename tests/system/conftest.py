"""A whole FlowGate as its users run it: `flowgate up` with all services as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))  # importlib mode looks nowhere itself


@dataclass
class Flowgate:
    """A running `flowgate up`."""

    data_dir: Path
    process: subprocess.Popen[bytes]
    connection: dict[str, Any] = field(default_factory=dict)

    def pids(self, service: str) -> list[int]:
        """Processes of a service now."""
        processes = json.loads((self.data_dir / "processes.json").read_text())
        return list(processes["services"][service])

    @property
    def opamp_urls(self) -> list[str]:
        """Where agents connect, one URL a replica."""
        return list(self.connection.get("opamp_urls") or [self.connection["opamp_url"]])

    @property
    def agent_headers(self) -> dict[str, str]:
        """What an agent shows."""
        return {"Authorization": f"Bearer {self.connection['enrollment_token']}"}

    def api(self) -> httpx2.Client:
        """A client of the API with the admin token."""
        return httpx2.Client(
            base_url=self.connection["api_url"] + "/api/v1",
            headers={"Authorization": f"Bearer {self.connection['admin_token']}"},
            timeout=10,
        )


def free_ports(count: int) -> int:
    """First of `count` neighbouring ports that nobody listens on."""
    for first in range(20000 + os.getpid() % 10000, 60000, 16):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start(data_dir: Path, *arguments: str, ports: int = 2, environment: dict[str, str] | None = None) -> Flowgate:
    """Run `flowgate up` and wait until it is ready."""
    first = free_ports(2 * ports)
    command = [str(Path(sys.executable).parent / "flowgate"), "up", "--data-dir", str(data_dir)]
    command += ["--api-port", str(first), "--opamp-port", str(first + ports), *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGATE_")}
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "connection.json").unlink(missing_ok=True)
    with (data_dir / "up.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**inherited, **(environment or {})})
    running = Flowgate(data_dir, process)
    deadline = time.monotonic() + 60
    while not (data_dir / "connection.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(running)
            raise AssertionError(f"flowgate up did not start:\n{(data_dir / 'up.log').read_text()}")
        time.sleep(0.05)
    running.connection = json.loads((data_dir / "connection.json").read_text())
    return running


def stop(running: Flowgate) -> None:
    """Stop it as Ctrl-C does; it must be gone within 15 s."""
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        try:
            running.process.wait(15)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
            raise


@pytest.fixture
def flowgate_up(data_dir: Path) -> Iterator[Callable[..., Flowgate]]:
    """Starts `flowgate up`; what was started is stopped at the end of the test."""
    started: list[Flowgate] = []

    def up(*arguments: str, **changes: Any) -> Flowgate:
        running = start(changes.pop("data_dir", data_dir / "flowgate"), *arguments, **changes)
        started.append(running)
        return running

    yield up
    for running in started:
        stop(running)
