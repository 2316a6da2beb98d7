"""`flowgate operations` and `flowgate tokens`, without a FlowGate."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from flowgate_cli import operations, options, tokens
from flowgate_cli.api import NOT_FOUND, Api
from flowgate_cli.app import app
from flowgate_cli.connection import Connection
from flowgate_cli.errors import CommandError


def api(*answers: httpx2.Response) -> Api:
    """An API that gives these answers, one after the other."""
    waiting = iter(answers)
    connection = Connection(api_url="http://flowgate", admin_token="fga_x")
    return Api(connection, httpx2.MockTransport(lambda _: next(waiting)))


def stream(*bodies: dict[str, Any]) -> httpx2.Response:
    def lines() -> Iterator[bytes]:
        for body in bodies:
            yield f"event: progress\ndata: {json.dumps(body)}\n\n".encode()
        yield b": keep-alive\n\n"

    return httpx2.Response(200, content=b"".join(lines()), headers={"Content-Type": "text/event-stream"})


def test_progress_goes_on_after_a_stream_broke_off(monkeypatch: pytest.MonkeyPatch):
    """Until it is over; an ingress of the API that is not ready yet is asked again."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    running, over = {"is_over": False, "running": 1}, {"is_over": True, "running": 0}
    unavailable = httpx2.Response(503, json={"detail": "not now"})
    with api(stream(running), unavailable, stream(running, over)) as client:
        assert list(client.progress("/x")) == [running, running, over]


def test_progress_of_nothing_is_an_error():
    missing = httpx2.Response(404, json={"detail": "no operation"})
    with api(missing) as client, pytest.raises(CommandError, match="no operation") as caught:
        list(client.progress("/x"))
    assert caught.value.exit_code == NOT_FOUND


@pytest.mark.parametrize(
    ("chosen", "order"),
    [
        ({"all": True}, {"selector": {"labels": {}, "management_mode": None, "status": []}}),
        (
            {"labels": ["env=prod", "team"], "mode": "supervisor", "status": ["online"]},
            {
                "selector": {
                    "labels": {"env": "prod", "team": ""},
                    "management_mode": "supervisor",
                    "status": ["online"],
                }
            },
        ),
    ],
    ids=["all", "some"],
)
def test_agents_are_chosen(chosen: dict[str, Any], order: dict[str, Any]):
    nothing: dict[str, Any] = {"agents": None, "labels": None, "mode": None, "status": None, "all": False}
    with api() as client:
        assert operations._whom(client, **nothing | chosen) == order


@pytest.mark.parametrize("arguments", [["restart"], ["restart", "--agent", "a", "--all"], ["push", "-"]])
def test_nothing_said_is_nobody(arguments: list[str], tmp_path: Path):
    """A forgotten option must not restart the fleet."""
    connection = tmp_path / "connection.json"
    Connection(api_url="http://127.0.0.1:1").write(connection)
    result = CliRunner().invoke(app, ["operations", *arguments, "--connection", str(connection)], input="a: 1")
    assert isinstance(result.exception, CommandError) and result.exception.exit_code == 2


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 7 * 86400)])
def test_a_time_span_is_a_number_and_a_unit(text: str, expected: int):
    assert tokens.span(text) == timedelta(seconds=expected)


@pytest.mark.parametrize("text", ["", "0h", "1w", "h", "-1h", "1.5h"])
def test_anything_else_is_no_time_span(text: str):
    with pytest.raises(CommandError, match="24h"):
        tokens.span(text)


@pytest.mark.parametrize("text", ["", "key", "=value"])
def test_a_label_is_key_and_value(text: str):
    assert options.pair("a=b=c") == ("a", "b=c")
    with pytest.raises(CommandError, match="key=value"):
        options.pair(text)


def test_the_admin_token_is_printed_for_signing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing but the token, for a clipboard; where there is none, what to do."""
    Connection(api_url="http://flowgate", admin_token="fga_x").write(tmp_path / "connection.json")
    result = CliRunner().invoke(app, ["admin-token", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "fga_x\n")
    monkeypatch.setenv("FLOWGATE_API_URL", "http://flowgate")
    monkeypatch.delenv("FLOWGATE_TOKEN", raising=False)
    result = CliRunner().invoke(app, ["admin-token"])
    assert isinstance(result.exception, CommandError) and "set FLOWGATE_TOKEN" in str(result.exception)


@pytest.mark.parametrize(
    "command",
    [["admin-token"]]
    + [[group] for group in ("tokens", "operations")]
    + [["tokens", name] for name in ("create", "list", "revoke")]
    + [["operations", name] for name in ("restart", "push", "list", "show", "cancel")],
    ids=" ".join,
)
def test_every_command_has_help(command: list[str]):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output
