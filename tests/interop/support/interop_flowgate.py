"""A real `flowgate up` process, and its API as the tests ask it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from httpx2 import AsyncClient, Response
from ruamel.yaml import YAML

from flowkit.embedded.ports import free_ports
from flowkit.embedded.process import dies_with_parent
from flowkit.testing import eventually

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
BEGINNING = "0-0-0"  # event cursor before everything that is kept

Json = dict[str, Any]


class FlowGate:
    """FlowGate whole, on ports of its own; `settings` are FLOWGATE_* without that prefix."""

    def __init__(self, folder: Path, **settings: str) -> None:
        # Not below pytest's folder: every pytest that starts takes the rights on that away from other accounts, and
        # root's PostgreSQL runs under one.
        self._temporary = tempfile.TemporaryDirectory(prefix="flowgate-interop-")
        self.data = Path(self._temporary.name)
        self._kept_logs = folder / "logs"
        self.api_port, self.opamp_port = free_ports(2)
        self.connection: Json = {}
        self._output = folder / "flowgate.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGATE_")}
        self._environment |= {f"FLOWGATE_{name}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.stop()
        finally:
            shutil.copytree(self.data / "logs", self._kept_logs, dirs_exist_ok=True)
            self._temporary.cleanup()

    def start(self) -> None:
        """Start it, the first time or again with the same data and ports, and wait until it is ready."""
        ready = self.data / "connection.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "flowgate_cli", "up", "--data-dir", str(self.data)]
        command += ["--api-port", str(self.api_port), "--opamp-port", str(self.opamp_port)]
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            assert self._process.poll() is None, f"flowgate up ended:\n{self._output.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"flowgate up is not ready:\n{self._output.read_text()[-3000:]}"
            time.sleep(0.05)
        self.connection = json.loads(ready.read_text())

    def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does; what is left after a while is killed, and that is an error."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its services end with it
            process.wait()
            raise AssertionError(f"flowgate up did not stop:\n{self._output.read_text()[-3000:]}") from None
        assert code == 0, f"flowgate up ended with {code}:\n{self._output.read_text()[-3000:]}"

    def endpoint(self, transport: str) -> str:
        """Where agents connect, for `ws` or `http`."""
        url: str = self.connection["opamp_url"]
        return url.replace("ws://", f"{transport}://", 1)

    def offers(self, instance_id: str) -> int:
        """How often the ingress has offered a configuration to this agent, by its log."""
        lines = (self.data / "logs" / "opamp-gateway.log").read_text().splitlines()
        return sum("config.offered" in line and instance_id in line for line in lines)

    @asynccontextmanager
    async def api(self) -> AsyncIterator["Api"]:
        """A client with the admin token."""
        headers = {"Authorization": f"Bearer {self.connection['admin_token']}"}
        base_url = f"{self.connection['api_url']}/api/v1"
        async with AsyncClient(base_url=base_url, headers=headers, timeout=20) as client:
            yield Api(client)


class Api:
    """What the tests ask; a gateway goes by its gateway_id or its agent's instance_id."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def get(self, path: str) -> Json:
        """The answer, which has to be 200."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def gateway(self, agent: str) -> Json:
        """One gateway; an AssertionError while it is unknown."""
        return await self.get(f"/gateways/{agent}")

    async def gateways(self, **filters: str) -> list[Json]:
        """Gateways of the list."""
        response = await self.client.get("/gateways", params=filters)
        assert response.status_code == 200, response.text
        items: list[Json] = response.json()["items"]
        return items

    async def healthy(self, agent: str, seconds: float = 20.0) -> Json:
        """The gateway, as soon as it is online and healthy."""

        def is_well(gateway: Json) -> bool:
            return bool(gateway["status"] == "online" and gateway["health"]["healthy"])

        return await eventually(lambda: self.gateway(agent), seconds=seconds, until=is_well)

    async def settled(self, agent: str, seconds: float = 45.0) -> Json:
        """The gateway of a supervisor, as soon as it has taken the offer of own telemetry, which restarts its collector
        once, and is healthy again. Over HTTP the offer may wait for the next poll."""

        async def has_restarted() -> bool:
            status = await self.get(f"/supervisor/agents/{agent}/status")
            offered, collector = status["own_telemetry"], status["collector"]
            if offered["state"] != "offered" or collector["state"] != "running":
                return False
            return str(collector["started_at"] or "") > offered["offered_at"]

        await eventually(has_restarted, seconds=seconds)
        return await self.healthy(agent)

    async def restarted(self, agent: str, before: Json, seconds: float = 20.0) -> Json:
        """The gateway, as soon as its collector is healthy and has been started since `before`."""

        def is_new(gateway: Json) -> bool:
            return bool(gateway["health"]["healthy"] and (gateway["started_at"] or "") > before["started_at"])

        return await eventually(lambda: self.gateway(agent), seconds=seconds, until=is_new)

    async def with_status(self, agent: str, status: str, seconds: float = 20.0) -> Json:
        """The gateway, as soon as it is online or offline."""
        return await eventually(
            lambda: self.gateway(agent), seconds=seconds, until=lambda gateway: bool(gateway["status"] == status)
        )

    async def on_host(self, host: str, seconds: float = 20.0) -> Json:
        """The one gateway whose agent says that it runs on this host."""
        items = await eventually(lambda: self.gateways(q=host), seconds=seconds)
        assert [host] == [item["host_name"] for item in items]
        return items[0]

    async def label(self, agent: str, /, **labels: str) -> Json:
        """Label a gateway."""
        response = await self.client.patch(f"/gateways/{agent}", json={"labels": labels})
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def push(self, agent: str, config: str) -> str:
        """Push a configuration; the id of its delivery."""
        response = await self.try_push(agent, config)
        assert response.status_code == 202, response.text
        pushed = response.json()
        assert pushed["state"] == "pending"
        assert response.headers["location"] == f"/api/v1/deliveries/{pushed['delivery_id']}"
        delivery_id: str = pushed["delivery_id"]
        return delivery_id

    async def try_push(self, agent: str, config: str) -> Response:
        """The same, whatever the answer is."""
        return await self.client.post(f"/supervisor/ui/agents/{agent}/config", json={"config": config})

    async def try_restart(self, agent: str) -> Response:
        """Order a restart, whatever the answer is."""
        return await self.client.post(f"/supervisor/agents/{agent}/restart")

    async def delivery(self, delivery_id: str, state: str, seconds: float = 20.0) -> Json:
        """The delivery, as soon as it is in this state."""
        return await self._in_state(f"/deliveries/{delivery_id}", state, seconds)

    async def is_taken(self, delivery_id: str, seconds: float = 3.0) -> bool:
        """Whether the agent comes for the delivery within that time."""
        path = f"/deliveries/{delivery_id}"
        with contextlib.suppress(AssertionError):
            await eventually(lambda: self.get(path), seconds=seconds, until=lambda one: bool(one["state"] != "pending"))
            return True
        return False

    async def command(self, command_id: str, state: str, seconds: float = 20.0) -> Json:
        """The command, as soon as it is in this state."""
        return await self._in_state(f"/commands/{command_id}", state, seconds)

    async def _in_state(self, path: str, state: str, seconds: float) -> Json:
        return await eventually(lambda: self.get(path), seconds=seconds, until=lambda one: bool(one["state"] == state))

    async def effective(self, agent: str) -> Json:
        """The collector configuration that the agent reports, parsed; empty before it reports one."""
        known = (await self.get(f"/gateways/{agent}/config"))["effective"]
        body = known["files"][""]["body"] if known and "" in known["files"] else ""
        return YAML(typ="safe", pure=True).load(body) or {}

    async def logs(self, agent: str) -> list[Json]:
        """Log records of a supervisor-managed agent, oldest first."""
        records: list[Json] = (await self.get(f"/supervisor/agents/{agent}/logs?limit=1000"))["items"]
        return records[::-1]

    @asynccontextmanager
    async def listening(self, cursor: str | None = None) -> AsyncIterator["Events"]:
        """Fleet events from here on, or from a cursor on, gathered as they come."""
        headers = {"Last-Event-ID": cursor} if cursor else {}
        async with self.client.stream("GET", "/events", headers=headers) as response:
            assert response.status_code == 200
            events, begun = Events(), asyncio.Event()
            reading = asyncio.create_task(events.read(response, begun))
            try:
                async with asyncio.timeout(10):
                    await begun.wait()
                yield events
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def history(self, agent: str, kind: str, last: Json, seconds: float = 10.0) -> list[Json]:
        """All kept events of this kind for an agent; they end with one that has the members of `last`."""
        async with self.listening(BEGINNING) as events:
            await events.wait_for(agent, kind, seconds, **last)
            return events.of(agent, kind)


class Events:
    """Server-sent events that have come so far, in order."""

    def __init__(self) -> None:
        self.all: list[Json] = []

    async def read(self, response: Response, begun: asyncio.Event) -> None:
        """Gather events until the stream ends."""
        async for line in response.aiter_lines():
            begun.set()  # the first message is an id: the stream has a place
            if line.startswith("data: "):
                self.all.append(json.loads(line.removeprefix("data: ")))

    def of(self, agent: str, kind: str) -> list[Json]:
        """Events of one kind of one agent or gateway."""
        return [
            event
            for event in self.all
            if event["event"] == kind and agent in (event["instance_id"], event["gateway_id"])
        ]

    def states(self, agent: str, kind: str) -> list[str]:
        """`state` of these events."""
        return [event["state"] for event in self.of(agent, kind)]

    async def wait_for(self, agent: str, kind: str, seconds: float = 20.0, **members: Any) -> Json:
        """The first such event that has these members."""

        def found() -> list[Json]:
            return [event for event in self.of(agent, kind) if event | members == event]

        return (await eventually(found, seconds=seconds))[0]
