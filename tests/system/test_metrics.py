"""What the services tell at /metrics, and whether dashboard, alerts, autoscaling and docs speak of that."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import promql_parser as promql
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from flowkit.testing import eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "flowgate.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
EXAMPLES = ROOT / "deploy" / "helm" / "flowgate" / "examples"
AUTOSCALING = EXAMPLES / "keda.yaml"
LAG_ALERT = "FlowGateConsumerLag"
DOCS = ROOT / "docs" / "metrics.md"
CONFIG = """
receivers: {nop: {}}
exporters: {nop: {}}
service: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}
"""
OF_THE_SCRAPE = frozenset({"job", "instance", "namespace", "pod", "le"})
OF_EVERYBODY = "every service"

_WORD = re.compile(r"[A-Za-z_-]+")


@dataclass
class Family:
    """A metric as the services expose it."""

    kind: str
    text: str
    services: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    samples: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)


def pages(running: Any) -> Iterator[tuple[str, Metric]]:
    """Every metric of every replica, with its service."""
    token = json.loads((running.data_dir / "secrets.json").read_text())["metrics_token"]
    urls = json.loads((running.data_dir / "processes.json").read_text())["metrics"]
    assert len(urls) == 5
    for service, replicas in urls.items():
        for url in replicas:
            assert httpx2.get(url).status_code == 401
            page = httpx2.get(url, headers={"Authorization": f"Bearer {token}"})
            assert page.status_code == 200
            for one in text_string_to_metric_families(page.text):
                yield service, one


def scrape(running: Any) -> dict[str, Family]:
    """Every metric of every service by its name; those of the process itself apart."""
    families: dict[str, Family] = {}
    for service, one in pages(running):
        name = f"{one.name}_total" if one.type == "counter" else one.name
        family = families.setdefault(name, Family(one.type, one.documentation))
        assert (family.kind, family.text) == (one.type, one.documentation), name
        family.services.add(service)
        family.samples |= {name} | {sample.name for sample in one.samples}
        family.labels |= {label for sample in one.samples for label in sample.labels if label != "le"}
        family.values |= {value for sample in one.samples for value in sample.labels.values()}
        if one.type == "histogram":
            family.samples |= {f"{name}_{part}" for part in ("bucket", "count", "sum")}
    return families


def drive(running: Any) -> None:
    """Make happen what leaves a trace in figures only then."""
    base = running.connection["opamp_url"].replace("ws://", "http://").removesuffix("/v1/opamp")
    wrong = {"Authorization": "Bearer wrong", "Content-Type": "application/x-protobuf"}
    assert httpx2.post(f"{base}/v1/opamp", headers=wrong).status_code == 401
    nameless = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}
    assert httpx2.post(f"{base}/v1/logs", json=nameless, headers=running.agent_headers).status_code == 200
    with running.api() as api:
        agent = api.get("/gateways", params={"management_mode": "supervisor", "status": "online"}).json()["items"][0]
        config = {"config": CONFIG}
        order = api.post(f"/supervisor/ui/agents/{agent['instance_id']}/config", json=config)
        assert order.status_code == 202
        operation = {"action": "restart", "instance_ids": [agent["instance_id"]]}
        assert api.post("/supervisor/operations", json=operation).status_code == 202
        assert api.post("/session", json={"token": "wrong"}).status_code == 401
        assert api.get("/nowhere").status_code == 404
        with api.stream("GET", "/events") as events:
            assert events.status_code == 200


def is_complete(families: dict[str, Family]) -> bool:
    """What was driven has arrived everywhere."""
    told = {
        "flowgate_gateways": "supervisor",
        "flowgate_config_delivery_changes_total": "applied",
        "flowgate_command_changes_total": "completed",
        "flowgate_sse_clients": "/api/v1/events",
        "flowgate_events_total": "config.delivery-state-changed",
        "flowgate_telemetry_requests_total": "200",
        "flowgate_telemetry_records_total": "metrics",
        "flowgate_telemetry_rejected_records_total": "logs",
        "flowgate_opamp_http_rejections_total": "401",
        "flowgate_consumer_lag": "SUPERVISOR_EVENTS",
        "flowgate_consumer_batches_total": "TELEMETRY",
        "http_server_request_duration_seconds": "404",
    }
    return all(value in families[name].values for name, value in told.items())


@pytest.fixture
async def families(flowgate_up: Callable[..., Any]) -> dict[str, Family]:
    running = flowgate_up("--demo")

    def has_supervised() -> bool:
        with running.api() as api:
            return bool(
                api.get("/gateways", params={"management_mode": "supervisor", "status": "online"}).json()["items"]
            )

    await eventually(has_supervised, seconds=30)
    drive(running)
    return await eventually(lambda: scrape(running), seconds=60, until=is_complete)


async def test_dashboard_alerts_and_docs_speak_of_metrics_that_there_are(families: dict[str, Family]) -> None:
    """One run of all services; every expression parses, and its metrics, labels and values exist."""
    wrong = [fault for where, text in expressions() for fault in faults(text, families, where)]
    assert wrong == []
    ours = {name: one for name, one in families.items() if not name.startswith("process_")}
    assert table(ours) == DOCS.read_text().split("<!-- table -->\n")[1]
    unnamed = [(path, name) for name, one in ours.items() if name not in (path := readme(one)).read_text()]
    assert unnamed == []


def test_alerts_see_the_first_burst(flowgate_up: Callable[..., Any]) -> None:
    """What an alert counts is there before it happens, with each value of its labels: an increase in a series that
    begins at 5 is none. Histograms apart; no alert asks for an increase in one."""
    counters: dict[str, list[dict[str, str]]] = {}
    for _, one in pages(flowgate_up()):
        for sample in one.samples if one.type == "counter" else ():
            counters.setdefault(sample.name, []).append(sample.labels)
    wanted = [selector for where, text in expressions() if where.startswith("alert") for selector in ranges(text)]
    assert {name for function, name, _ in wanted if function == "increase"} - counters.keys() == set()
    missing = [
        (name, label, value)
        for _, name, values in wanted
        if name in counters
        for label, value in values
        if not any(series.get(label) == value for series in counters[name])
    ]
    assert missing == []
    assert sum(name in counters and bool(values) for _, name, values in wanted) >= 10


def ranges(text: str) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Each function over a range: its name, the metric, and the values of labels that it asks for."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = []

    def visit(node: Any) -> None:
        for argument in node.args if isinstance(node, promql.Call) else ():
            if isinstance(argument, promql.MatrixSelector):
                of = argument.vector_selector
                values = [(one.name, value) for one in of.matchers.matchers for value in one.value.split("|")]
                found.append((node.func.name, of.name, values))

    promql.walk(promql.parse(text), visit)
    return found


def test_autoscalers_act_before_the_alert() -> None:
    """With as many replicas as there may be, the lag that they leave alone is below the one that wakes people up; what
    a replica more cannot share does not count."""
    text = next(text for where, text in expressions() if where == f"alert {LAG_ALERT}")
    alert = float(re.findall(r"> (\d+)$", text)[0])
    services = yaml.safe_load(AUTOSCALING.read_text())["services"].items()
    by_lag = [
        (one["autoscaling"], trigger["metadata"])
        for name, one in services
        for trigger in one["autoscaling"]["triggers"]
        if "flowgate_consumer_lag" in trigger["metadata"]["query"]
    ]
    assert len(by_lag) == 3
    for scaling, trigger in by_lag:
        assert scaling["max"] * float(trigger["threshold"]) < alert
        assert 'stream=~"UPLINK|TELEMETRY"' in trigger["query"]
        assert trigger["ignoreNullValues"] == "false"


def test_each_alert_says_what_to_do() -> None:
    """Summary and description for who is woken up by it; names are unique."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"].keys() == {"severity"} and rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 60, rule["alert"]


