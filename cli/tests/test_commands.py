"""Options, files and output of the commands, without a FlowGate."""

import json
import random
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from flowgate_cli import connection, output
from flowgate_cli.app import app
from flowgate_cli.connection import Connection
from flowgate_cli.enroll import configuration
from flowgate_cli.errors import CommandError
from flowgate_cli.events import Wanted, line, since_time
from flowgate_cli.output import Format
from flowgate_cli.up.datadir import DataDir
from flowgate_cli.up.specs import Options, migration_environment, service_specs, with_role
from flowkit.embedded.ports import free_ports

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
KNOWN = Connection(
    api_url="http://127.0.0.1:8080", opamp_url="ws://127.0.0.1:4320/v1/opamp", admin_token="a", enrollment_token="e"
)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder and environment in which no FlowGate is known."""
    for name in ("FLOWGATE_DATA_DIR", "FLOWGATE_API_URL", "FLOWGATE_TOKEN", "FLOWGATE_EVENTS_NATS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- finding a FlowGate


def test_the_data_folder_is_the_one_here_or_the_one_at_home(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    assert connection.default_data_dir() == nowhere / "share" / "flowgate"
    (nowhere / "flowgate-data").mkdir()
    assert connection.default_data_dir() == nowhere / "flowgate-data"
    monkeypatch.setenv("FLOWGATE_DATA_DIR", "/else/where")
    assert connection.default_data_dir() == Path("/else/where")


def test_an_option_wins_over_the_environment(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    KNOWN.write(nowhere / "c.json")
    monkeypatch.setenv("FLOWGATE_API_URL", "https://flowgate.example/")
    monkeypatch.setenv("FLOWGATE_TOKEN", "t")
    assert connection.find(nowhere / "c.json", None) == KNOWN
    found = connection.find(None, None)
    assert (found.api_url, found.admin_token) == ("https://flowgate.example", "t")


def test_no_flowgate_says_how_to_get_one():
    with pytest.raises(CommandError, match="flowgate up"):
        connection.find(None, None)


def test_a_damaged_connection_file_is_told(nowhere: Path):
    (nowhere / "c.json").write_text("{")
    with pytest.raises(CommandError, match="cannot read"):
        connection.find(nowhere / "c.json", None)


def test_a_connection_file_of_another_version_can_be_read(nowhere: Path):
    """Fields that are not known are left out, missing ones are empty."""
    (nowhere / "c.json").write_text(json.dumps({"api_url": "http://x", "new": 1}))
    assert connection.find(nowhere / "c.json", None) == Connection(api_url="http://x")


def test_secrets_do_not_show_in_a_representation():
    assert "fga_" not in repr(Connection(admin_token="fga_x", nats_url="nats://u:fga_y@h"))


# --- flowgate up


def test_secrets_are_made_once_and_private(nowhere: Path):
    with DataDir(nowhere / "data") as data:
        first = data.secrets()
        assert data.secrets() == first
        assert stat.S_IMODE((data.root / "secrets.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(data.root.stat().st_mode) == 0o700
    assert len(set(vars_of(first))) == len(vars_of(first))
    assert all(len(one) >= 43 for one in vars_of(first))


def vars_of(secrets: object) -> list[str]:
    """Values of all secrets."""
    return [getattr(secrets, name) for name in type(secrets).__slots__]


def test_a_folder_is_held_by_one(nowhere: Path):
    with DataDir(nowhere / "data"), pytest.raises(CommandError, match=r"in use by another flowgate \(pid \d+\)"):
        DataDir(nowhere / "data").__enter__()
    with DataDir(nowhere / "data"):
        pass  # free again


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} on 127.0.0.1 is in use; choose another with --opamp-port"):
            Options(api_port=29999, opamp_port=port).require_free_ports()


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_that_does_not_exist_is_refused(port: int):
    with pytest.raises(CommandError, match="does not exist"):
        Options(api_port=port).require_free_ports()


def test_each_service_knows_what_it_needs_and_no_more(nowhere: Path):
    """Owners get their own role, the ingress no database; nobody gets a token, only its hash."""
    with DataDir(nowhere / "data") as data:
        secrets = data.secrets()
    url = "postgresql://postgres:admin@/flowgate?host=/run/x&port=5432"
    specs = {one.name: one for one in service_specs(Options(), secrets, "nats://n", url)}
    assert len(specs) == 5
    for name, spec in specs.items():
        role = name.replace("-", "_")
        given = spec.environment.get("FLOWGATE_DATABASE_URL", "")
        owner = hasattr(secrets, role)
        assert given.startswith(f"postgresql://{role}:{getattr(secrets, role, '')}@/flowgate?host=") == owner
        values = " ".join(spec.environment.values())
        assert "admin" not in given
        assert secrets.admin_token not in values
        assert secrets.enrollment_token not in values
        assert secrets.metrics_token not in values
        assert secrets.postgres not in values
    assert len({spec.health_port for spec in specs.values()}) == 5
    assert migration_environment(secrets, url)["FLOWGATE_DATABASE_PASSWORD_CONFIG_PUSH"] == secrets.config_push


def test_no_readiness_takes_a_port_of_the_ingress(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    """These are free as well until the ingress listens."""
    with DataDir(nowhere / "data") as data:
        secrets = data.secrets()
    api_port, opamp_port, *others = free_ports(7)
    monkeypatch.setattr(random, "sample", lambda *_: [opamp_port, api_port, *others])
    specs = service_specs(Options(api_port=api_port, opamp_port=opamp_port), secrets, "nats://n", "postgresql://p")
    assert others == [spec.health_port for spec in specs]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://p:a@/f?host=/s&port=1", "postgresql://r:s%2Fx@/f?host=/s&port=1"),
        ("postgresql://p:a@db.example:5432/f", "postgresql://r:s%2Fx@db.example:5432/f"),
        ("postgresql://db.example/f", "postgresql://r:s%2Fx@db.example/f"),
        ("postgresql://p:a@[::1]:5432/f", "postgresql://r:s%2Fx@[::1]:5432/f"),
    ],
)
def test_the_same_database_for_another_role(url: str, expected: str):
    assert with_role(url, "r", "s/x") == expected


def test_replicas_take_the_next_ports():
    options = Options(api_port=8080, opamp_port=4320, opamp_host="0.0.0.0", replicas=2)
    assert options.api_urls() == ("http://127.0.0.1:8080", "http://127.0.0.1:8081")
    assert options.opamp_urls() == ("ws://127.0.0.1:4320/v1/opamp", "ws://127.0.0.1:4321/v1/opamp")


# --- flowgate enroll


@pytest.mark.parametrize("transport", ["ws", "http"])
def test_an_enrolled_supervisor_has_address_token_and_capabilities(transport: str):
    made = YAML(typ="safe").load(configuration("supervisor", KNOWN, transport, None, "/bin/otel", "/var/s"))
    assert made["server"]["endpoint"] == f"{transport}://127.0.0.1:4320/v1/opamp"
    assert made["server"]["headers"] == {"Authorization": "Bearer e"}
    assert made["capabilities"]["accepts_remote_config"] is True
    assert (made["agent"]["executable"], made["storage"]["directory"]) == ("/bin/otel", "/var/s")


@pytest.mark.parametrize("transport", ["ws", "http"])
def test_an_enrolled_extension_has_address_and_token(transport: str):
    made = YAML(typ="safe").load(configuration("extension", KNOWN, transport, None, None, ""))
    server = made["extensions"]["opamp"]["server"][transport]
    assert server["endpoint"] == f"{transport}://127.0.0.1:4320/v1/opamp"
    assert server["headers"] == {"Authorization": "Bearer e"}
    assert ("tls" in server) == (transport == "ws")


def test_an_address_with_tls_stays_with_tls():
    made = configuration("supervisor", KNOWN, "ws", "https://opamp.example/v1/opamp", None, "s")
    assert "endpoint: wss://opamp.example/v1/opamp" in made


def test_an_enrolled_file_is_private(nowhere: Path):
    KNOWN.write(nowhere / "c.json")
    result = CliRunner().invoke(app, ["enroll", "extension", "-f", "x.yaml", "--connection", "c.json"])
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE((nowhere / "x.yaml").stat().st_mode) == 0o600


# --- output


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "now"), (42, "42s ago"), (61, "1m ago"), (7300, "2h ago"), (200_000, "2d ago")]
)
def test_times_are_told_in_their_largest_unit(seconds: int, expected: str):
    stamp = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    assert output.ago(stamp, NOW) == expected


def test_what_agents_say_cannot_control_the_terminal():
    """Escape sequences and markup in a name are shown, not obeyed."""
    assert output.text("\x1b[2Jevil [red]x[/]").plain == "?[2Jevil [red]x[/]"


def test_yaml_and_json_hold_the_same():
    data = {"items": [{"name": "ä: x", "labels": {}, "healthy": None, "n": 1}]}
    assert json.loads(output.as_text(data, Format.JSON)) == data
    assert YAML(typ="safe").load(output.as_text(data, Format.YAML)) == data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("2026-11-02T07:00:00Z", NOW - timedelta(hours=1)),
    ],
)
def test_since_is_a_span_or_a_time(text: str, expected: datetime):
    assert since_time(text, NOW) == expected


def test_since_in_other_words_is_refused():
    with pytest.raises(CommandError, match="use 10m"):
        since_time("yesterday", NOW)


def test_events_are_chosen_by_name_or_domain():
    assert Wanted(("agent.connected",), "").subjects() == {"AGENT_EVENTS": ["flowgate.evt.agent.v1.connected.*"]}
    assert set(Wanted((), "").subjects()) == {"AGENT_EVENTS", "CONFIG_EVENTS", "SUPERVISOR_EVENTS"}
    assert set(Wanted(("config",), "u").subjects()["CONFIG_EVENTS"]) == {
        "flowgate.evt.config.v1.delivery-state-changed.u",
        "flowgate.evt.config.v1.effective-config-changed.u",
    }
    with pytest.raises(CommandError, match=r"there is no event 'agent.died'; there are agent.registered"):
        Wanted(("agent.died",), "").subjects()


def test_an_event_is_one_line():
    fields = {"occurred_at": "2026-11-02T08:00:00.123456Z", "instance_uid": "u", "gateway_id": "g", "reason": "a b"}
    assert line("agent.disconnected", fields).split() == [
        "2026-11-02T08:00:00.123", "agent.disconnected", "u", 'reason="a', 'b"',
    ]  # fmt: skip


# --- help


@pytest.mark.parametrize(
    "command",
    [
        [], ["up"], ["sim"], ["enroll"], ["status"], ["version"], ["agents"], ["agents", "list"], ["agents", "show"],
        ["agents", "config"], ["agents", "push"], ["agents", "restart"], ["events"], ["events", "tail"],
    ],
)  # fmt: skip
def test_every_command_has_help(command: list[str]):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
