"""What was measured, and the report made of it. No process, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

UI_SECTION = "## The UI with a large fleet"  # bench/ui.py's
CPU_LIMIT = 1.0  # times opamp-go's CPU per report
IDLE_LIMIT = 10.0  # KB per idle connection
NOTHING = 0.005  # of the gateway: below it a process is not shown


@dataclass(frozen=True)
class Load:
    """One shape of load, the same for both servers."""

    key: str
    title: str
    kind: str
    rate: int  # messages a second over all connections; 0 = as fast as they are answered
    in_flight: int


LOADS = [
    Load("report-2000", "health reports, 2,000/s", "report", 2000, 4),
    Load("report-10000", "health reports, 10,000/s", "report", 10000, 4),
    Load("heartbeat-full", "bare heartbeats, full speed", "heartbeat", 0, 1),
    Load("report-full", "health reports, full speed", "report", 0, 1),
]
HEADLINE = "report-full"
EQUAL_RATE = "report-10000"  # shown beside it: at full speed the two do not run at the same rate


@dataclass(frozen=True)
class Outcome:
    """What the generator says about a run or about connecting (its JSON line)."""

    connections: int
    sent: int
    answered: int
    errors: int
    asked_for_full: int
    offers: int
    foreign: int
    unasked: int
    behind: int
    bytes: int
    p50_ms: float
    p99_ms: float
    wall_seconds: float
    cpu_seconds: float

    def check(self, what: str, expected: int = 1) -> None:
        """A run counts only if every message got its own good answer."""
        names = ("errors", "asked_for_full", "offers", "foreign", "unasked")
        odd = {name: value for name in names if (value := getattr(self, name))}
        if self.answered != self.sent or self.answered < expected or odd:
            raise SystemExit(f"bench: no valid run: {what}: {self.answered} of {self.sent} answered, {odd}")


@dataclass(frozen=True)
class RunResult:
    """One run of one server: the generator's outcome and CPU seconds by process group."""

    server: str
    load: str
    outcome: Outcome
    cpu: Mapping[str, float]

    def micros(self, groups: Iterable[str] = ("gateway",)) -> float:
        """CPU microseconds per answered message of these groups together."""
        return sum(self.cpu.get(group, 0.0) for group in groups) / self.outcome.answered * 1e6

    @property
    def rate(self) -> float:
        return self.outcome.answered / self.outcome.wall_seconds

    def line(self) -> str:
        parts = " ".join(f"{group} {self.micros([group]):.1f}" for group in self.cpu)
        load = self.outcome.cpu_seconds / self.outcome.answered * 1e6
        return (
            f"{self.load:15} {self.server:9} {self.rate:7.0f}/s  µs a message: "
            f"{parts} (generator {load:.1f})  p50 {self.outcome.p50_ms:.1f} p99 {self.outcome.p99_ms:.1f} ms"
        )


@dataclass(frozen=True)
class IdleResult:
    """Resident memory of the ingress before and after so many connections more, and what was stored of them, in
    bytes."""

    connections: int
    before: float
    after: float
    stored: float

    @property
    def kilobytes(self) -> float:
        return (self.after - self.before) / self.connections / 1024

    @property
    def stored_kilobytes(self) -> float:
        return self.stored / self.connections / 1024


