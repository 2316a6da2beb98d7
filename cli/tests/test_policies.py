"""`flowgate policies` and `flowgate agents diagnose`, without a FlowGate."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from flowgate_cli import connection as connections
from flowgate_cli import diagnosis, policies
from flowgate_cli.api import Api
from flowgate_cli.app import app
from flowgate_cli.connection import Connection

AGENT = {"gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1", "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7"}
EFFECT = {"dry_run": False, "matching": 1, "offers": 1, "restarts": 1, "summary": "1 agent will get another offer."}
Run = Callable[..., tuple[Result, list[httpx2.Request]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; the API answers with these bodies by path."""

    def runs(*arguments: str, **answers: Any) -> tuple[Result, list[httpx2.Request]]:
        asked: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            part = request.url.path.rpartition("/")[2]
            return httpx2.Response(200, json=answers.get(part.replace("-", "_"), AGENT))

        def api(connection: Connection) -> Api:
            return Api(connection, httpx2.MockTransport(answer))

        monkeypatch.setattr(connections, "find", lambda *_: Connection(api_url="http://flowgate", admin_token="fga_x"))
        for module in (policies, diagnosis):
            monkeypatch.setattr(module, "Api", api)
        return CliRunner().invoke(app, arguments), asked

    return runs


def test_what_a_policy_does_not_say_is_a_dash(run: Run) -> None:
    """off is another thing."""
    item = {
        "name": "prod",
        "selector": {"env": "prod"},
        "own_logs": True,
        "own_metrics": False,
        "own_traces": None,
        "heartbeat_interval_seconds": 5,
        "updated_at": None,
        "updated_by": "admin",
    }
    result, _ = run("policies", "list", policies={"items": [item]})
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1].split() == ["prod", "env=prod", "on", "off", "-", "5", "s", "-", "admin"]


def test_a_policy_is_set_with_what_was_said_only(run: Run) -> None:
    """And the answer's words are shown."""
    arguments = ("policies", "set", "prod", "-l", "env=prod", "--no-logs", "--heartbeat", "5", "--dry-run")
    result, (asked,) = run(*arguments, prod={"policy": None, "effect": EFFECT})
    assert (result.exit_code, result.output) == (0, "1 agent will get another offer.\n")
    assert (asked.method, asked.url.params["dry_run"]) == ("PUT", "true")
    assert json.loads(asked.content) == {
        "selector": {"env": "prod"},
        "own_logs": False,
        "own_metrics": None,
        "own_traces": None,
        "heartbeat_interval_seconds": 5,
    }


def test_a_policy_is_deleted(run: Run) -> None:
    """By its name, which is no path."""
    result, (asked,) = run("policies", "delete", "prod", prod={"policy": None, "effect": EFFECT})
    assert (result.exit_code, asked.method, asked.url.params["dry_run"]) == (0, "DELETE", "false")
    result, asked_none = run("policies", "delete", "a/b")
    assert result.exit_code != 0 and asked_none == []


def test_a_diagnosis_is_a_page(run: Run) -> None:
    """The probable cause first, with component, key, evidence and what to do; nothing of it controls the terminal."""
    finding = {
        "statement": "it broke\x1b[31m",
        "severity": "critical",
        "is_probable_cause": True,
        "component": "exporter:otlp",
        "config_key": "exporters.otlp",
        "what_to_do": "mend it",
        "evidence": [{"source": "collector", "timestamp": "2026-01-01T00:00:00.000Z", "text": "boo", "link": "/x"}],
    }
    told = {
        **AGENT,
        "name": "edge-7",
        "state": "failing",
        "summary": "edge-7 fails.",
        "findings": [finding],
        "changes_before": [{"timestamp": "2026-01-01T00:00:00.000Z", "text": "something changed"}],
        "partial": ["config-push"],
    }
    result, _ = run("agents", "diagnose", AGENT["instance_id"], diagnosis=told)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "failing  edge-7"
    for text in (
        "1. it broke?[31m",
        "   component exporter:otlp, key exporters.otlp",
        "   → mend it",
        "   2026-01-01T00:00:00  collector: boo",
        "   2026-01-01T00:00:00  something changed",
        "config-push did not answer; what it knows is missing",
    ):
        assert text in lines
    result, _ = run("agents", "diagnose", AGENT["instance_id"], "-o", "json", diagnosis=told)
    assert json.loads(result.output)["state"] == "failing"


def test_a_diagnosis_of_one_that_is_well_is_a_line(run: Run) -> None:
    """The summary."""
    told = {"name": "a", "state": "ok", "summary": "a is healthy.", "findings": [], "changes_before": [], "partial": []}
    result, _ = run("agents", "diagnose", AGENT["instance_id"], diagnosis=told)
    assert result.output.splitlines() == ["ok  a", "a is healthy."]
