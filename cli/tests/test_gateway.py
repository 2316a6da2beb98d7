"""`flowgate gateway bundle`: the folder that it makes."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from flowgate_cli.app import app
from flowgate_cli.connection import Connection
from flowgate_cli.gateway import FILES

GATEWAY = Path(__file__).parents[2] / "gateway"
UID = "01a20a49-467b-76bd-b3fd-04af0d0db44c"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A connection.json of a FlowGate that other machines reach."""
    for name in ("FLOWGATE_DATA_DIR", "FLOWGATE_API_URL", "FLOWGATE_ENROLLMENT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "connection.json"
    Connection(opamp_url="ws://flowgate.example.com:4320/v1/opamp", enrollment_token="fge_of_the_test").write(path)
    return path


def _bundle(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["gateway", "bundle", *map(str, arguments)])


def _settings(folder: Path) -> dict[str, str]:
    lines = (line for line in (folder / ".env").read_text().splitlines() if not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_a_bundle_is_a_compose_project_with_a_private_token(known: Path, tmp_path: Path):
    folder = tmp_path / "edge"
    result = _bundle(folder, "--connection", known, "--name", "edge-7")
    assert result.exit_code == 0, result.output
    assert {".env", *FILES} == {path.name for path in folder.iterdir()}
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "fge_of_the_test" not in "".join((folder / file).read_text() for file in FILES) + result.output
    settings = _settings(folder)
    assert settings["FLOWGATE_ENROLLMENT_TOKEN"] == "fge_of_the_test"
    assert settings["FLOWGATE_OPAMP_ENDPOINT"] == "ws://flowgate.example.com:4320/v1/opamp"
    assert (settings["USE_SUPERVISOR"], settings["GATEWAY_HOSTNAME"]) == ("true", "edge-7")
    project = YAML(typ="safe", pure=True).load(folder / "docker-compose.yml")
    assert "storage:/var/lib/opampsupervisor" in project["services"]["gateway"]["volumes"]


def test_a_bundle_takes_over_the_identity_of_an_agent(known: Path, tmp_path: Path):
    result = _bundle(tmp_path / "b", "--connection", known, "--mode", "extension", "--instance-uid", UID.upper())
    assert result.exit_code == 0, result.output
    settings = _settings(tmp_path / "b")
    assert (settings["USE_SUPERVISOR"], settings["FLOWGATE_INSTANCE_UID"]) == ("false", UID)


@pytest.mark.parametrize("file", ["supervisor.yaml", "collector.yaml"])
def test_a_bundle_has_the_configurations_of_the_image(file: str, known: Path, tmp_path: Path):
    """They are copies: cp gateway/{supervisor,collector}.yaml cli/src/flowgate_cli/bundle/"""
    assert _bundle(tmp_path / "b", "--connection", known).exit_code == 0
    assert (tmp_path / "b" / file).read_text() == (GATEWAY / file).read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mode", "both"], "there is no mode 'both'"),
        (["--endpoint", "flowgate:4320"], "it needs to be ws://"),
        (["--endpoint", "ws://127.0.0.1:4320/v1/opamp"], "a container does not reach ws://127.0.0.1:4320/v1/opamp"),
        (["--name", "not a host"], "is no host name"),
        (["--instance-uid", "me"], "'me' is no UUID"),
    ],
)
def test_what_cannot_work_is_refused(arguments: list[str], told: str, known: Path, tmp_path: Path):
    result = _bundle(tmp_path / "b", "--connection", known, *arguments)
    assert told in str(result.exception)
    assert not (tmp_path / "b").exists()


def test_a_folder_with_something_in_it_is_left_alone(known: Path, tmp_path: Path):
    result = _bundle(tmp_path, "--connection", known)
    assert "is not empty" in str(result.exception)
