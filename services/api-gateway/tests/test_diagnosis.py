"""The explanation of how an agent does: pure cases, and the endpoint over owners in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient

from api_gateway.diagnosis import Diagnosis, Known, Record, diagnose
from api_gateway.schemas.diagnosis import DiagnosisResponse, diagnosis_json
from api_gateway.testing import MemoryOwners, make_gateway
from flowgate.config.v1.events_pb2 import DELIVERY_STATE_APPLIED, DELIVERY_STATE_FAILED
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowgate.supervisor.v1.events_pb2 import COMMAND_STATE_FAILED
from flowkit import tokens
from flowkit.opamp import timestamp
from opamp.v1 import opamp_pb2

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
REFUSED = (
    "configuration validation failed: config validation failed: exit status 1, output: Error: failed to get config:"
    " cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n'exporters' unknown type:"
    ' "otpl" for id: "otpl" (valid values: [otlp nop])'
)
CRASHED = "Agent process PID=27500 exited unexpectedly, exit code=1. Will restart in a bit..."
APPLYING = "Agent exited unexpectedly with exit code 1 while applying configuration"
IN_USE = {"error": "listen tcp 127.0.0.1:4317: bind: address already in use", "type": "Receiver", "id": "otlp"}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def make_known(
    *,
    config: configs.GetAgentConfigResponse | None = None,
    supervisor: dict[str, Any] | None = None,
    records: tuple[Record, ...] = (),
    health: opamp_pb2.ComponentHealth | None = None,
    disconnect_reason: str = "",
    **gateway: Any,
) -> Known:
    """An agent in supervisor mode that is online, healthy and has run for 10 minutes."""
    detail = make_gateway(2, supervised=True)
    for name, value in gateway.items():
        if isinstance(value, datetime):
            getattr(detail.gateway, name).FromDatetime(value)
        else:
            setattr(detail.gateway, name, value)
    detail.disconnect_reason = disconnect_reason
    detail.health = health.SerializeToString() if health is not None else b""
    state = {"collector_state": "running", "collector_starts": 1, "crash_window_seconds": 600, **(supervisor or {})}
    known = supervisors.Supervisor(**state)
    known.collector_started_at.FromDatetime(ago(600))
    return Known(detail, config, known, records, NOW)


def make_delivery(error: str, state: int = DELIVERY_STATE_FAILED, at: float = 60) -> configs.GetAgentConfigResponse:
    delivery = configs.Delivery(delivery_id="d1", config_hash="9b1c0f6c0a6a" * 5, state=state, error=error)  # type: ignore[arg-type]
    delivery.created_at.FromDatetime(ago(at + 1))
    delivery.updated_at.FromDatetime(ago(at))
    return configs.GetAgentConfigResponse(delivery=delivery)


def said(body: str, seconds: float = 58, source: str = "collector", **attributes: str) -> Record:
    return Record(ago(seconds), True, source, body, attributes)


def happened(event: str, body: str, seconds: float) -> Record:
    return Record(ago(seconds), False, "flowgate", body, {"event": event})


def explained(known: Known) -> Diagnosis:
    """The diagnosis, which fits its schema."""
    diagnosis = diagnose(known)
    DiagnosisResponse.model_validate(diagnosis_json(known.gateway, diagnosis, []))
    assert [one.is_probable for one in diagnosis.findings] == [n == 0 for n in range(len(diagnosis.findings))]
    assert all(one.evidence for one in diagnosis.findings)
    return diagnosis


def test_all_is_well() -> None:
    """Nothing is made up, whatever happened before; an old error is no matter of now."""
    known = make_known(
        config=make_delivery("", DELIVERY_STATE_APPLIED),
        records=(said("boo", 3600), happened("config", "configuration x is applied", 60)),
    )
    diagnosis = explained(known)
    assert (diagnosis.state, diagnosis.findings, diagnosis.changes_before) == ("ok", [], [])
    assert "nothing is wrong" in diagnosis.summary


def test_a_refused_configuration_is_a_warning() -> None:
    """The collector runs on; component and key are those that it names; the evidence leads to the delivery."""
    diagnosis = explained(make_known(config=make_delivery(REFUSED)))
    (finding,) = diagnosis.findings
    assert (diagnosis.state, finding.severity) == ("attention", "warning")
    assert (finding.component, finding.config_key) == ("exporter:otpl", "exporters.otpl")
    assert finding.statement.startswith("The configuration 9b1c0f6c0a6a was refused: ")
    assert 'Did you mean "otlp"?' in finding.what_to_do and "runs on" in finding.what_to_do
    assert (finding.evidence[0].source, finding.evidence[0].link) == ("config-push", "/api/v1/deliveries/d1")


def test_a_configuration_that_crashes_is_explained_by_the_collectors_log() -> None:
    """The status says only that it exited; the cause comes first, the crash after it, and what changed before."""
    diagnosis = explained(
        make_known(
            healthy=False,
            last_error=CRASHED,
            config=make_delivery(APPLYING),
            supervisor={"collector_state": "crashed", "last_error": CRASHED, "last_error_at": timestamp(ago(55))},
            records=(
                said("unrelated trouble", 57),
                said("Failed to start component", 58, **IN_USE),
                happened("config", "configuration 9b1c0f6c0a6a is applying", 61),
                happened("command", "restart was requested", 7 * 3600),
            ),
        )
    )
    first, second = diagnosis.findings
    assert (diagnosis.state, first.component, first.config_key) == ("failing", "receiver:otlp", "receivers.otlp")
    assert "failed: receiver:otlp: 127.0.0.1:4317 is in use" in first.statement
    assert [one.source for one in first.evidence] == ["config-push", "collector"]
    assert first.evidence[1].text == f"Failed to start component: {IN_USE['error']}"
    assert second.statement.startswith("The collector crashed: receiver:otlp: ")
    assert [one.text for one in diagnosis.changes_before] == ["configuration 9b1c0f6c0a6a is applying"]


@pytest.mark.parametrize(("at", "is_told"), [(5, False), (40, True)])
def test_what_the_collector_said_of_another_configuration_is_no_reason(at: float, is_told: bool) -> None:
    """Its words on this one are on their way; when none have come for long, its clock may be behind."""
    records = (said("Failed to start component", at + 3, **IN_USE),)
    finding = explained(make_known(healthy=False, config=make_delivery(APPLYING, at=at), records=records)).findings[0]
    assert (finding.component == "receiver:otlp") is is_told
    records += (said("Failed to start component", at - 1, **{**IN_USE, "id": "otlp/new"}),)
    finding = explained(make_known(healthy=False, config=make_delivery(APPLYING, at=at), records=records)).findings[0]
    assert finding.component == "receiver:otlp/new"


def test_a_crash_loop_counts() -> None:
    """Without a log it says what the supervisor says, and no more."""
    supervisor = {
        "collector_state": "crashed",
        "is_crash_looping": True,
        "recent_crashes": 4,
        "last_error": CRASHED,
        "last_error_at": timestamp(ago(5)),
    }
    (finding,) = explained(make_known(healthy=False, last_error=CRASHED, supervisor=supervisor)).findings
    assert finding.statement == "The collector crashed 4 times within 10 minutes."
    assert finding.evidence[0].text == CRASHED
    killed = {**supervisor, "last_error": CRASHED.replace("code=1", "code=-1")}
    (finding,) = explained(make_known(healthy=False, supervisor=killed)).findings
    assert "killed by a signal" in finding.statement and "OOM" in finding.what_to_do


@pytest.mark.parametrize(
    ("reason", "severity", "says"),
    [
        ("agent", "warning", "said goodbye"),
        ("closed", "critical", "without a goodbye"),
        ("timeout", "critical", "nothing was heard"),
        ("drain", "critical", "the ingress shut down"),
    ],
)
def test_an_agent_that_went_away_is_explained(reason: str, severity: str, says: str) -> None:
    """A goodbye is another thing than a loss; what it suffered from before follows."""
    diagnosis = explained(
        make_known(
            status=registry.GATEWAY_STATUS_OFFLINE,
            disconnected_at=ago(30),
            disconnect_reason=reason,
            config=make_delivery(APPLYING),
            healthy=False,
        )
    )
    first, second = diagnosis.findings
    assert (diagnosis.state, first.severity) == ("gone", severity)
    assert says in first.statement
    assert first.evidence[0].timestamp == ago(30)
    assert "while applying" in second.statement


def test_an_ill_part_is_named() -> None:
    """The innermost one, with its pipeline; what only starts is not ill."""
    tree = opamp_pb2.ComponentHealth(status="StatusRecoverableError")
    pipeline = tree.component_health_map["pipeline:traces"]
    pipeline.status = "StatusRecoverableError"
    exporter = pipeline.component_health_map["exporter:otlp"]
    exporter.status, exporter.last_error = (
        "StatusRecoverableError",
        "dial tcp 10.0.0.1:4317: connect: connection refused",
    )
    pipeline.component_health_map["receiver:otlp"].status = "StatusStarting"
    tree.component_health_map["extensions"].healthy = True
    diagnosis = explained(make_known(healthy=False, health=tree, health_since=ago(90)))
    (finding,) = diagnosis.findings
    assert finding.statement == (
        "exporter:otlp in pipeline:traces is not healthy: Nothing takes connections at 10.0.0.1:4317."
    )
    assert (finding.component, finding.config_key) == ("exporter:otlp", "exporters.otlp")
    assert finding.evidence[0].link.endswith("/health")


def test_one_that_was_never_healthy_says_so() -> None:
    """But one that is just starting is given its time."""
    starting = {"collector_state": "starting", "collector_starts": 0}
    assert explained(make_known(healthy=False, health_since=ago(10), supervisor=starting)).state == "ok"
    diagnosis = explained(make_known(healthy=False, health_since=ago(100), supervisor=starting))
    assert diagnosis.findings[0].statement.startswith("The collector has not been healthy since it is known")
    assert diagnosis.state == "failing"


def test_own_telemetry_that_does_not_come_is_noticed() -> None:
    """Metrics come every minute; logs alone may well be silent, and an offer needs time."""
    settings = supervisors.ConnectionState(state="offered", own_logs=True, own_metrics=True)
    settings.offered_at.FromDatetime(ago(3600))

    def state() -> str:
        return explained(make_known(supervisor={"connection_settings": settings})).state

    assert state() == "attention"
    settings.last_received_at.FromDatetime(ago(299))
    assert state() == "ok"
    settings.last_received_at.FromDatetime(ago(301))
    assert state() == "attention"
    settings.own_metrics = False
    assert state() == "ok"


def test_errors_in_the_log_of_a_healthy_collector_are_worth_a_look() -> None:
    """Each once, however often it comes."""
    error = {
        "otelcol.component.id": "otlp_http",
        "otelcol.component.kind": "exporter",
        "error": "no more retries left: dial tcp 127.0.0.1:1: connect: connection refused",
    }
    records = tuple(said("Exporting failed. Dropping data.", seconds, **error) for seconds in (10, 20, 30))
    diagnosis = explained(make_known(records=records))
    (finding,) = diagnosis.findings
    assert (diagnosis.state, finding.component) == ("attention", "exporter:otlp_http")


def test_a_silent_connection_and_a_restart_in_vain_are_told() -> None:
    """The first needs attention, the second is information."""
    command = supervisors.Command(
        command_id="c", type="restart", state=COMMAND_STATE_FAILED, error="it crashed", updated_at=timestamp(ago(60))
    )
    known = make_known(status=registry.GATEWAY_STATUS_STALE, last_seen_at=ago(90), supervisor={"command": command})
    diagnosis = explained(known)
    assert [one.severity for one in diagnosis.findings] == ["warning", "info"]
    assert diagnosis.findings[1].statement == "The last restart came to nothing: it crashed."


def test_no_issued_token_comes_through() -> None:
    """Wherever an agent puts it."""
    token = tokens.mint(tokens.TELEMETRY)
    error = f"exporters::otlp: bad header {token}"
    known = make_known(
        healthy=False,
        last_error=error,
        config=make_delivery(error),
        records=(said(error), happened("config", error, 70)),
    )
    assert token not in str(diagnosis_json(known.gateway, explained(known), []))


async def test_the_endpoint_joins_what_the_owners_know(client: AsyncClient, owners: MemoryOwners) -> None:
    """By either id, in both modes; an owner that does not answer is named."""
    supervised, extension = make_gateway(2, supervised=True).gateway, make_gateway(1).gateway
    owners.configs[supervised.instance_id] = make_delivery(REFUSED)
    for either in (supervised.gateway_id, supervised.instance_id):
        body = (await client.get(f"/api/v1/gateways/{either}/diagnosis")).json()
        DiagnosisResponse.model_validate(body)
        assert (body["state"], body["findings"][0]["component"]) == ("attention", "exporter:otpl")
    body = (await client.get(f"/api/v1/gateways/{extension.gateway_id}/diagnosis")).json()
    assert (body["state"], body["partial"]) == ("ok", [])
    owners.down |= {"config-push", "supervisor-control"}
    body = (await client.get(f"/api/v1/gateways/{supervised.gateway_id}/diagnosis")).json()
    assert (body["state"], body["partial"]) == ("ok", ["config-push", "supervisor-control"])
    assert (await client.get("/api/v1/gateways/nothing/diagnosis")).status_code == 404


async def test_a_flood_of_records_hides_no_error(client: AsyncClient, owners: MemoryOwners) -> None:
    """Errors of supervisor and collector are asked for by themselves, and so is what happened before."""
    uid = make_gateway(2, supervised=True).gateway.instance_id
    now = datetime.now(UTC)

    def record(seconds: float, severity: str, number: int, source: str, body: str, said: str = "") -> Any:
        attributes = said or '{"event": "config", "retries": 3}'
        at = timestamp(now - timedelta(seconds=seconds))
        return telemetry.AgentLogRecord(
            timestamp=at,
            severity=severity,
            severity_number=number,
            source=source,
            body=body,
            attributes_json=attributes,
        )

    error = '{"otelcol.component.id": "otlp", "otelcol.component.kind": "exporter", "error": "no luck", "dropped": 3}'
    owners.records[uid] = [
        *(record(1, "INFO", 9, "collector", f"noise {number}") for number in range(500)),
        record(60, "ERROR", 17, "collector", "Exporting failed. Dropping data.", error),
        record(120, "INFO", 9, "flowgate", "configuration abc is applied"),
    ]
    body = (await client.get(f"/api/v1/gateways/{uid}/diagnosis")).json()
    assert (body["state"], body["findings"][0]["component"]) == ("attention", "exporter:otlp")
    assert [one["text"] for one in body["changes_before"]] == ["configuration abc is applied"]
