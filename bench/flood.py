"""Flood FlowGate with log records of agents, and see that none is lost and that nobody else waits.

    python bench/flood.py [--rate 20000] [--seconds 60] [--agents 20]

Every agent of a simulated fleet sends its own logs by OTLP/HTTP, each record numbered. What was answered with success
is compared with what PostgreSQL holds; meanwhile statuses are asked for and configurations pushed, as before the flood.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO
from servers import ROOT, STOP_SECONDS, Cores, FlowGate, spent, wait_until_ready

from flowkit import tokens
from flowkit.embedded.ports import free_ports

PER_REQUEST = 200  # records
BASELINE_SECONDS = 15.0
STORE_SECONDS = 120.0  # for what was answered to reach PostgreSQL
PAUSE_SECONDS = 0.5  # between two looks at a status
FILLER = "a line of a collector's log, as long as they use to be: batch processed and sent to the exporter's queue"


@dataclass
class Sent:
    """What the flood was answered, over all agents."""

    answered: int = 0
    refused: int = 0
    requests: int = 0
    slowest: float = 0.0
    seconds: float = 0.0


@dataclass
class Waits:
    """How long others waited, in ms."""

    status: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)

    def line(self) -> str:
        """Median and 95th percentile of both."""
        return f"status {_spread(self.status)}, push until applied {_spread(self.push)}"


def _spread(values: list[float]) -> str:
    p95 = statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
    return f"{statistics.median(values):.0f} / {p95:.0f} ms (p50 / p95 of {len(values)})"


def export_request(agent: str, first: int) -> bytes:
    """A request with numbered records."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    attribute = resource.resource.attributes.add(key="service.instance.id")
    attribute.value.string_value = agent
    scope = resource.scope_logs.add()
    now = time.time_ns()
    for number in range(first, first + PER_REQUEST):
        record = scope.log_records.add(time_unix_nano=now, severity_number=SEVERITY_NUMBER_INFO, severity_text="info")
        record.body.string_value = f"flood {agent} {number} {FILLER}"
    return request.SerializeToString()


def flood(url: str, bearers: dict[str, str], rate: float, seconds: float, result: Connection) -> None:
    """Send, in a process of its own; the outcome goes to `result`."""
    result.send(asyncio.run(_flood(url, bearers, rate, seconds)))


async def _flood(url: str, bearers: dict[str, str], rate: float, seconds: float) -> Sent:
    sent = Sent()
    began = time.monotonic()
    pace = PER_REQUEST * len(bearers) / rate  # seconds between two requests of an agent
    await asyncio.gather(
        *(
            _flood_as(url, agent, bearer, began + number * pace / len(bearers), began + seconds, pace, sent)
            for number, (agent, bearer) in enumerate(bearers.items())
        )
    )
    sent.seconds = time.monotonic() - began
    return sent


async def _flood_as(url: str, agent: str, bearer: str, due: float, until: float, pace: float, sent: Sent) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = (
        f"POST /v1/logs HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {bearer}\r\n"
        "content-type: application/x-protobuf\r\ncontent-length: "
    )
    first = 0
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        body = export_request(agent, first)
        begun = time.monotonic()
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        status = await _status(reader)
        sent.slowest = max(sent.slowest, time.monotonic() - begun)
        sent.requests += 1
        if status == 200:
            sent.answered += PER_REQUEST
        else:  # refused, to be sent again: what a collector's exporter does
            sent.refused += PER_REQUEST
            await asyncio.sleep(1.0)
            continue
        first += PER_REQUEST
        due += pace
    writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])


async def watch(client: httpx2.AsyncClient, agents: list[str], stop: asyncio.Event) -> Waits:
    """Ask for statuses and push configurations, one after the other, until told to stop."""
    waits = Waits()
    turn = 0
    while not stop.is_set():
        agent = agents[turn % len(agents)]
        turn += 1
        begun = time.monotonic()
        response = await client.get(f"/supervisor/agents/{agent}/status")
        response.raise_for_status()
        waits.status.append((time.monotonic() - begun) * 1e3)
        if turn % 4 == 0:
            waits.push.append(await _push(client, agent, turn) * 1e3)
        await asyncio.sleep(PAUSE_SECONDS)
    return waits


