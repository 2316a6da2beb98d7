"""Settings of supervisor-control, `FLOWGATE_SUPERVISOR_CONTROL_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flowkit.settings import OwnerSettings
from supervisor_control.domain.supervisors import CrashLoop


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
    """How long bulk operations are kept after their end."""
    log_retention_seconds: float = Field(7 * 86400.0, gt=0)
    """How long log records are kept."""

    @property
    def crash_loop(self) -> CrashLoop:
        """When a collector counts as crashing again and again."""
        return CrashLoop(self.crash_loop_count, self.crash_loop_seconds)
