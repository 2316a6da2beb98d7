"""Settings of supervisor-control, `FLOWGATE_SUPERVISOR_CONTROL_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flowkit.settings import OwnerSettings


class Settings(OwnerSettings):
    """What supervisor-control is told by its environment."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_SUPERVISOR_CONTROL_")

    command_expiry_seconds: float = Field(120.0, gt=0)
    """An agent that does not come for a command within this time does not get it any more; longer than the poll
    interval of HTTP agents (30 s)."""
    command_outcome_seconds: float = Field(60.0, gt=0)
    """A command that was delivered and shows no outcome within this time counts as expired."""
    sweep_seconds: float = Field(1.0, gt=0)
    """How often expired commands are looked for."""
    log_retention_seconds: float = Field(7 * 86400.0, gt=0)
    """How long log records are kept."""