@dataclass(frozen=True)
class Spread:
    """Median and range over the rounds."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Row:
    """One shape of load: FlowGate's CPU per message as multiples of opamp-go's, of the same round."""

    load: Load
    gateway: Spread
    with_nats: Spread
    everything: Spread
    rates: tuple[float, float]  # answered per second: FlowGate, opamp-go (medians)
    latencies: tuple[float, float, float, float]  # FlowGate p50, p99, opamp-go p50, p99 in ms (medians)


@dataclass(frozen=True)
class Share:
    """What a process of FlowGate costs for a report: as multiples of the gateway, and how many fill a core."""

    process: str
    of_gateway: Spread
    per_core: float


@dataclass(frozen=True)
class Summary:
    rows: list[Row]
    idle: Mapping[str, IdleResult]
    shares: list[Share]

    def row(self, key: str) -> "Row":
        return next(row for row in self.rows if row.load.key == key)

    @property
    def headline(self) -> Spread:
        return self.row(HEADLINE).gateway

    @property
    def is_within_limits(self) -> bool:
        idle = self.idle.get("FlowGate")
        return self.headline.middle <= CPU_LIMIT and (idle is None or idle.kilobytes <= IDLE_LIMIT)

    def verdict(self) -> str:
        idle = self.idle.get("FlowGate")
        memory = f"{idle.kilobytes:.1f} KB" if idle else "not measured"
        held, equal = self.row(HEADLINE), self.row(EQUAL_RATE)
        ours, theirs = held.rates
        return (
            f"CPU per durable health report: {held.gateway} times opamp-go's at full speed (limit {CPU_LIMIT}), "
            f"FlowGate's {ours:,.0f}/s beside {theirs:,.0f}/s; {equal.gateway} times at 10,000/s on both sides; "
            f"memory per idle connection: {memory} (limit {IDLE_LIMIT:g} KB)"
        )


def summarize(runs: list[RunResult], idle: Mapping[str, IdleResult]) -> Summary:
    """Ratios round by round, so that a slow moment of the machine hits both sides of one."""
    rows = []
    for load in LOADS:
        ours = [run for run in runs if run.load == load.key and run.server == "FlowGate"]
        theirs = [run for run in runs if run.load == load.key and run.server == "opamp-go"]

        def ratio(*groups: str, pairs: list[tuple[RunResult, RunResult]]) -> Spread:
            return Spread.of([a.micros(groups or a.cpu) / b.micros() for a, b in pairs])

        pairs = list(zip(ours, theirs, strict=True))
        rows.append(
            Row(
                load,
                ratio("gateway", pairs=pairs),
                ratio("gateway", "nats", pairs=pairs),
                ratio(pairs=pairs),
                (median(run.rate for run in ours), median(run.rate for run in theirs)),
                (
                    median(run.outcome.p50_ms for run in ours),
                    median(run.outcome.p99_ms for run in ours),
                    median(run.outcome.p50_ms for run in theirs),
                    median(run.outcome.p99_ms for run in theirs),
                ),
            )
        )
    return Summary(rows, idle, shares([run for run in runs if run.load == HEADLINE and run.server == "FlowGate"]))


def shares(runs: list[RunResult]) -> list[Share]:
    """The processes that a report costs something, the dearest first."""
    found = []
    for process in {name for run in runs for name in run.cpu}:
        costs = [run.micros([process]) for run in runs]
        multiples = [cost / run.micros() for cost, run in zip(costs, runs, strict=True)]
        found.append(Share(process, Spread.of(multiples), 1e6 / max(median(costs), 1e-3)))
    return sorted((one for one in found if one.of_gateway.middle >= NOTHING), key=lambda one: one.per_core)


def render(template: str, summary: Summary, conditions: Mapping[str, float]) -> str:
    """Fill in report_template.md."""
    cpu = "\n".join(
        f"| {row.load.title} | **{row.gateway}** | {row.with_nats} | {row.everything} "
        f"| {row.rates[0] / row.rates[1]:.2f} | {row.latencies[0]:.1f} / {row.latencies[1]:.1f} ms "
        f"| {row.latencies[2]:.1f} / {row.latencies[3]:.1f} ms |"
        for row in summary.rows
    )
    idle = "\n".join(
        f"| {name} | {each.kilobytes:.1f} KB | {f'{each.stored_kilobytes:.1f} KB' if each.stored else 'nothing'} "
        f"| {each.connections:,} |"
        for name, each in summary.idle.items()
    )
    processes = "\n".join(
        f"| {one.process} | {one.of_gateway} | {float(f'{one.per_core:.2g}'):,.0f}/s |" for one in summary.shares
    )
    shared = "the generator's core (the machine has no third)"
    return template.format(
        verdict=summary.verdict(),
        cpu=cpu,
        idle=idle or "| not measured | | | |",
        processes=processes,
        rest="cores of their own" if conditions["own_core"] else shared,
        rounds=conditions["rounds"],
        seconds=conditions["seconds"],
        connections=conditions["connections"],
    )


def section(text: str, title: str) -> str:
    """A section of a report, with its title, up to the next one of its level; empty when it has none."""
    begin = text.find(f"{title}\n")
    if begin < 0:
        return ""
    end = text.find("\n## ", begin + 1)
    return text[begin:] if end < 0 else text[begin : end + 1]


def keep_section(report: Path, title: str, new: str) -> None:
    """Put a section into a report, in place of the one of its title or at the end."""
    text = report.read_text()
    old = section(text, title)
    report.write_text(text.replace(old, new) if old else f"{text.rstrip()}\n\n{new}")
