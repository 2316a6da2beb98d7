"""Real agents as processes: the opampsupervisor with its collector, and the collector with the plain opampextension."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from interop_flowgate import FlowGate
from ruamel.yaml import YAML

from flowkit.embedded.process import dies_with_parent
from flowkit.testing import eventually

CONFIG = Path(__file__).parents[1] / "peers" / "config"
GATEWAY = Path(__file__).parents[3] / "gateway"  # the files of the collector image
STOP_SECONDS = 10.0

# A supervisor's first collector, which only tells what it is, runs without any configuration of ours and would take
# 127.0.0.1:8888 for its metrics: only one at a time could start on a machine. What is given first is overridden later.
COLLECTOR = """\
#!/bin/sh
case $1 in
--config) exec {fgcol} --config 'yaml:service::telemetry::metrics::level: none' "$@" ;;
*) exec {fgcol} "$@" ;;
esac
"""

_numbers = count(1)


class Agent:
    """A process that speaks OpAMP, of its own folder."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, transport: str, command: list[str], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.transport = transport
        self.log = folder / "agent.log"
        self._command = command
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, without waiting."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_heeds(self.stop_signal),
            )
        return self

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command[0]} ended:\n{self.log.read_text()[-2000:]}"
        return self._process.pid

    def ask_to_stop(self) -> None:
        """Send the signal that it handles."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Stop it in order; when that takes too long it is killed, and that is an error."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self._command[0]} did not stop:\n{self.log.read_text()[-2000:]}") from None


def _heeds(stop_signal: signal.Signals) -> Callable[[], None]:
    """`preexec_fn` of an agent: it gets the signal when the tests are gone, and does not ignore it because they were
    started in the background of a shell."""
    arm = dies_with_parent(stop_signal)

    def prepare() -> None:
        signal.signal(stop_signal, signal.SIG_DFL)
        if arm is not None:
            arm()

    return prepare


class Supervisor(Agent):
    """A supervisor; its storage stays, so that it is the same agent when it starts again."""

    stop_signal = signal.SIGINT  # it does not handle SIGTERM, which would leave its collector running

    def __init__(
        self, binaries: Path, folder: Path, flowgate: FlowGate, transport: str, token: str, more: dict[str, str]
    ) -> None:
        self.storage = folder / "storage"
        collector = folder / "collector.sh"
        environment = {
            "FG_ENDPOINT": flowgate.endpoint(transport),
            "FG_TOKEN": token,
            "FG_STORAGE": str(self.storage),
            "FG_BIN": str(collector),
            "FG_BASE": str(CONFIG / "base.yaml"),
            "FG_APPLY_TIMEOUT": "2s",  # a busy machine needs more than 1 s to start a collector now and then
        }
        command = [str(binaries / "opampsupervisor"), "--config", str(CONFIG / "supervisor.yaml")]
        super().__init__(folder, transport, command, environment | more)
        collector.write_text(COLLECTOR.format(fgcol=binaries / "fgcol"))
        collector.chmod(0o755)

    def stop(self) -> None:
        """Stop it, and whatever collector it has left."""
        try:
            super().stop()
        finally:
            self._end_collectors()

    async def instance_id(self) -> str:
        """The instance_uid that it made for itself at its first start."""
        state = self.storage / "persistent_state.yaml"

        def stored() -> str:
            known = YAML(typ="safe", pure=True).load(state.read_text()) if state.exists() else None
            return str((known or {}).get("instance_id", ""))

        return await eventually(stored, seconds=20)

    def collectors(self) -> list[int]:
        """Pids of the collectors that run from this storage: one, except while it is replaced."""
        mark = str(self.storage / "effective.yaml").encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    async def collector(self) -> int:
        """Pid of the one collector."""
        return (await eventually(self.collectors, until=lambda found: len(found) == 1))[0]

    async def speak(self) -> None:
        """Have it say something now. Over HTTP it gets what waits for it with the answer to that, and otherwise
        only at its next poll, which comes every 30 s: SIGHUP lets the collector reload, which is a change of health.
        Nothing over WebSocket, where it is told at once.
        """
        if self.transport == "http":
            await eventually(self._is_ready, seconds=20)  # SIGHUP ends one that only starts
            os.kill(await self.collector(), signal.SIGHUP)

    def _is_ready(self) -> bool:
        """Whether the collector that was started last has come as far as to run, by its own log."""
        own = self.storage / "agent.log"
        return own.exists() and "Everything is ready" in own.read_text(errors="replace")

    def received_config(self) -> str:
        """The configuration that the server sent it last, as text among protobuf; empty when there was none."""
        stored = self.storage / "last_recv_remote_config.dat"
        return stored.read_bytes().decode(errors="replace") if stored.exists() else ""

    def starts_of_collector(self) -> int:
        """How often it has started a collector, by its own log."""
        return self.log.read_text().count('"Agent process started"')

    def false_alarms(self) -> int:
        """How often it has taken the end of a collector that it stopped for a crash of the one that it started, by its
        own log: exit code 0 is what it gives for a process that runs. FlowGate offers a configuration again then."""
        lines = self.log.read_text().splitlines()
        return sum("Agent process exited unexpectedly" in line and '"exit_code":0' in line for line in lines)

    def _end_collectors(self) -> None:
        deadline = time.monotonic() + 5
        while (left := self.collectors()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        assert not left, f"collectors that cannot be ended: {left}"


class GatewaySupervisor(Supervisor):
    """The supervisor as the collector image runs it, with the configuration of `gateway/`, in folders of the test's."""

    def __init__(
        self, binaries: Path, folder: Path, flowgate: FlowGate, transport: str, token: str, more: dict[str, str]
    ) -> None:
        self.uid = str(uuid.uuid4())
        environment = {
            "FLOWGATE_OPAMP_ENDPOINT": flowgate.endpoint(transport),
            "FLOWGATE_ENROLLMENT_TOKEN": token,
            "FLOWGATE_TELEMETRY_URL": flowgate.endpoint("http").removesuffix("/v1/opamp"),
            "FLOWGATE_INSTANCE_UID": self.uid,
            "FLOWGATE_CONFIG_APPLY_TIMEOUT": "2s",
            "FLOWGATE_LOG_LEVEL": "debug",  # it tells there when it starts a collector
        }
        super().__init__(binaries, folder, flowgate, transport, token, environment | more)
        text = (GATEWAY / "supervisor.yaml").read_text()
        for path, own in (
            ("executable: /otelcol", f"executable: {folder / 'collector.sh'}"),
            ("/etc/flowgate/", f"{GATEWAY}/"),
            ("/var/lib/opampsupervisor", str(self.storage)),
            ("127.0.0.1:13134", "127.0.0.1:0"),
        ):
            assert path in text
            text = text.replace(path, own)
        config = folder / "supervisor.yaml"
        config.write_text(text)
        self.storage.mkdir(mode=0o700)
        self._command[-1] = str(config)


