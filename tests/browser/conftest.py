"""The UI in a real Chromium, against a real FlowGate with real agents beside 200 simulated ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from flowkit.testing import eventually

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "support"), str(HERE.parent / "interop" / "support")]  # importlib mode looks nowhere itself

from browser_steps import Strays  # noqa: E402
from browser_visit import PATIENCE, ROOT, SCREENS, Visit  # noqa: E402
from interop_agents import Extension, Fleet, Supervisor  # noqa: E402
from interop_configs import UNSTARTABLE  # noqa: E402
from interop_flowgate import FlowGate  # noqa: E402

SIMULATED = 200
# What simulated agents send of themselves tells of these two.
FLOWING = """\
receivers: {otlp: {protocols: {grpc: }}}
processors: {batch: }
exporters: {otlp: {endpoint: "127.0.0.1:1"}}
service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [otlp]}}}
"""
BUILD_SECONDS = 900

expect.set_options(timeout=PATIENCE)


def run(*command: str | Path, seconds: float = BUILD_SECONDS, **changes: str) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, **changes}
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


@pytest.fixture(scope="package")
def chromium() -> str:
    """A Chromium of this machine, Debian's where there is none and one may install."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("FLOWGATE_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=300, check=False)
        packages = ["chromium", "fonts-dejavu-core"]
        command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
        subprocess.run(command, capture_output=True, timeout=600, check=False)
        found = shutil.which("chromium")
    if not found:
        pytest.fail(
            "no Chromium here, and none can be installed: set FLOWGATE_TEST_CHROMIUM to one, or leave the walks out"
            " with `pytest -m 'not browser'`"
        )
    return found


@pytest.fixture(scope="package")
def built() -> Path:
    """The built UI; a build that fails fails the tests."""
    for task in ("install", "build"):
        run(sys.executable, ROOT / "frontend" / "tool.py", task)
    return ROOT / "frontend" / "dist"


@pytest.fixture(scope="package")
def binaries() -> Path:
    """The folder with the real opampsupervisor and collector."""
    return Path(run(ROOT / "tests" / "interop" / "peers" / "build.sh", PYTHON=sys.executable).strip())


@contextmanager
def simulated(flowgate: FlowGate, seed: str, agents: int, *options: str) -> Iterator[None]:
    """Simulated agents, which apply, refuse and restart as real ones do; hosts are named after the seed."""
    command = [sys.executable, "-m", "flowgate_cli", "sim", "--agents", str(agents), "--seed", seed, *options]
    with (flowgate.data / f"sim-{seed}.log").open("wb") as log:
        simulation = subprocess.Popen([*command, "--data-dir", str(flowgate.data)], stdout=log, stderr=log)
    try:
        yield
    finally:
        simulation.terminate()
        simulation.wait(20)


@pytest.fixture(scope="package")
def flowgate(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowGate]:
    """FlowGate whole, with 200 simulated agents."""
    with FlowGate(tmp_path_factory.mktemp("flowgate")) as running, simulated(running, "sim", SIMULATED):
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session", autouse=True)
async def strays(flowgate: FlowGate) -> AsyncIterator[Strays]:
    """Agents that need somebody, from the first walk on: it takes a while until one is seen to crash again and again,
    or has metrics enough for a rate."""
    supervised = ("--supervised-ratio", "1")
    with simulated(flowgate, "loop", 1, *supervised, "--no-validate"), simulated(flowgate, "calm", 2, *supervised):
        async with flowgate.api() as api:
            with simulated(flowgate, "gone", 3, *supervised):
                hosts = ["loop-supervisor-1", *(f"calm-supervisor-{n}" for n in (1, 2))]
                hosts += [f"gone-supervisor-{n}" for n in (1, 2, 3)]
                ids = [(await api.on_host(host, 60))["instance_id"] for host in hosts]
            loop, refusing, flowing, *gone = ids
            for agent, config in ((loop, UNSTARTABLE), (refusing, UNSTARTABLE), (flowing, FLOWING)):
                await eventually(
                    partial(api.try_push, agent, config), seconds=30, until=lambda answer: answer.is_success
                )
        yield Strays(loop, refusing, flowing, tuple(gone))


@pytest.fixture(scope="package")
def fleet(binaries: Path, flowgate: FlowGate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Makes real agents."""
    with Fleet(binaries, tmp_path_factory.mktemp("agents")) as agents:
        yield agents


@pytest.fixture(scope="package")
def supervisor(fleet: Fleet, flowgate: FlowGate) -> Supervisor:
    """A real supervisor with a real collector."""
    return fleet.supervisor(flowgate, "ws")


@pytest.fixture(scope="package")
def extension(fleet: Fleet, flowgate: FlowGate) -> Extension:
    """A real collector with the plain opampextension."""
    return fleet.extension(flowgate, "ws")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        await running.close()


@pytest_asyncio.fixture(params=["light", "dark"], loop_scope="session")
async def visit(request: pytest.FixtureRequest, browser: Browser, flowgate: FlowGate) -> AsyncIterator[Visit]:
    """Somebody who is signed in, in either colour scheme. The console has to stay without an error."""
    scheme: str = request.param
    base = flowgate.connection["api_url"]
    context = await browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": 1400, "height": 900},
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(PATIENCE)
    signed_in = await context.request.post(f"{base}/api/v1/session", data={"token": flowgate.connection["admin_token"]})
    assert signed_in.ok
    page = await context.new_page()
    somebody = Visit(page, base, scheme)
    page.on("console", lambda said: somebody.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: somebody.complaints.append(f"{error} {error.stack}"[:800]))
    yield somebody
    SCREENS.mkdir(exist_ok=True)
    await page.screenshot(path=SCREENS / f"end-of-{request.node.name}.png")  # where a test that failed stood
    await context.close()
    left = [one for one in somebody.complaints if not any(part in one for part in somebody.expected)]
    assert left == []
