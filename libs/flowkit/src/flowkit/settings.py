"""Settings: what a service is told by its environment, read once at its start."""

import re

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Settings of every service, `FLOWGATE_*`; a service adds its own as `FLOWGATE_<SERVICE>_*` by its `env_prefix`.

    Shared settings keep their plain names through `validation_alias`.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, populate_by_name=True, extra="ignore")

    nats_url: SecretStr = Field(SecretStr("nats://127.0.0.1:4222"), validation_alias="FLOWGATE_NATS_URL")
    """NATS server, with credentials in the URL; several separated by commas."""
    nats_replicas: int = Field(1, validation_alias="FLOWGATE_NATS_REPLICAS", ge=1, le=5)
    """Copies that JetStream keeps of each stream: 3 on a cluster."""
    log_level: str = Field("info", validation_alias="FLOWGATE_LOG_LEVEL")
    """debug, info, warning or error."""
    uplink_shards: int = Field(8, validation_alias="FLOWGATE_UPLINK_SHARDS", ge=1, le=256)
    """Shards of the uplink; the same for all services."""
    stop_seconds: float = Field(8.0, validation_alias="FLOWGATE_STOP_SECONDS", gt=0)
    """A service that takes longer to stop is left; longer than an opamp-gateway's drain."""
    health_host: str = "127.0.0.1"
    """Address of the internal listener with /healthz, /readyz and /metrics."""
    health_port: int = Field(0, ge=0, le=65535)
    """Its port; 0 takes a free one."""
    metrics_token_sha256: str = Field("", validation_alias="FLOWGATE_METRICS_TOKEN_SHA256")
    """SHA-256 in hex of the token that /metrics wants as `Authorization: Bearer`, several separated by commas; without
    it there is no /metrics."""

    @field_validator("metrics_token_sha256")
    @classmethod
    def _hex_digests(cls, value: str) -> str:
        if value and not all(re.fullmatch(r"[0-9a-f]{64}", one.strip().lower()) for one in value.split(",")):
            raise ValueError("must be SHA-256 digests of 64 hex digits, separated by commas")
        return value


class OwnerSettings(ServiceSettings):
    """Settings of a service with a store of its own."""

    database_url: SecretStr = Field(SecretStr(""), validation_alias="FLOWGATE_DATABASE_URL")
    """PostgreSQL, as the role of the service."""
    database_pool_size: int = Field(8, ge=1, le=100)
    """Connections held at most."""
