"""A real helm, and what it makes of the chart."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "deploy" / "helm" / "flowgate"
BUILD_SECONDS = 900  # cold, on a busy machine

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


def _made(script: str) -> str:
    """What a script prints; a script that fails fails the tests."""
    done = subprocess.run(
        [HERE / script],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.returncode == 0, f"{script}:\n{done.stderr[-3000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="package")
def helm() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs helm."""
    program = _made("helm.sh")

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="package")
def foreign() -> dict[tuple[str, str], jsonschema.Draft202012Validator]:
    """By apiVersion and kind what holds manifests to their CustomResourceDefinitions."""
    found = {}
    for file in Path(_made("crds.sh")).iterdir():
        spec = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            at = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            found[at] = jsonschema.Draft202012Validator(schema)
    return found


def _closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name, as `kubectl apply --validate=strict` has it."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture(scope="package")
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
