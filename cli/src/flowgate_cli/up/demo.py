"""The small fleet of `flowgate up --demo`."""

import asyncio
from collections.abc import Callable

from flowgate_cli.connection import Connection


async def demo_fleet(connection: Connection, say: Callable[[str, str], None]) -> None:
    """Run the simulated agents until cancelled."""
    await asyncio.Event().wait()
