"""Counts over the whole fleet."""

from typing import Any

from pydantic import ConfigDict

from api_gateway.schemas.values import ApiModel
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors

_COLLECTOR_STATES = ("starting", "running", "unhealthy", "stopping", "stopped", "crashed")


class SupervisorCounts(ApiModel):
    """Supervisors in numbers."""

    by_collector_state: dict[str, int]
    """Connected supervisors by the state of their collector: starting, running, unhealthy, stopping, stopped or
    crashed."""
    crash_looping: int
    """Agents whose collector crashes again and again; `crash_looping=true` lists them."""


class FleetLabel(ApiModel):
    """A label that there is in the fleet."""

    key: str
    """Key."""
    value: str
    """Value."""
    gateways: int
    """How many gateways have it."""


class FleetLabelsResponse(ApiModel):
    """Labels of the fleet."""

    items: list[FleetLabel]
    """Those of most gateways first."""


class FleetSummaryResponse(ApiModel):
    """The fleet in numbers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": 12,
                    "by_mode": {"extension": 4, "supervisor": 8},
                    "by_status": {"online": 10, "stale": 1, "offline": 1},
                    "by_health": {"healthy": 9, "unhealthy": 2, "unknown": 1},
                    "by_version": {"0.149.0": 11, "unknown": 1},
                    "by_config_state": {"pending": 0, "offered": 0, "applying": 1, "applied": 6, "failed": 1},
                    "supervisors": {"by_collector_state": {"running": 7, "crashed": 1}, "crash_looping": 1},
                    "partial": [],
                }
            ]
        }
    )

    total: int
    """Gateways in the fleet."""
    by_mode: dict[str, int]
    """By management mode: extension, supervisor."""
    by_status: dict[str, int]
    """By status: online, stale, offline."""
    by_health: dict[str, int]
    """By health: healthy, unhealthy, unknown."""
    by_version: dict[str, int]
    """By version of the collector; `unknown` for those that did not say."""
    by_config_state: dict[str, int]
    """By the state of the latest configuration: pending, offered, applying, applied, failed; agents that never got one
    are not counted."""
    supervisors: SupervisorCounts | None
    """Supervisors; null when `partial` names supervisor-control."""
    partial: list[str]
    """Services that did not answer in time; their part is missing here. Usually empty."""


def _filled(names: tuple[str, ...], counts: Any) -> dict[str, int]:
    return {**dict.fromkeys(names, 0), **counts}


def summary_json(
    fleet: registry.GetFleetSummaryResponse,
    supervised: supervisors.GetSupervisorSummaryResponse | None,
    partial: list[str],
) -> dict[str, Any]:
    """A FleetSummaryResponse; `partial` names the owners that did not answer."""
    states = ("pending", "offered", "applying", "applied", "failed")
    return {
        "total": fleet.total,
        "by_mode": _filled(("extension", "supervisor"), fleet.by_mode),
        "by_status": _filled(("online", "stale", "offline"), fleet.by_status),
        "by_health": _filled(("healthy", "unhealthy", "unknown"), fleet.by_health),
        "by_version": {version or "unknown": count for version, count in fleet.by_version.items()},
        "by_config_state": _filled(states, fleet.by_config_state),
        "supervisors": supervised
        and {
            "by_collector_state": _filled(_COLLECTOR_STATES, supervised.by_collector_state),
            "crash_looping": len(supervised.crash_looping),
        },
        "partial": partial,
    }


def labels_json(found: registry.ListLabelsResponse) -> dict[str, Any]:
    """A FleetLabelsResponse."""
    return {"items": [{"key": one.key, "value": one.value, "gateways": one.gateways} for one in found.labels]}
