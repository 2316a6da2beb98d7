"""FlowGate by its chart on a real cluster; `make test-kubernetes` makes the namespaces for it (run.py)."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "support"), str(HERE.parent / "system" / "support")]  # importlib mode looks nowhere itself

SETTINGS = os.environ.get("FLOWGATE_KUBERNETES")
if SETTINGS is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from kubernetes_cluster import Cluster, cluster
    from kubernetes_load import AGENTS, Load
    from kubernetes_release import Release
    from kubernetes_report import REPORT, Steps, Usage

    IMAGE = "docker.io/flowgate-test/services"

    @pytest.fixture(scope="session")
    def kubernetes() -> Iterator[Cluster]:
        """A running cluster."""
        assert SETTINGS is not None
        with cluster(json.loads(SETTINGS)) as running:
            yield running

    @pytest.fixture(scope="session")
    def release(kubernetes: Cluster) -> Release:
        """FlowGate, installed and ready; the same image by the tag `next` is there as well."""
        kubernetes.ctr("images", "tag", f"{IMAGE}:latest", f"{IMAGE}:next")
        made = Release(kubernetes, json.loads(SETTINGS or "")["helm"])
        began = time.monotonic()
        made.install()
        REPORT.installed(time.monotonic() - began)
        return made

    @pytest.fixture(scope="session")
    def load(release: Release) -> Iterator[Load]:
        """300 agents that report every few seconds, people who ask and change; each agent has been answered."""
        opamp_url = release.service_url("agents").replace("http://", "ws://") + "/v1/opamp"
        tokens = release.secret("flowgate-tokens")
        with Load(AGENTS, opamp_url, release.service_url("api"), tokens, release.bus_urls()) as running:
            running.all_report(120)
            running.change()
            with Usage(release) as REPORT.usage:
                yield running

    @pytest.fixture
    def steps(request: pytest.FixtureRequest, load: Load, release: Release) -> Steps:
        """Counts what happens during a step of a test."""
        return Steps(load, release)

    def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
        """Show the figures, and write them where FLOWGATE_KUBERNETES_REPORT says."""
        terminalreporter.section("figures")
        terminalreporter.write_line(REPORT.text())
        if to := os.environ.get("FLOWGATE_KUBERNETES_REPORT"):
            Path(to).write_text(REPORT.text())
