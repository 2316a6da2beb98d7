"""What can be said of the files without an engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowkit import contracts

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
DOCKERFILES = sorted(
    [
        ROOT / "gateway" / "Dockerfile",
        ROOT / "deploy" / "docker" / "Dockerfile",
        *Path(__file__).parent.rglob("*.Dockerfile"),
    ]
)
SCRIPTS = sorted(
    path
    for folder in ("gateway", "deploy", "tests/docker", "tests/helm", "tests/interop/peers", "tests/kubernetes")
    for path in (ROOT / folder).rglob("*.sh")
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _run(*command: str | Path, **changes: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWGATE_", "COMPOSE_"))}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment | changes)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=_name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    """Every Dockerfile is clean."""
    done = _run(TOOLS / "hadolint", "--no-color", dockerfile)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=_name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    """Every shell script is clean."""
    done = _run(TOOLS / "shellcheck", "--external-sources", script)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_readers_of_events_on_the_bus_have_every_event_stream() -> None:
    """nats.conf exports, permits and imports the direct gets of the streams of events, and no others."""
    text = (ROOT / "deploy" / "docker" / "nats.conf").read_text()
    events = sorted(name for name, one in contracts.streams().items() if one.subjects[0].startswith("flowgate.evt."))
    marked = text.split("$JS.API.DIRECT.GET.")[1:]
    assert sorted(events * 3) == sorted(part.partition('"')[0] for part in marked)


def test_without_env_the_project_does_not_start(tmp_path: Path) -> None:
    """There are no default passwords; the message says how to make some."""
    compose = ROOT / "docker-compose.yml"
    command = [TOOLS / "docker-compose", "--project-directory", tmp_path, "--file", compose, "config", "--quiet"]
    done = _run(*command)
    assert done.returncode != 0
    for name in ("POSTGRES_PASSWORD", "FLOWGATE_NATS_PASSWORD", "FLOWGATE_ENROLLMENT_TOKEN"):
        assert f"required variable {name} is missing a value: run `make env` first" in done.stderr


def test_make_env_makes_secrets_of_its_own(tmp_path: Path) -> None:
    """Private, different each time, kept when they are there; and enough for the project."""
    script = ROOT / "deploy" / "docker" / "make-env.sh"
    one, other = tmp_path / "one.env", tmp_path / "other.env"
    assert _run(script, one).returncode == 0
    assert _run(script, other).returncode == 0
    assert one.stat().st_mode & 0o777 == 0o600
    secrets = [
        dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line) for path in (one, other)
    ]
    assert {"COMPOSE_PROFILES", "FLOWGATE_DIRECTORY"} == {
        name for name in secrets[0] if secrets[0][name] == secrets[1][name]
    }
    kept = one.read_text()
    assert _run(script, one).returncode == 0
    assert kept == one.read_text()
    command = [TOOLS / "docker-compose", "--env-file", one, "--file", ROOT / "docker-compose.yml", "config", "--quiet"]
    done = _run(*command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_an_engine_the_tests_are_told_by_name() -> None:
    """They do not count as passed: each is named with the reason."""
    this = Path(__file__).parent
    arguments = ["-p", "no:cacheprovider", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml", this / "test_settings.py"]
    done = _run(sys.executable, "-m", "pytest", *arguments, FLOWGATE_TEST_DOCKER="off")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.partition("Docker tests that were NOT RUN")[2]
    assert "reason: FLOWGATE_TEST_DOCKER is off" in told
    assert "tests/docker/test_settings.py::test_several_wrong_settings_are_told_at_once" in told
    assert "passed" not in done.stdout
