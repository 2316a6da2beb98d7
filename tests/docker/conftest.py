"""Images and compose project under a real Docker engine; see README.md for where it comes from."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "support"), str(HERE.parent / "interop" / "support")]  # importlib mode looks nowhere itself

from docker_engine import Engine, NoEngineError, engine  # noqa: E402
from docker_images import Builder, Images  # noqa: E402
from docker_project import Container, Project  # noqa: E402
from interop_flowgate import Api  # noqa: E402

BUILD_SECONDS = 900  # of the peers, cold, on a busy machine
CACHE = Path(os.environ.get("FLOWGATE_CACHE") or Path.home() / ".cache" / "flowgate")

_not_run: list[str] = []
_reasons: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember by name what could not run."""
    if report.skipped and report.nodeid.startswith("tests/docker/"):
        _not_run.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests did not run and why; nothing when all did."""
    if _not_run:
        terminalreporter.section("Docker tests that were NOT RUN", sep="=", yellow=True, bold=True)
        for line in (*sorted(_reasons), *_not_run):
            terminalreporter.line(line)


@pytest.fixture(scope="package")
def docker_engine() -> Iterator[Engine]:
    """The engine that answers, or one of the tests' own."""
    running = engine(CACHE / "docker")
    try:
        entered = running.__enter__()
    except NoEngineError as error:
        _skip(error)
    try:
        yield entered
    finally:
        running.__exit__(None, None, None)


def _skip(error: NoEngineError) -> None:
    _reasons.add(f"reason: {error}")
    pytest.skip(f"no Docker engine: {error}")


@pytest.fixture(scope="package")
def peers() -> Path:
    """The folder with the real opampsupervisor and fgcol; a failed build fails the tests."""
    built = subprocess.run(
        [HERE.parent / "interop" / "peers" / "build.sh"],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert built.returncode == 0, f"the peers cannot be built:\n{built.stderr[-3000:]}"
    return Path(built.stdout.strip())


@pytest.fixture(scope="package")
def builder(docker_engine: Engine, peers: Path) -> Builder:
    """Builds more of the images."""
    return Builder(docker_engine, peers)


@pytest.fixture(scope="package")
def images(builder: Builder) -> Images:
    """All images, built from this tree."""
    try:
        return builder.build_all()
    except NoEngineError as error:
        _skip(error)
        raise


@pytest.fixture(scope="package")
def project(docker_engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The whole project, up and waited for, with a gateway in each mode."""
    made = Project(docker_engine, images, tmp_path_factory.mktemp("project"))
    with made.compose() as compose:
        try:
            yield made
        finally:
            (made.folder / "output.txt").write_text("".join(compose.get_logs()))


@pytest.fixture
async def api(project: Project) -> AsyncIterator[Api]:
    """Its API."""
    async with project.api() as client:
        yield client


@pytest.fixture
def supervised(project: Project) -> Container:
    """The gateway in supervisor mode, running."""
    return _running(project, "gateway-supervisor")


@pytest.fixture
def plain(project: Project) -> Container:
    """The gateway as it comes, running."""
    return _running(project, "gateway")


def _running(project: Project, service: str) -> Container:
    container = project.container(service)
    if container.state()["Status"] != "running":
        container.start()
    return container
