"""docs/events.md is what the contracts say, and its subscriber works as it stands there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from flowgate.agent.v1 import events_pb2
from flowgate_cli.connection import Connection
from flowgate_cli.up.datadir import DataDir
from flowgate_cli.up.servers import EVENTS_USER, make_nats
from flowkit import contracts

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "events.md"
UID = "0198e4b0-7c1d-7a3e-9f00-0000000000a7"


def test_the_document_is_current(tmp_path: Path):
    """`make proto` makes it."""
    made = tmp_path / "events.md"
    subprocess.run([sys.executable, ROOT / "proto" / "events_doc.py", made], check=True, timeout=60)
    assert DOCUMENT.read_text() == made.read_text(), "docs/events.md is out of date: run `make proto`"


def test_the_document_names_every_event():
    text = DOCUMENT.read_text()
    for kind in contracts.event_types().values():
        assert f"### {kind.DESCRIPTOR.name}\n" in text


@pytest.fixture
def subscriber(tmp_path: Path) -> Path:
    """The program in the document."""
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert program.count("\n") <= 15
    path = tmp_path / "subscriber.py"
    path.write_text(program)
    return path


async def test_the_subscriber_reads_an_event(tmp_path: Path, subscriber: Path):
    """With nothing but the credentials that read events."""
    fact = events_pb2.AgentHealthChanged(instance_uid=UID, healthy=False, last_error="out of memory")
    with DataDir(tmp_path / "data") as data, make_nats(data, data.secrets()) as server:
        Connection(events_nats_url=server.url_of(EVENTS_USER)).write(tmp_path / "connection.json")
        client = await nats.connect(server.url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(subscriber), str(tmp_path / "connection.json"), stdout=asyncio.subprocess.PIPE
        )
        try:
            line = await asyncio.wait_for(_publish_until_read(client, fact, process), 20)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await client.close()
    assert line.decode() == f"2026-11-02T08:00:00+00:00 {UID} unhealthy: out of memory\n"


async def _publish_until_read(
    client: nats.NATS, fact: events_pb2.AgentHealthChanged, process: asyncio.subprocess.Process
) -> bytes:
    """Nobody tells when the program has subscribed: publish again and again until it says something."""
    assert process.stdout is not None
    line = asyncio.create_task(process.stdout.readline())
    while not line.done():
        headers = {"ce-time": "2026-11-02T08:00:00+00:00"}
        await client.publish(contracts.subject_of(fact), fact.SerializeToString(), headers=headers)
        await asyncio.wait({line}, timeout=0.2)
    return line.result()