async def _push(client: httpx2.AsyncClient, agent: str, turn: int) -> float:
    config = f"receivers:\n  nop:\nexporters:\n  nop:\n  debug/{turn}:\nservice:\n  pipelines:\n    logs: "
    config += "{receivers: [nop], exporters: [nop]}\n"
    begun = time.monotonic()
    response = await client.post(f"/supervisor/ui/agents/{agent}/config", json={"config": config})
    response.raise_for_status()
    delivery = response.json()["delivery_id"]
    while (state := (await client.get(f"/deliveries/{delivery}")).json()["state"]) != "applied":
        if state == "failed" or time.monotonic() - begun > 30:
            raise SystemExit(f"flood: delivery {delivery} is {state}")
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def stored(database_url: str) -> tuple[int, int]:
    """Records of the flood in PostgreSQL, and how many different ones."""
    connection = await asyncpg.connect(database_url)
    try:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT body) FROM supervisor_control.agent_logs WHERE body LIKE 'flood %'"
        )
    finally:
        await connection.close()
    assert row is not None
    return int(row[0]), int(row[1])


async def measure(server: FlowGate, settings: dict[str, Any], options: argparse.Namespace) -> int:
    """The whole course; the exit code."""
    headers = {"Authorization": f"Bearer {settings['admin_token']}"}
    key = json.loads((server.data_dir / "secrets.json").read_text())["telemetry_key"].encode()
    url = settings["opamp_url"].replace("ws://", "http://")
    async with httpx2.AsyncClient(
        base_url=settings["api_url"] + "/api/v1", headers=headers, timeout=30, trust_env=False
    ) as client:
        agents: list[str] = []
        while len(agents) < options.agents:
            await asyncio.sleep(0.5)
            found = (await client.get("/supervisor/agents", params={"limit": 1000, "healthy": "true"})).json()["items"]
            agents = [item["instance_id"] for item in found]
        await asyncio.sleep(5)  # own telemetry was offered by now, and the collectors have restarted
        quiet = asyncio.Event()
        watching = asyncio.create_task(watch(client, agents, quiet))
        await asyncio.sleep(BASELINE_SECONDS)
        quiet.set()
        before = await watching

        bearers = {agent: tokens.telemetry_token(key, UUID(agent).bytes) for agent in agents}
        mine, theirs = multiprocessing.Pipe()
        sender = multiprocessing.Process(target=flood, args=(url, bearers, options.rate, options.seconds, theirs))
        cpu = server.cpu()
        over = asyncio.Event()
        watching = asyncio.create_task(watch(client, agents, over))
        sender.start()
        sent: Sent = await asyncio.get_running_loop().run_in_executor(None, mine.recv)
        sender.join()
        over.set()
        during = await watching

    ended = time.monotonic()
    total, different = await stored(settings["database_url"])
    while total < sent.answered and time.monotonic() - ended < STORE_SECONDS:
        await asyncio.sleep(1)
        total, different = await stored(settings["database_url"])
    behind = time.monotonic() - ended
    groups = spent(cpu, server.cpu())
    print(f"answered {sent.answered:,} records in {sent.seconds:.1f} s ({sent.answered / sent.seconds:,.0f}/s), ")
    print(f"refused and sent again {sent.refused:,}; slowest answer {sent.slowest * 1e3:.0f} ms")
    print(f"stored {total:,}, different ones {different:,}; complete {behind:.1f} s after the end at the latest")
    print("CPU a record: " + ", ".join(f"{group} {cpu / sent.answered * 1e6:.1f} µs" for group, cpu in groups.items()))
    print(f"before the flood: {before.line()}")
    print(f"during the flood: {during.line()}")
    if total != different or total < sent.answered:
        print("flood: records were lost or doubled", file=sys.stderr)
        return 1
    return 0


@contextmanager
def fleet(executable: Path, settings: dict[str, Any], agents: int, log: Path) -> Iterator[None]:
    """Simulated supervisors, connected."""
    command = [str(executable), "sim", "--agents", str(agents), "--supervised-ratio", "1", "--apply", "0.1"]
    command += ["--url", settings["opamp_url"], "--token", settings["enrollment_token"]]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=20_000, help="records a second over all agents")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--flowgate", type=Path, default=ROOT / ".venv/bin/flowgate", help="the flowgate command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowgate-flood-") as folder:
        data_dir = Path(folder) / "data"
        Path(folder).chmod(0o755)  # PostgreSQL runs as a user of its own when started by root
        api_port, opamp_port = free_ports(2)
        command = [str(options.flowgate), "up", "--data-dir", str(data_dir)]
        command += ["--api-port", str(api_port), "--opamp-port", str(opamp_port)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOWGATE_")}
        with (Path(folder) / "up.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            settings: dict[str, Any] = dict(wait_until_ready(process, data_dir / "connection.json", opamp_port))
            cores = Cores.of_this_machine()
            server = FlowGate("FlowGate", settings["opamp_url"], data_dir=data_dir, pid=process.pid, cores=cores)
            with fleet(options.flowgate, settings, options.agents, Path(folder) / "sim.log"):
                return asyncio.run(measure(server, settings, options))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
