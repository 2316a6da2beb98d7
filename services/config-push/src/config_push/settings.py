"""Settings of config-push, `FLOWGATE_CONFIG_PUSH_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flowkit.settings import OwnerSettings


class Settings(OwnerSettings):
    """What config-push is told by its environment."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_CONFIG_PUSH_")

    max_config_bytes: int = Field(4 * 1024 * 1024, gt=0)
    """Largest configuration that is taken; an offer must stay below OpAMP's message limit."""
    answer_seconds: float = Field(120.0, gt=0)
    """An agent that has read an offer and says nothing of it for so long has failed to take it."""
    delivery_retention_seconds: float = Field(90 * 86400.0, gt=0)
    """How long deliveries are kept after a newer one took their place, and configurations that nobody uses."""
    redeliveries_per_hour: int = Field(3, ge=0)
    """How often an agent that lost its configuration gets it again by itself."""
