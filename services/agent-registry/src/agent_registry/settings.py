"""Settings of agent-registry, `FLOWGATE_AGENT_REGISTRY_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flowkit.settings import OwnerSettings


class Settings(OwnerSettings):
    """What agent-registry is told by its environment."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_AGENT_REGISTRY_")

    stale_after_seconds: float = Field(75.0, gt=0)
    """A connected agent that was not heard of for so long is shown as stale: two and a half heartbeats."""
    offline_after_seconds: float = Field(120.0, gt=0)
    """After so long it counts as gone, even if no ingress said so (a killed ingress cannot)."""
    reconnect_seconds: float = Field(30.0, gt=0)
    """How long an agent whose connection was closed because its ingress stops may take to come back, until it counts as
    gone."""
    sweep_seconds: float = Field(5.0, gt=0)
    """How often presence is written to the store and silent agents are looked for."""
    archive_after_seconds: float = Field(7 * 86400.0, gt=0)
    """A gateway that is offline for so long leaves the fleet; it returns when its agent does."""
    archive_extension_after_seconds: float = Field(86400.0, gt=0)
    """The same in extension mode, where autoscaled agents leave many behind."""
    delete_after_seconds: float = Field(90 * 86400.0, gt=0)
    """A gateway that was archived for so long is deleted, with its labels and its history."""
