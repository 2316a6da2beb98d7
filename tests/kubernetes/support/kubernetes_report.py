"""The figures of the steps: counted, held to their limits, and written as a table."""

import json
import re
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kubernetes_load import Figures, Load, Missing
from kubernetes_release import NAMESPACE, Release

STORED_SECONDS = 120.0
USAGE_SECONDS = 15.0
FULL_STATES = 0.01  # of the connections that an orderly end of a gateway costs
COLUMNS = (
    "step",
    "seconds",
    "reports answered",
    "not stored",
    "orders without outcome",
    "events not told",
    "events doubled",
    "reports refused",
    "reconnections",
    "full states asked for",
    "shown offline between two connections",
    "for at most, s",
    "wrongly shown offline",
    "API requests",
    "failed",
)


@dataclass(frozen=True)
class Row:
    """One step."""

    name: str
    figures: Figures
    missing: Missing
    doubled: int
    longest_offline: float  # s

    def cells(self) -> list[str]:
        """As in the table."""
        of = self.figures
        numbers = [of.answered, len(self.missing.reports), len(self.missing.orders), len(self.missing.events)]
        numbers += [self.doubled, of.refused, of.connections, of.full_states]
        numbers += [of.shown_offline - of.wrongly_offline]
        more = [of.wrongly_offline, of.api_requests, of.api_failed]
        return [
            self.name,
            f"{of.seconds:.0f}",
            *(f"{one:,}" for one in numbers),
            f"{self.longest_offline:.1f}",
            *(f"{one:,}" for one in more),
        ]


class Usage:
    """What the pods take, by the cluster's metrics, read on a thread of its own until it is left."""

    def __init__(self, release: Release) -> None:
        self._cluster = release.cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.pods: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """Cores and MiB of one pod at a time, by component."""

    def __enter__(self) -> "Usage":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _read(self) -> None:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"
        while not self._ended.wait(USAGE_SECONDS):
            told = self._cluster.kubectl("get", f"--raw={path}", check=False)
            for pod in json.loads(told)["items"] if told else []:
                labels = pod["metadata"].get("labels", {})
                component = labels.get("app.kubernetes.io/component", pod["metadata"]["name"])
                usages = [container["usage"] for container in pod["containers"]]
                processors = sum(quantity(one["cpu"]) for one in usages)
                memory = sum(quantity(one["memory"]) for one in usages)
                self.pods[component].append((processors, memory / 2**20))

    def text(self) -> str:
        """A table in Markdown."""
        lines = ["| one pod of | readings | cores, median | cores, most | MiB, median | MiB, most |", "|" + "---|" * 6]
        for component, readings in sorted(self.pods.items()):
            processors, memory = zip(*readings, strict=True)
            figures = [f"{one:.2f}" for one in (statistics.median(processors), max(processors))]
            figures += [f"{one:.0f}" for one in (statistics.median(memory), max(memory))]
            lines.append(f"| {component} | {len(readings)} | " + " | ".join(figures) + " |")
        return "\n".join(lines) + "\n"


def quantity(text: str) -> float:
    """A number of cores or bytes as Kubernetes writes it, such as 12345678n, 100m, 1 or 41Mi."""
    number, unit = re.fullmatch(r"(\d+)(n|u|m|Ki|Mi|Gi|)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


@dataclass
class Report:
    """All steps."""

    rows: list[Row] = field(default_factory=list)
    install_seconds: float = 0.0
    usage: Usage | None = None

    def installed(self, seconds: float) -> None:
        """Remember how long `helm install --wait` took."""
        self.install_seconds = seconds

    def text(self) -> str:
        """A table in Markdown."""
        lines = [f"`helm install --wait`: {self.install_seconds:.0f} s.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in self.rows]
        return "\n".join(lines) + "\n\n" + (self.usage.text() if self.usage is not None else "")


REPORT = Report()


class Steps:
    """Steps of a test: what happens in each is counted, and nothing may be lost or doubled in any."""

    def __init__(self, load: Load, release: Release) -> None:
        self._load = load
        self._release = release

    @contextmanager
    def step(self, name: str, *, is_orderly: bool = True) -> Iterator[None]:
        """Count until the end of the block and until every agent reports again; an orderly step costs no request
        and shows nobody offline who is connected."""
        before, doubled_before = self._load.figures(), len(self._load.run(self._load.doubled()))
        failures, times = len(self._load.failures), len(self._load.offline_times)
        yield
        self._load.all_report()
        figures = self._load.figures() - before
        missing = self._missing()
        longest = max(self._load.offline_times[times:], default=0.0)
        doubled_now = self._load.run(self._load.doubled())
        row = Row(name, figures, missing, len(doubled_now) - doubled_before, longest)
        REPORT.rows.append(row)
        assert not missing and row.doubled == 0, (row, doubled_now)
        if is_orderly:
            assert self._load.failures[failures:] == [], self._load.failures[failures:]
            assert figures.wrongly_offline == 0, row
            assert figures.full_states <= FULL_STATES * figures.connections, row

    def _missing(self) -> Missing:
        """Of what is there up to now, what is missing after a while."""
        deadline = time.monotonic() + STORED_SECONDS
        wanted: Missing | None = None
        while True:
            missing = self._load.run(self._load.books.missing(self._load))
            wanted = missing if wanted is None else wanted & missing
            if not wanted or time.monotonic() > deadline:
                return wanted
            time.sleep(0.5)
