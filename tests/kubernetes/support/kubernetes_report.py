"""The figures of the steps: counted, held to their limits, and written as a table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kubernetes_load import Figures, Load
from kubernetes_release import Release

STORED_SECONDS = 120.0
FULL_STATES = 0.01  # of the connections that an orderly end of a gateway costs
COLUMNS = (
    "step",
    "seconds",
    "reports answered",
    "not stored",
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
    lost: int
    doubled: int
    longest_offline: float  # s

    def cells(self) -> list[str]:
        """As in the table."""
        of = self.figures
        numbers = [of.answered, self.lost, self.doubled, of.refused, of.connections, of.full_states]
        numbers += [of.shown_offline - of.wrongly_offline]
        more = [of.wrongly_offline, of.api_requests, of.api_failed]
        return [
            self.name,
            f"{of.seconds:.0f}",
            *(f"{one:,}" for one in numbers),
            f"{self.longest_offline:.1f}",
            *(f"{one:,}" for one in more),
        ]


@dataclass
class Report:
    """All steps."""

    rows: list[Row] = field(default_factory=list)
    install_seconds: float = 0.0

    def installed(self, seconds: float) -> None:
        """Remember how long `helm install --wait` took."""
        self.install_seconds = seconds

    def text(self) -> str:
        """A table in Markdown."""
        lines = [f"`helm install --wait`: {self.install_seconds:.0f} s.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


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
        before, doubled = self._load.figures(), self._load.books.doubled
        failures, times = len(self._load.failures), len(self._load.offline_times)
        yield
        self._load.all_report()
        figures = self._load.figures() - before
        lost = self._lost()
        longest = max(self._load.offline_times[times:], default=0.0)
        row = Row(name, figures, lost, self._load.books.doubled - doubled, longest)
        REPORT.rows.append(row)
        assert (row.lost, row.doubled) == (0, 0), row
        if is_orderly:
            assert self._load.failures[failures:] == []
            assert figures.wrongly_offline == 0, row
            assert figures.full_states <= FULL_STATES * figures.connections, row

    def _lost(self) -> int:
        """Reports of up to now that are in no fact after a while."""
        deadline = time.monotonic() + STORED_SECONDS
        wanted: set[tuple[str, str]] | None = None
        while True:
            missing = self._load.run(self._load.books.missing(self._load.agents))
            wanted = missing if wanted is None else wanted & missing
            if not wanted or time.monotonic() > deadline:
                return len(wanted)
            time.sleep(0.5)
