"""docs/tour.md, run word for word against the demo fleet."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]


def test_the_tour_shows_every_endpoint(flowgate_up: Callable[..., Any], data_dir: Path) -> None:
    """Each step answers as its comment says, for both modes."""
    running = flowgate_up("--demo", data_dir=data_dir / "flowgate-data")
    with running.api() as api:
        for _ in range(200):
            summary = api.get("/fleet/summary").json()
            if summary["by_mode"]["supervisor"] and summary["by_mode"]["extension"]:
                break
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "tour.md").read_text(), re.DOTALL)
    result = subprocess.run(
        ["bash", "-u", "-c", block], cwd=data_dir, capture_output=True, text=True, timeout=60, check=False
    )
    said = result.stdout
    assert result.returncode == 0, result.stderr + said
    operations = [
        (method, path)
        for path, methods in json.loads((data_dir / "openapi.json").read_text())["paths"].items()
        for method in methods
    ]
    assert len(operations) >= 19
    assert "HTTP/1.1 202" in said
    for words in (
        '"management_mode":"extension"',
        '"management_mode":"supervisor"',
        '"name":"edge-7"',
        '"delivery_id"',
        '"line":',
        '"command_id"',
        "event: log",
        '"step_seconds":60',
        "event: config.delivery-state-changed",
        "AcceptsRestartCommand",
        "event: over",
        '"state":"revoked"',
        '"status":409',
        '"status":401',
    ):
        assert words in said, words
