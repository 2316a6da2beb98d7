"""Measure the UI with a large fleet in a real Chromium, and write the section on it in REPORT.md.

    python bench/ui.py [--agents 20000]

Half of the agents are connected, the other half were and are gone. Chromium is headless, on the machine that FlowGate
and the simulated agents run on.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import CDPSession, Page, Request, sync_playwright
from report import UI_SECTION, keep_section
from servers import ROOT, STOP_SECONDS, wait_until_ready

from flowkit.embedded.ports import free_ports

CONNECT_SECONDS = 600
WORDS = ("host-12", "supervisor-77", "extension", "9 9")  # typed into the search, key by key
FRAMES = 60
KEY_LIMIT, FILTER_LIMIT = 100.0, 500.0  # ms

_WATCH_KEYS = """() => {
    window.keys = []
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
            if (entry.name === 'keydown' || entry.name === 'keypress' || entry.name === 'input')
                window.keys.push(entry.duration)
    }).observe({ type: 'event', durationThreshold: 16, buffered: false })
}"""
_SCROLL = """async (frames) => {
    const box = [...document.querySelectorAll('*')].filter((one) => one.scrollHeight > one.clientHeight + 200
        && getComputedStyle(one).overflowY !== 'visible').sort((a, b) => b.scrollHeight - a.scrollHeight)[0]
    const gaps = []
    let last = performance.now()
    for (let frame = 0; frame < frames; frame++) {
        box.scrollTop += 400
        await new Promise(requestAnimationFrame)
        const now = performance.now()
        gaps.push(now - last)
        last = now
    }
    return { gaps, height: box.scrollHeight }
}"""


@dataclass
class Figures:
    """What was measured, in ms and MB."""

    agents: int
    interactive: list[float]
    keys: list[float]
    filters: list[float]
    scroll_script: float
    scroll_gaps: list[float]
    heap: float

    def text(self) -> str:
        """The section of the report."""
        keys = f"{statistics.median(self.keys):.0f} / {max(self.keys):.0f} ms" if self.keys else "below 16 ms, all"
        rows = [
            (
                "`/agents` from its address to the first row, median",
                f"{statistics.median(self.interactive):.0f} ms",
                "",
            ),
            ("key stroke in the search to the next picture, median / slowest", keys, f"{KEY_LIMIT:.0f} ms"),
            (
                "answer to a filter, median / slowest",
                f"{statistics.median(self.filters):.0f} / {max(self.filters):.0f} ms",
                f"{FILTER_LIMIT:.0f} ms",
            ),
            (f"script while {FRAMES} frames are scrolled", f"{self.scroll_script:.0f} ms", ""),
            (
                "a frame of these, median / slowest",
                f"{statistics.median(self.scroll_gaps):.0f} / {max(self.scroll_gaps):.0f} ms",
                "",
            ),
            ("JavaScript heap after all of it", f"{self.heap:.0f} MB", ""),
        ]
        lines = [f"| {what} | {value} | {limit} |" for what, value, limit in rows]
        return "\n".join(
            [
                UI_SECTION,
                "",
                f"Written by `bench/ui.py`: {self.agents:,} simulated agents in the store, half of them connected;",
                "headless Chromium on the same machine.",
                "",
                "| what | measured | limit |",
                "|---|---|---|",
                *lines,
                "",
            ]
        )

    @property
    def is_within_limits(self) -> bool:
        return max(self.keys, default=0.0) <= KEY_LIMIT and max(self.filters) <= FILTER_LIMIT


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(client: httpx2.Client, status: str, count: int) -> None:
    """Until so many agents have this status."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        answer = client.get("/gateways", params={"status": status, "limit": 1})
        answer.raise_for_status()
        if (known := answer.json()["total"]) >= count:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: only {known} of {count} agents are {status}")
        time.sleep(1)


def sign_in(page: Page, settings: dict[str, Any]) -> None:
    page.goto(settings["api_url"])
    page.get_by_role("textbox", name="Admin token").fill(settings["admin_token"])
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Agents").first.wait_for()


def script_ms(session: CDPSession) -> float:
    """Time that the page spent in scripts so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ScriptDuration"]) * 1e3


def look(page: Page, settings: dict[str, Any], agents: int) -> Figures:
    """Use the list of agents as a person would."""
    sign_in(page, settings)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    interactive = []
    for _ in range(5):
        began = time.monotonic()
        page.goto(settings["api_url"] + "/agents")
        page.get_by_role("row").nth(1).wait_for()
        interactive.append((time.monotonic() - began) * 1e3)
    page.wait_for_timeout(2000)

    filters: list[float] = []

    def finished(request: Request) -> None:
        if "q=" in request.url and "/api/v1/" in request.url:
            filters.append(request.timing["responseEnd"])

    page.on("requestfinished", finished)
    page.evaluate(_WATCH_KEYS)
    box = page.get_by_label("Search agents")
    for word in WORDS:
        box.click()
        box.fill("")
        page.wait_for_timeout(600)
        for key in word:
            page.keyboard.type(key)
            page.wait_for_timeout(80)
        page.wait_for_timeout(1000)
    keys = page.evaluate("() => window.keys")
    box.fill("")
    page.wait_for_timeout(1500)

    before = script_ms(session)
    scrolled = page.evaluate(_SCROLL, FRAMES)
    script = script_ms(session) - before
    session.send("HeapProfiler.collectGarbage")
    heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 2**20
    return Figures(agents, interactive, keys, filters, script, scrolled["gaps"], heap)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=20_000)
    parser.add_argument("--flowgate", type=Path, default=ROOT / ".venv/bin/flowgate", help="the flowgate command")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    if not options.chromium:
        raise SystemExit("bench: no Chromium; name one with --chromium")
    with tempfile.TemporaryDirectory(prefix="flowgate-ui-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as a user of its own when started by root
        data_dir = Path(folder) / "data"
        api_port, opamp_port = free_ports(2)
        up = [str(options.flowgate), "up", "--data-dir", str(data_dir)]
        up += ["--api-port", str(api_port), "--opamp-port", str(opamp_port)]
        # The simulated agents send no telemetry: 20,000 of them would be another benchmark.
        with running(up, Path(folder) / "up.log", FLOWGATE_SUPERVISOR_CONTROL_TELEMETRY_URL="") as process:
            settings: dict[str, Any] = dict(wait_until_ready(process, data_dir / "connection.json", opamp_port))
            headers = {"Authorization": f"Bearer {settings['admin_token']}"}
            base = settings["api_url"] + "/api/v1"
            half = options.agents // 2
            sim = [str(options.flowgate), "sim", "--agents", str(half), "--heartbeat", "60"]
            sim += ["--url", settings["opamp_url"], "--token", settings["enrollment_token"]]
            log = Path(folder) / "sim.log"
            with httpx2.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
                with running([*sim, "--seed", "former"], log):
                    wait_for(client, "online", half)
                wait_for(client, "offline", half)
                with running([*sim, "--seed", "host"], log):
                    wait_for(client, "online", half)
                    time.sleep(5)
                    with sync_playwright() as playwright:
                        browser = playwright.chromium.launch(
                            executable_path=options.chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
                        )
                        page = browser.new_page(viewport={"width": 1440, "height": 900})
                        figures = look(page, settings, options.agents)
                        browser.close()
    print(json.dumps(figures.__dict__, indent=None))
    print(figures.text())
    keep_section(ROOT / "bench" / "REPORT.md", UI_SECTION, figures.text())
    return 0 if figures.is_within_limits else 1


if __name__ == "__main__":
    sys.exit(main())