def test_the_check_finds_what_is_wrong() -> None:
    """A name, a label, a grouping, a value and the grammar."""
    known = {"a_total": Family("counter", "by outcome: good, bad", set(), {"outcome"}, {"a_total"}, {"good"})}
    assert faults('sum by (outcome) (rate(a_total{outcome="bad",job="x"}[5m]))', known, "") == []
    assert len(faults("rate(b_total[5m])", known, "")) == 1
    assert len(faults('a_total{colour="red"}', known, "")) == 1
    assert len(faults('a_total{outcome="ugly"}', known, "")) == 1
    assert len(faults("sum by (colour) (a_total)", known, "")) == 1
    assert len(faults("rate(a_total)", known, "")) == 1


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard, the alerts and the autoscaling, with where it is."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    for query in re.findall(r"^ *query: (.+)$", AUTOSCALING.read_text(), re.MULTILINE):
        yield "autoscaling", query
    for rule in yaml.safe_load((EXAMPLES / "prometheus-adapter" / "values.yaml").read_text())["rules"]["custom"]:
        yield "adapter", rule["seriesQuery"]
        series = rule["seriesQuery"].partition("{")[0]
        filled = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.Series>>", series)
        yield "adapter", filled.replace("<<.LabelMatchers>>", "")


def faults(text: str, families: dict[str, Family], where: str) -> list[str]:
    """What is wrong with an expression."""
    try:
        expression = promql.parse(text)
    except ValueError as error:
        return [f"{where}: {error}"]
    found: list[str] = []
    groupings: set[str] = set()
    known = set(OF_THE_SCRAPE)

    def visit(node: Any) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            groupings.update(node.modifier.labels)
        if not isinstance(node, promql.VectorSelector):
            return
        family = next((one for one in families.values() if node.name in one.samples), None)
        if family is None:
            found.append(f"{where}: no service tells {node.name}")
            return
        known.update(family.labels)
        for matcher in node.matchers.matchers:
            if matcher.name in OF_THE_SCRAPE:
                continue
            if matcher.name not in family.labels:
                found.append(f"{where}: {node.name} has no label {matcher.name}")
                continue
            for value in filter(_WORD.fullmatch, matcher.value.split("|")):
                if value not in family.values and not re.search(rf"\b{value}\b", family.text):
                    found.append(f"{where}: {matcher.name} of {node.name} is never {value}")

    promql.walk(expression, visit)
    found += [f"{where}: nothing has the label {label}" for label in sorted(groupings - known)]
    return found


def table(families: dict[str, Family]) -> str:
    """The table of docs/metrics.md."""
    lines = ["| metric | type | labels | told by | what |", "|---|---|---|---|---|"]
    for name, one in sorted(families.items()):
        labels = ", ".join(f"`{label}`" for label in sorted(one.labels))
        services = OF_EVERYBODY if len(one.services) == 5 else ", ".join(sorted(one.services))
        lines.append(f"| `{name}` | {one.kind} | {labels} | {services} | {one.text} |")
    return "\n".join(lines) + "\n"


def readme(family: Family) -> Path:
    """Where a metric is named: at the service that alone tells it, else at flowkit."""
    if len(family.services) == 1:
        return ROOT / "services" / next(iter(family.services)) / "README.md"
    return ROOT / "libs" / "flowkit" / "README.md"
