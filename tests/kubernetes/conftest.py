"""FlowGate by its chart on a real cluster; `make test-kubernetes` makes the namespaces for it (run.py)."""

import json
import os
import sys
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

    @pytest.fixture(scope="session")
    def kubernetes() -> Iterator[Cluster]:
        """A running cluster."""
        assert SETTINGS is not None
        with cluster(json.loads(SETTINGS)) as running:
            yield running
