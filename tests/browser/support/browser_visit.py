"""Somebody in front of the UI."""

from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Page

ROOT = Path(__file__).resolve().parents[3]
SCREENS = ROOT / "frontend" / "screens"  # every page as it was, for whoever wants to look
PATIENCE = 30_000  # ms that something may take to appear on a busy machine


@dataclass
class Visit:
    """A browser window of somebody, and what it complained of."""

    page: Page
    base: str
    scheme: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of complaints that a test causes on purpose."""

    async def go(self, path: str) -> None:
        """Open a page of the UI."""
        await self.page.goto(self.base + path)

    async def look(self, name: str) -> None:
        """Keep a picture of the page, and have axe look at it: nothing serious may be wrong."""
        SCREENS.mkdir(exist_ok=True)
        await self.page.screenshot(path=SCREENS / f"{name}-{self.scheme}.png")
        axe = (ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js").read_text()
        await self.page.evaluate(axe)
        violations = await self.page.evaluate(
            """async () => (await axe.run(
                // Monaco's own insides are Monaco's; its label and keyboard are ours and looked at by the walk.
                { exclude: [['.monaco-editor'], ['.monaco-diff-editor']] },
                { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] },
            )).violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map((n) => n.html.slice(0, 160)
                    + (n.any[0]?.message ?? '')).join(' | ')}`)"""
        )
        assert violations == [], f"{name} in {self.scheme}: {violations}"
