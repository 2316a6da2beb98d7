"""What several walks do."""

from dataclasses import dataclass

from browser_visit import Visit
from interop_agents import Supervisor
from interop_configs import good
from interop_flowgate import FlowGate
from playwright.async_api import Locator


@dataclass(frozen=True)
class Strays:
    """Simulated agents that are not as they should be, by instance_id."""

    loop: str
    """Its collector crashes again and again."""
    refusing: str
    """It has refused its configuration."""
    flowing: str
    """It tells what flows through it."""
    gone: tuple[str, ...]
    """They were there."""


SOON = 90_000  # ms; a real collector has to start


async def ready(flowgate: FlowGate, agent: Supervisor) -> str:
    """Id of the supervisor's agent, once it is healthy and runs with a configuration from here."""
    instance_id = await agent.instance_id()
    async with flowgate.api() as api:
        await api.healthy(instance_id, 60)
        if (await api.get(f"/gateways/{instance_id}/config"))["assigned"] is None:
            await api.delivery(await api.push(instance_id, good("first")), "applied")
            await api.healthy(instance_id, 60)
    return instance_id


async def write(visit: Visit, text: str) -> Locator:
    """Paste a text in place of what is in the editor."""
    editor = visit.page.get_by_role("textbox", name="Configuration")
    await editor.focus()
    await visit.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    await visit.page.keyboard.press("Control+A")
    await visit.page.keyboard.press("Control+V")
    return editor
