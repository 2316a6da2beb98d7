"""A real helm, and what it makes of the chart."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "deploy" / "helm" / "flowgate"
BUILD_SECONDS = 900  # cold, on a busy machine

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def helm() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs helm; a failed build of it fails the tests."""
    built = subprocess.run(
        [HERE / "helm.sh"],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert built.returncode == 0, f"helm cannot be built:\n{built.stderr[-3000:]}"

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([built.stdout.strip(), *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> Render:
    """Manifests of a release with these arguments of helm, in order."""

    def manifests(*arguments: str | Path, release: str = "flowgate") -> list[Manifest]:
        done = helm("template", release, CHART, "--namespace", "fleet", *arguments)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    return manifests


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of a kind by their names."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}
