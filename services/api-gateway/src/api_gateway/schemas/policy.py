"""Policies: which connection settings agents are offered, and what a change of them does."""

from typing import Any

from pydantic import ConfigDict, Field

from api_gateway.schemas.labels import LabelKey, LabelValue
from api_gateway.schemas.values import ApiModel, stamp
from flowgate.rpc.v1 import policies_pb2 as policies

_EXAMPLE: dict[str, Any] = {
    "selector": {"env": "prod"},
    "own_logs": True,
    "own_metrics": True,
    "own_traces": None,
    "heartbeat_interval_seconds": 10,
}


class PolicyBody(ApiModel):
    """What a policy should say. What is left out or null it says nothing on: then another policy counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    selector: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=16)
    """Labels that an agent's gateway must have, all of them; empty only in the default policy."""
    own_logs: bool | None = None
    """Whether agents send their own logs."""
    own_metrics: bool | None = None
    """Whether agents send their own metrics."""
    own_traces: bool | None = None
    """Whether agents send their own traces: to `FLOWGATE_SUPERVISOR_CONTROL_TRACES_URL`; FlowGate itself keeps none."""
    heartbeat_interval_seconds: int | None = Field(None, ge=1, le=3600)
    """How often agents tell that they are there."""

    def order(self, name: str, dry_run: bool, actor: str) -> policies.PutPolicyRequest:
        """This policy as its owner's order."""
        said = self.model_dump(exclude_none=True)
        return policies.PutPolicyRequest(policy=policies.Policy(name=name, **said), dry_run=dry_run, actor=actor)


class Policy(PolicyBody):
    """What agents with certain labels are offered.

    For each setting the policy with the most labels in its selector that says something on it counts; among equals the
    one whose name comes first.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "prod", **_EXAMPLE, "updated_at": "2026-11-02T08:15:30.125Z", "updated_by": "admin"},
            ]
        }
    )

    name: str
    """Its name; `default` is there from the beginning."""
    updated_at: str | None
    """When it was changed last."""
    updated_by: str
    """By whom."""


class PolicyListResponse(ApiModel):
    """All policies."""

    items: list[Policy]
    """The default one first, then by name."""


class PolicyEffect(ApiModel):
    """What a change of policies does."""

    dry_run: bool
    """Whether it was only asked; then nothing has changed."""
    matching: int
    """Agents that the policy's selector matches."""
    offers: int
    """Agents that get another offer, those that are offline when they are back."""
    restarts: int
    """Of these, agents whose collectors restart, since their own telemetry changes."""
    summary: str
    """The same in words."""


class PolicyChangeResponse(ApiModel):
    """A policy after a change, and what follows from it."""

    policy: Policy | None
    """The policy as it is now, or would be; null when it is deleted."""
    effect: PolicyEffect
    """What follows."""


def policy_json(policy: policies.Policy) -> dict[str, Any]:
    """A Policy."""
    settings = ("own_logs", "own_metrics", "own_traces", "heartbeat_interval_seconds")
    return {
        "name": policy.name,
        "selector": dict(policy.selector),
        **{name: getattr(policy, name) if policy.HasField(name) else None for name in settings},
        "updated_at": stamp(policy, "updated_at"),
        "updated_by": policy.updated_by,
    }


def change_json(policy: policies.Policy | None, effect: policies.PolicyEffect, dry_run: bool) -> dict[str, Any]:
    """A PolicyChangeResponse."""
    return {
        "policy": policy and policy_json(policy),
        "effect": {
            "dry_run": dry_run,
            "matching": effect.matching,
            "offers": effect.offers,
            "restarts": effect.restarts,
            "summary": summary(effect, dry_run),
        },
    }


def summary(effect: policies.PolicyEffect, dry_run: bool) -> str:
    """What a change does, in words."""
    will = "would" if dry_run else "will"
    if not effect.offers:
        return f"No agent {will} get another offer and no collector {will} restart."
    restarts = f"{effect.restarts} of their collectors" if effect.restarts else "none of their collectors"
    return f"{_count(effect.offers, 'agent')} {will} get another offer; {restarts} {will} restart for it."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
