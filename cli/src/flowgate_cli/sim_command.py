"""The run of `flowgate sim` and what it says on the terminal."""

import asyncio
import json
import signal
import time
from dataclasses import asdict

import typer

from flowgate_cli.sim import Fleet, FleetPlan

TELL_SECONDS = 5.0


def run(plan: FleetPlan, seconds: float, as_json: bool) -> None:
    """Run the fleet until SIGINT, SIGTERM or for so many seconds (0: without limit), and tell how it went."""
    fleet = asyncio.run(_main(plan, seconds))
    if as_json:
        typer.echo(json.dumps(asdict(fleet.counts)))


async def _main(plan: FleetPlan, seconds: float) -> Fleet:
    fleet = Fleet(plan, lambda text: typer.echo(f"flowgate sim: {text}", err=True))
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    work = asyncio.create_task(fleet.run())
    progress = asyncio.create_task(_tell(fleet))
    stop = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({work, stop}, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (progress, stop, work):
            task.cancel()
        await asyncio.gather(progress, stop, work, return_exceptions=True)
    return fleet


async def _tell(fleet: Fleet) -> None:
    """A line each time that the number of connected agents has changed, every few seconds at most."""
    last, since = -1, time.monotonic()
    while True:
        await asyncio.sleep(0.2)
        counts = fleet.counts
        everyone = counts.connected == len(fleet.agents)
        if counts.connected != last and (everyone or time.monotonic() - since >= TELL_SECONDS):
            last, since = counts.connected, time.monotonic()
            typer.echo(f"{last} of {len(fleet.agents)} agents are connected, {counts.sent} messages sent", err=True)
