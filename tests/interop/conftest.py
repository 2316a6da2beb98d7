"""Real supervisors and collectors against a real FlowGate; see peers/README.md for what they are."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "support"))  # importlib mode looks nowhere by itself

from interop_agents import Fleet, Poller, Pollers, Supervisor  # noqa: E402
from interop_configs import good  # noqa: E402
from interop_flowgate import Api, FlowGate  # noqa: E402

BUILD_SECONDS = 900  # cold, on a busy machine


@pytest.fixture(params=["ws", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    """Every test runs over both transports."""
    name: str = request.param
    return name


@pytest.fixture(scope="package")
def binaries() -> Path:
    """The folder with the real opampsupervisor and fgcol; a failed build fails the tests."""
    built = subprocess.run(
        [HERE / "peers" / "build.sh"],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert built.returncode == 0, f"the peers cannot be built:\n{built.stderr[-3000:]}"
    return Path(built.stdout.strip())


@pytest.fixture(scope="package")
def flowgate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowGate]:
    """FlowGate as it comes, shared by the tests."""
    with FlowGate(tmp_path_factory.mktemp("flowgate")) as running:
        yield running


@pytest.fixture
async def api(flowgate: FlowGate) -> AsyncIterator[Api]:
    """Its API."""
    async with flowgate.api() as client:
        yield client


@pytest.fixture
def fleet(binaries: Path, tmp_path: Path) -> Iterator[Fleet]:
    """Agents of the test's own."""
    with Fleet(binaries, tmp_path) as agents:
        yield agents


@pytest_asyncio.fixture(scope="package", loop_scope="session", autouse=True)
async def pollers(
    binaries: Path, flowgate: FlowGate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pollers]:
    """They poll every 30 s, and nothing makes that shorter: they begin with the session and wait beside the tests."""
    with Fleet(binaries, tmp_path_factory.mktemp("pollers")) as agents:
        config, restart = (agents.supervisor(flowgate, "http") for _ in range(2))
        async with flowgate.api() as api:

            async def ready(agent: Supervisor) -> tuple[str, int, int, str]:
                instance_id = await agent.instance_id()
                gateway = await api.settled(instance_id)
                return instance_id, await agent.collector(), agent.starts_of_collector(), gateway["started_at"]

            config_id, *config_known = await ready(config)
            delivery_id = await api.push(config_id, good("polled"))
            restart_id, *restart_known = await ready(restart)
            ordered = await api.try_restart(restart_id)
        assert ordered.status_code == 202, ordered.text
        yield Pollers(
            Poller(config, config_id, delivery_id, *config_known),
            Poller(restart, restart_id, ordered.json()["command_id"], *restart_known),
        )