class Extension(Agent):
    """A collector with the plain opampextension: a new instance_uid at each start, known by its host's name."""

    def __init__(self, binaries: Path, folder: Path, flowgate: FlowGate, transport: str, token: str) -> None:
        self.host = f"host-{folder.name}"
        environment = {"FG_ENDPOINT": flowgate.endpoint(transport), "FG_TOKEN": token}
        attributes = "extensions::opamp::agent_description::non_identifying_attributes"
        command = [
            str(binaries / "fgcol"),
            "--config",
            str(CONFIG / f"extension_{transport}.yaml"),
            "--config",
            f"yaml:{attributes}: {{host.name: {self.host}}}",
        ]
        super().__init__(folder, transport, command, environment)


class Fleet:
    """Makes agents and stops them all at the end."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._agents: list[Agent] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for agent in self._agents:
            agent.ask_to_stop()
        errors: list[Exception] = []
        for agent in self._agents:
            try:
                agent.stop()
            except Exception as error:  # noqa: BLE001 the others have to be stopped as well
                errors.append(error)
        if errors:
            raise ExceptionGroup("agents that did not stop", errors)

    def supervisor(
        self, flowgate: FlowGate, transport: str, *, token: str | None = None, **environment: str
    ) -> Supervisor:
        """A supervisor that has been started; `environment` as peers/README.md has it."""
        folder = self._folder / f"supervisor-{next(_numbers):03}"
        token = token or flowgate.connection["enrollment_token"]
        agent = Supervisor(self._binaries, folder, flowgate, transport, token, environment)
        self._agents.append(agent)
        agent.start()
        return agent

    def gateway(
        self, flowgate: FlowGate, transport: str, *, token: str | None = None, **environment: str
    ) -> GatewaySupervisor:
        """A supervisor as the collector image runs it; `environment` as gateway/README.md has it."""
        folder = self._folder / f"gateway-{next(_numbers):03}"
        token = token or flowgate.connection["enrollment_token"]
        agent = GatewaySupervisor(self._binaries, folder, flowgate, transport, token, environment)
        self._agents.append(agent)
        agent.start()
        return agent

    def extension(self, flowgate: FlowGate, transport: str, *, token: str | None = None) -> Extension:
        """A collector with the extension that has been started."""
        folder = self._folder / f"extension-{next(_numbers):03}"
        token = token or flowgate.connection["enrollment_token"]
        agent = Extension(self._binaries, folder, flowgate, transport, token)
        self._agents.append(agent)
        agent.start()
        return agent


@dataclass(frozen=True)
class Poller:
    """A supervisor on HTTP with an order that waits for its next regular poll."""

    agent: Supervisor
    instance_id: str
    order_id: str
    collector: int
    starts: int
    started_at: str


@dataclass(frozen=True)
class Pollers:
    """Those of the session."""

    for_config: Poller
    for_restart: Poller
