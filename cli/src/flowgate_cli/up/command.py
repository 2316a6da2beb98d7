"""The run of `flowgate up` and what it says on the terminal."""

import asyncio
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from flowgate_cli.connection import Connection, default_data_dir
from flowgate_cli.up.datadir import DataDir
from flowgate_cli.up.demo import demo_fleet
from flowgate_cli.up.specs import Options
from flowgate_cli.up.stack import Stack

Result = TypeVar("Result")

MARKS = {
    "step": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "error": "[red]✗[/]",
    "critical": "[red]✗[/]",
    "info": " ",
}


def run(data_dir: Path, options: Options) -> None:
    """Run FlowGate until SIGINT or SIGTERM.

    Raises:
        CommandError: it does not start, or cannot go on.
    """
    console = Console(highlight=False, soft_wrap=True)
    with DataDir(data_dir) as data:
        try:
            asyncio.run(_main(console, data, options))
        except KeyboardInterrupt:  # before or after the signal handlers are there
            return


async def _main(console: Console, data: DataDir, options: Options) -> None:
    def say(level: str, text: str) -> None:
        console.print(f"{MARKS[level]} {escape(text)}")

    began = time.monotonic()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    console.print(f"FlowGate starts, data in [bold]{escape(str(data.root))}[/]")
    stack = Stack(data, options, say)
    demo: asyncio.Task[None] | None = None
    try:
        connection = await _unless(asked, stack.start())
        if connection is not None:
            console.print(ready_block(connection, data, time.monotonic() - began))
            if options.demo:
                demo = asyncio.create_task(demo_fleet(connection, say))
            await _unless(asked, stack.failed())
    finally:
        if asked.is_set():
            console.print("FlowGate stops")
        if demo is not None:
            demo.cancel()
            await asyncio.gather(demo, return_exceptions=True)
        stopping = time.monotonic()
        await stack.stop()
        if asked.is_set():
            console.print(f"FlowGate has stopped ({time.monotonic() - stopping:.1f} s)")


async def _unless(asked: asyncio.Event, work: Coroutine[None, None, Result]) -> Result | None:
    """The result of `work`; None, with the work cancelled, when somebody asked to stop before it was done."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, stop):
            one.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


def ready_block(connection: Connection, data: DataDir, seconds: float) -> str:
    """What a person needs to know to go on, in one block."""
    flowgate, where = (escape(part) for part in invocation(data.root))
    more = "".join(f", {url}" for url in connection.opamp_urls[1:])
    return "\n".join(
        (
            "",
            f"[bold green]FlowGate is ready[/] ({seconds:.1f} s)",
            "",
            f"  UI      {connection.api_url}/",
            f"          sign in with what [bold]{flowgate} admin-token{where}[/] prints",
            f"  API     {connection.api_url}/api/v1   (with the admin token; openapi.json describes it)",
            f"  Agents  {connection.opamp_url}{more}   (WebSocket; with http:// for polling)",
            f"  Tokens  admin_token and enrollment_token in {escape(str(data.connection))}",
            "",
            "  Look at the fleet:",
            f"    [bold]{flowgate} agents list{where}[/]",
            "  Connect a collector that FlowGate manages, under opampsupervisor:",
            f"    [bold]{flowgate} enroll supervisor{where} -f supervisor.yaml[/]",
            "    [bold]opampsupervisor --config supervisor.yaml[/]",
            "  Connect a collector that FlowGate watches, by its opampextension:",
            f"    [bold]{flowgate} enroll extension{where} -f collector.yaml[/]",
            "    [bold]otelcol-contrib --config collector.yaml[/]",
            "",
            "  Ctrl-C stops it; the data stays.",
            "",
        )
    )


def invocation(root: Path) -> tuple[str, str]:
    """How to call this command again, and the option that names the data folder where it is not the default."""
    called = Path(sys.argv[0])
    found = shutil.which("flowgate")
    program = "flowgate" if found and Path(found).resolve() == called.resolve() else str(called)
    where = "" if root == default_data_dir() else f" --data-dir {shlex.quote(str(root))}"
    return shlex.quote(program), where
