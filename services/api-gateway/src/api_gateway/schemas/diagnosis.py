"""Why an agent does not do well, as JSON."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from api_gateway.diagnosis import Diagnosis, Finding, Severity, State
from api_gateway.schemas.values import ApiModel
from flowgate.rpc.v1 import agent_registry_pb2 as registry


class EvidenceBody(ApiModel):
    """What a statement rests on."""

    source: str
    """Who said it: collector, supervisor, or the service that keeps it."""
    timestamp: str | None
    """When."""
    text: str
    """Its words."""
    link: str
    """Where the API has it."""


class FindingBody(ApiModel):
    """Something that is wrong."""

    statement: str
    """What is wrong, and why as far as the collector or its supervisor says."""
    severity: Severity
    """critical: it does not work; warning: it may stop working; info."""
    is_probable_cause: bool
    """Whether this is what most probably explains the rest; the first one is."""
    component: str | None
    """Component that it is about, such as exporter:otlp_http."""
    config_key: str | None
    """Key in the configuration that it is about, such as exporters.otlp_http.endpoint; or `line 3`."""
    what_to_do: str
    """What to do about it."""
    evidence: list[EvidenceBody]
    """What it rests on."""


class ChangeBody(ApiModel):
    """Something that changed."""

    timestamp: str
    """When."""
    text: str
    """What."""


class DiagnosisResponse(ApiModel):
    """How an agent does, explained: the probable cause first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "state": "failing",
                    "summary": "io.opentelemetry.collector@edge-7 fails. The collector crashed 4 times within 10 "
                    "minutes: receiver:otlp: 127.0.0.1:4317 is in use by another process.",
                    "findings": [
                        {
                            "statement": "The collector crashed 4 times within 10 minutes: receiver:otlp: "
                            "127.0.0.1:4317 is in use by another process.",
                            "severity": "critical",
                            "is_probable_cause": True,
                            "component": "receiver:otlp",
                            "config_key": "receivers.otlp",
                            "what_to_do": "Find it on the host with `ss -lntup 'sport = :4317'`.",
                            "evidence": [
                                {
                                    "source": "collector",
                                    "timestamp": "2026-11-02T08:16:02.120Z",
                                    "text": "Failed to start component: listen tcp 127.0.0.1:4317: bind: address "
                                    "already in use",
                                    "link": "/api/v1/supervisor/agents/0198e4b0-7c1d-7a3e-9f00-0000000000a7/logs",
                                }
                            ],
                        }
                    ],
                    "changes_before": [
                        {"timestamp": "2026-11-02T08:15:58.000Z", "text": "configuration 9b1c0f6c0a6a is applying"}
                    ],
                    "partial": [],
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    state: State
    """ok; attention: something should be looked at; failing: it does not work; gone: it is offline."""
    summary: str
    """The whole in a sentence or two."""
    findings: list[FindingBody]
    """What is wrong, the probable cause first; empty when nothing is."""
    changes_before: list[ChangeBody]
    """What changed in the hours before it began, the latest first."""
    partial: list[str]
    """Services that did not answer in time: what they know is missing in the explanation. Usually empty."""


def diagnosis_json(gateway: registry.Gateway, diagnosis: Diagnosis, partial: list[str]) -> dict[str, Any]:
    """A DiagnosisResponse; `partial` names the owners that did not answer."""
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "state": diagnosis.state,
        "summary": diagnosis.summary,
        "findings": [_finding_json(one) for one in diagnosis.findings],
        "changes_before": [{"timestamp": _text(one.timestamp), "text": one.text} for one in diagnosis.changes_before],
        "partial": partial,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "statement": finding.statement,
        "severity": finding.severity,
        "is_probable_cause": finding.is_probable,
        "component": finding.component,
        "config_key": finding.config_key,
        "what_to_do": finding.what_to_do,
        "evidence": [
            {"source": one.source, "timestamp": _text(one.timestamp), "text": one.text, "link": one.link}
            for one in finding.evidence
        ],
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
