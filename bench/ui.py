"""Measure the UI with a large fleet in a real Chromium, and write the section on it in REPORT.md.

    python bench/ui.py [--agents 20000] [--check]

Half of the agents are connected, the other half were and are gone; a thousand of them have got a configuration.
Chromium is headless, on the machine that FlowGate and the simulated agents run on.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import nats
from playwright.sync_api import CDPSession, Page, Request, sync_playwright
from report import UI_SECTION, keep_section
from servers import ROOT, STOP_SECONDS, wait_until_ready

from flowkit import contracts
from flowkit.embedded.ports import free_ports

CONNECT_SECONDS = 600
CONFIGURED = 1000  # agents that get a configuration
STILL_WAITING = 100  # messages on the bus, as heartbeats and log lines always leave some
WORDS = ("host-12", "supervisor-77", "extension", "9 9")  # typed into the search, key by key
ROWS = 10_000  # that are scrolled over
STEP_PIXELS = 400  # a frame, which is eleven rows
TICK = 1000 / 60  # ms between two pictures
LABELS = {"site": "bench"}
CONFIG = """\
receivers: {otlp: }
exporters: {debug: }
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
"""

# Limits in ms, MB and shares. Script and work are processor time; pictures also wait for other processes.
INTERACTIVE_LIMIT, KEY_LIMIT, FILTER_LIMIT = 2000.0, 100.0, 500.0
SCRIPT_LIMIT, DROPPED_LIMIT, HEAP_LIMIT = 6.0, 0.02, 150.0

_WATCH_KEYS = """() => {
    window.keys = []
    window.strokesBefore = performance.eventCounts.get('keydown')
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
            if (entry.name === 'keydown' || entry.name === 'keypress' || entry.name === 'input')
                window.keys.push(entry.duration)
    }).observe({ type: 'event', durationThreshold: 16, buffered: false })
}"""
_LOAD = """async (rows) => {
    const box = document.querySelector('[role=table]')
    const begin = performance.now()
    rows = Math.min(rows, Number(box.ariaRowCount ?? box.getAttribute('aria-rowcount')) - 1)
    while (box.scrollHeight < rows * 36 && performance.now() - begin < 300000) {
        box.scrollTop = box.scrollHeight
        await new Promise((resolve) => setTimeout(resolve, 30))
    }
    box.scrollTop = 0
    return box.scrollHeight / 36
}"""
_SCROLL = """async (step) => {
    const box = document.querySelector('[role=table]')
    const gaps = []
    let last = performance.now()
    while (box.scrollTop + box.clientHeight < box.scrollHeight - 40 * 36) {
        box.scrollTop += step
        await new Promise(requestAnimationFrame)
        const now = performance.now()
        gaps.push(now - last)
        last = now
    }
    return gaps
}"""


@dataclass
class Figures:
    """What was measured, in ms and MB; filters by the name of what is filtered."""

    agents: int
    interactive: list[float]
    strokes: int
    keys: list[float]
    filters: dict[str, list[float]]
    rows: int
    script: float
    work: float
    gaps: list[float]
    heap: float

    @property
    def frames(self) -> int:
        return len(self.gaps)

    @property
    def dropped(self) -> float:
        """Share of the pictures that did not come in time."""
        missed = sum(round(gap / TICK) - 1 for gap in self.gaps if gap > 1.5 * TICK)
        return missed / (self.frames + missed)

    def rows_of_report(self) -> list[tuple[str, str, str, bool]]:
        """What, value, limit, and whether it is kept. What was not recorded keeps no limit."""
        answers = [
            (
                f"answer to a filter by {name}, median / slowest of {len(times)}",
                f"{statistics.median(times):.0f} / {max(times):.0f} ms",
                f"{FILTER_LIMIT:.0f} ms",
                max(times) <= FILTER_LIMIT,
            )
            for name, times in self.filters.items()
        ]
        # A key stroke that is shown within a frame is not told apart by the browser.
        slowest = max(self.keys, default=TICK)
        return [
            (
                "`/agents` from its address to the first row, median",
                f"{statistics.median(self.interactive):.0f} ms",
                f"{INTERACTIVE_LIMIT:.0f} ms",
                statistics.median(self.interactive) <= INTERACTIVE_LIMIT,
            ),
            (
                f"key stroke in the search to the next picture, slowest of {self.strokes}",
                f"{slowest:.0f} ms",
                f"{KEY_LIMIT:.0f} ms",
                self.strokes >= sum(map(len, WORDS)) and slowest <= KEY_LIMIT,
            ),
            *answers,
            (
                f"script a frame, over {self.rows:,} rows in {self.frames} frames",
                f"{self.script / self.frames:.1f} ms",
                f"{SCRIPT_LIMIT:.0f} ms",
                self.script / self.frames <= SCRIPT_LIMIT,
            ),
            (
                "all work of the main thread a frame: with more than a frame's time pictures are dropped",
                f"{self.work / self.frames:.1f} ms",
                f"{TICK:.1f} ms",
                self.work / self.frames <= TICK,
            ),
            (
                "pictures that were dropped under way, and the longest wait for one",
                f"{self.dropped:.1%}, {max(self.gaps):.0f} ms",
                f"{DROPPED_LIMIT:.0%}",
                self.dropped <= DROPPED_LIMIT,
            ),
            (
                f"JavaScript heap with {self.rows:,} rows loaded",
                f"{self.heap:.0f} MB",
                f"{HEAP_LIMIT:.0f} MB",
                self.heap <= HEAP_LIMIT,
            ),
        ]

    def text(self) -> str:
        """The section of the report."""
        rows = self.rows_of_report()
        return "\n".join(
            [
                UI_SECTION,
                "",
                f"Written by `make bench-ui`: {self.agents:,} simulated agents in the store, half of them connected;",
                "headless Chromium on the same machine.",
                "",
                "| what | measured | limit |",
                "|---|---|---|",
                *(
                    f"| {what} | {value}{'' if is_kept else ' **over**'} | {limit} |"
                    for what, value, limit, is_kept in rows
                ),
                "",
            ]
        )

    @property
    def is_within_limits(self) -> bool:
        """Whether each limit is kept, and each was looked at."""
        asked = {"search", "label", "version", "configuration", "health"}
        return asked <= self.filters.keys() and all(is_kept for *_, is_kept in self.rows_of_report())


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


def spent(session: CDPSession) -> tuple[float, float]:
    """Processor time of the page's main thread so far, in scripts and in all, in ms."""
    metrics = {one["name"]: float(one["value"]) for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["ScriptDuration"] * 1e3, metrics["TaskDuration"] * 1e3


NAMES = {"q": "search", "label": "label", "version": "version", "config_state": "configuration", "health": "health"}


def filtered(page: Page) -> dict[str, list[float]]:
    """Times of answers to filters, by what is filtered, as they come."""
    times: dict[str, list[float]] = {}

    def finished(request: Request) -> None:
        address = urlsplit(request.url)
        if address.path != "/api/v1/ui/agents":
            return
        used = [name for name in NAMES if name in parse_qs(address.query)]
        if len(used) == 1:
            times.setdefault(NAMES[used[0]], []).append(request.timing["responseEnd"])

    page.on("requestfinished", finished)
    return times


def look(page: Page, settings: dict[str, Any], agents: int) -> Figures:
    """Use the list of agents as a person would."""
    sign_in(page, settings)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    interactive = []
    for _ in range(5):
        began = time.monotonic()
        page.goto(settings["api_url"] + "/agents")
        page.get_by_role("row").nth(1).wait_for()
        interactive.append((time.monotonic() - began) * 1e3)
    page.wait_for_timeout(2000)

    filters = filtered(page)
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
    strokes = page.evaluate("() => performance.eventCounts.get('keydown') - window.strokesBefore")
    box.fill("")
    page.wait_for_timeout(1000)
    for name, value in LABELS.items():
        choose(page, partial(write_label, page, f"{name}={value}"))
    version = page.get_by_role("combobox", name="Version", exact=True)
    options = version.locator("option")
    for number in range(1, min(4, options.count())):
        choose(page, partial(version.select_option, index=number))
    for state in ("applied", "failed", "pending"):
        choose(page, partial(page.get_by_role("combobox", name="Configuration", exact=True).select_option, state))
    for health in ("healthy", "unhealthy", "unknown"):
        choose(page, partial(page.get_by_role("combobox", name="Health", exact=True).select_option, health))

    rows = int(page.evaluate(_LOAD, ROWS))
    page.wait_for_timeout(3000)
    before = spent(session)
    gaps = page.evaluate(_SCROLL, STEP_PIXELS)
    script, work = (after - earlier for after, earlier in zip(spent(session), before, strict=True))
    session.send("HeapProfiler.collectGarbage")
    heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 2**20
    return Figures(agents, interactive, strokes, keys, filters, rows, script, work, gaps, heap)


def choose(page: Page, act: Callable[[], object]) -> None:
    """One filter, and none again."""
    act()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Clear filters").first.click()
    page.wait_for_timeout(800)


def write_label(page: Page, text: str) -> None:
    page.get_by_role("combobox", name="Label", exact=True).fill(text)
    page.keyboard.press("Enter")


def labelled_token(client: httpx2.Client) -> str:
    """An enrollment token that gives its agents labels."""
    answer = client.post("/enrollment-tokens", json={"name": "bench", "labels": LABELS})
    answer.raise_for_status()
    token: str = answer.json()["token"]
    return token


async def worked_off(nats_url: str) -> None:
    """Wait until the services have taken in what the agents reported: a fleet that joins is another benchmark."""
    connection = await nats.connect(nats_url)
    stream_names = (contracts.UPLINK, "AGENT_EVENTS", "CONFIG_EVENTS", "SUPERVISOR_EVENTS")
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        found = [await connection.jetstream().consumers_info(name) for name in stream_names]
        waiting = sum(one.num_pending or 0 for consumers in found for one in consumers)
        if waiting < STILL_WAITING:
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {waiting} messages still wait on the bus")
        await asyncio.sleep(1)
    await connection.close()


def configure(client: httpx2.Client) -> None:
    """Give some agents a configuration, and wait for what comes of it."""
    page: dict[str, str | int] = {"management_mode": "supervisor", "status": "online", "limit": CONFIGURED}
    ids = [one["instance_id"] for one in client.get("/gateways", params=page).raise_for_status().json()["items"]]
    order = {"action": "push_config", "instance_ids": ids, "config": CONFIG, "max_unavailable": len(ids)}
    begun = client.post("/supervisor/operations", json=order).raise_for_status().json()
    deadline = time.monotonic() + CONNECT_SECONDS
    path = f"/supervisor/operations/{begun['operation_id']}"
    while not client.get(path, params={"targets": False}).raise_for_status().json()["is_over"]:
        if time.monotonic() > deadline:
            raise SystemExit("bench: the agents do not apply their configuration")
        time.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=20_000)
    parser.add_argument("--flowgate", type=Path, default=ROOT / ".venv/bin/flowgate", help="the flowgate command")
    parser.add_argument("--check", action="store_true", help="exit with code 1 when a figure is over its limit")
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
            sim += ["--url", settings["opamp_url"]]
            log = Path(folder) / "sim.log"
            with httpx2.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
                with running([*sim, "--token", settings["enrollment_token"], "--seed", "former"], log):
                    wait_for(client, "online", half)
                wait_for(client, "offline", half)
                with running([*sim, "--token", labelled_token(client), "--seed", "host"], log):
                    wait_for(client, "online", half)
                    configure(client)
                    asyncio.run(worked_off(settings["nats_url"]))
                    with sync_playwright() as playwright:
                        browser = playwright.chromium.launch(
                            executable_path=options.chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
                        )
                        page = browser.new_page(viewport={"width": 1440, "height": 900})
                        figures = look(page, settings, options.agents)
                        browser.close()
    print(json.dumps(asdict(figures)))
    print(figures.text())
    keep_section(ROOT / "bench" / "REPORT.md", UI_SECTION, figures.text())
    return 0 if figures.is_within_limits or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
