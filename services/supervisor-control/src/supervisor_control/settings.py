"""Settings of supervisor-control, `FLOWGATE_SUPERVISOR_CONTROL_*`."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from flowkit.settings import OwnerSettings


class Settings(OwnerSettings):
    """What supervisor-control is told by its environment."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_SUPERVISOR_CONTROL_")

    command_expiry_seconds: float = Field(120.0, gt=0)
    """An agent that does not come for a command within this time does not get it any more; longer than the poll
    interval of HTTP agents (30 s)."""
    command_outcome_seconds: float = Field(60.0, gt=0)
    """A command that was delivered and shows no outcome within this time counts as expired."""
    telemetry_url: str = Field("", pattern=r"^(https?://.+)?$")
    """Base URL of the agent plane as agents reach it, such as https://flowgate.example:4320, for offers of own
    telemetry; empty: none is offered."""
    traces_url: str = Field("", pattern=r"^(https?://.+)?$")
    """Full URL to which agents send their own traces by OTLP/HTTP, such as that of your tracing backend; empty: to
    FlowGate, which keeps no spans."""
    converge_seconds: float = Field(30.0, gt=0)
    """How often all agents are compared with what the policies say; reports and changes of policies do it at once."""
    crash_loop_count: int = Field(3, ge=2, le=32)
    """So many crashes of a collector within `crash_loop_seconds` are a crash loop."""
    crash_loop_seconds: float = Field(600.0, gt=0)
    """Window of the crash-loop detection."""
    sweep_seconds: float = Field(1.0, gt=0)
    """How often expired commands and bulk operations are looked at."""
    operation_target_seconds: float = Field(180.0, gt=0)
    """An agent of a bulk operation without an outcome within this time has failed; no less than expiry and outcome of
    a command together."""
    operation_retention_seconds: float = Field(30 * 86400.0, gt=0)
    """How long bulk operations and commands are kept after their end."""
    log_retention_seconds: float = Field(7 * 86400.0, gt=0)
    """How long log records are kept."""
    log_retention_bytes: int = Field(5 * 2**30, ge=2**20)
    """Log records, with their indexes, beyond this size lose the oldest partition."""
    metric_retention_seconds: float = Field(7 * 86400.0, gt=0)
    """How long points of metrics are kept."""
    metric_retention_bytes: int = Field(2 * 2**30, ge=2**20)
    """Points of metrics, with their index, beyond this size lose the oldest partition."""
    metric_prefixes: Annotated[tuple[str, ...], NoDecode] = ("otelcol_", "otelcol.", "process.", "supervisor.")
    """Metrics whose names begin so are stored; several separated by commas."""
    metric_series_per_agent: int = Field(500, ge=1)
    """An agent has so many series at most; points of more are left out."""
    partition_check_seconds: float = Field(30.0, gt=0)
    """How often partitions are looked at: whether the current one ends and old ones go."""

    @field_validator("metric_prefixes", mode="before")
    @classmethod
    def _prefixes(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
