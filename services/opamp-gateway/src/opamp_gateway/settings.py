"""Settings of the opamp-gateway: FLOWGATE_OPAMP_GATEWAY_* and those of every service."""

import re

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from flowkit.settings import ServiceSettings

_LEAST_KEY = 32  # characters
_DIGEST = re.compile(r"^[0-9a-f]{64}$")


class OpampGatewaySettings(ServiceSettings):
    """What the ingress is told by its environment."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_OPAMP_GATEWAY_", env_ignore_empty=True)

    host: str = "0.0.0.0"
    """Address of the agent plane."""
    port: int = Field(4320, ge=0, le=65535)
    """Its port; OpAMP's default."""
    path: str = Field("/v1/opamp", pattern=r"^/")
    """The one URL of both transports."""
    enrollment_token_sha256: str = ""
    """SHA-256 in hex of an enrollment token that is good without the API; several separated by commas. Empty: only
    those made by the API are good."""
    telemetry_key: SecretStr | None = None
    """Secret of at least 32 characters from which the agents' telemetry tokens are made, the same on all replicas;
    without it own telemetry is off."""
    max_message_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """Largest message, each way, after inflation."""
    heartbeat_interval_seconds: float = Field(30.0, gt=0)
    """What agents use; an HTTP agent that is silent for three of them is gone."""
    ping_interval_seconds: int = Field(25, ge=1)
    """Seconds between pings to a WebSocket; one that answers nothing until the next is dropped."""
    flush_seconds: float = Field(0.02, ge=0)
    """How long reports of a shard are gathered."""
    reply_deadline_seconds: float = Field(0.8, gt=0)
    """A report that is not durable by then is answered UNAVAILABLE; some clients give up after 1 s."""
    retry_after_seconds: float = Field(30.0, gt=0)
    """Least time after which a refused agent should come again."""
    max_waiting_reports: int = Field(50_000, ge=1)
    """Reports that may wait for the bus; more are refused at once."""
    max_waiting_bytes: int = Field(64 * 1024 * 1024, ge=1)
    """Likewise, in bytes."""
    max_telemetry_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    """Largest export request of own telemetry, after inflation."""
    max_telemetry_waiting_bytes: int = Field(64 * 1024 * 1024, ge=1)
    """Own telemetry that may come in or wait for the bus; more is refused at once."""
    telemetry_deadline_seconds: float = Field(5.0, gt=0)
    """Own telemetry that is not durable by then is answered 503."""
    telemetry_retry_after_seconds: float = Field(5.0, gt=0)
    """Least time after which own telemetry that was answered 503 should come again."""
    max_bad_messages: int = Field(20, ge=1)
    """Malformed messages after which a WebSocket is closed."""
    handshake_timeout_seconds: float = Field(10.0, gt=0)
    """For a request's headers."""
    body_timeout_seconds: float = Field(120.0, gt=0)
    """For a request's body."""
    idle_timeout_seconds: float = Field(125.0, gt=0)
    """For a kept connection without a request; not near the 30 s at which agents poll."""
    write_timeout_seconds: float = Field(30.0, gt=0)
    """For a peer that does not read."""
    drain_seconds: float = Field(4.0, ge=0)
    """Over which connections are closed at a stop, so that not all agents come back at once."""
    accept_headerless: bool = False
    """Take WebSocket messages without OpAMP's header, as clients before 2023 send them."""

    @field_validator("enrollment_token_sha256")
    @classmethod
    def _digests(cls, value: str) -> str:
        if value and not all(_DIGEST.match(digest.strip().lower()) for digest in value.split(",")):
            raise ValueError("must be SHA-256 digests of 64 hex digits, separated by commas")
        return value

    @field_validator("telemetry_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _LEAST_KEY:
            raise ValueError(f"must have at least {_LEAST_KEY} characters")
        return value

    @property
    def telemetry_key_bytes(self) -> bytes:
        """The key of the telemetry tokens; empty when there is none."""
        return self.telemetry_key.get_secret_value().encode() if self.telemetry_key is not None else b""

    @property
    def token_digests(self) -> tuple[bytes, ...]:
        """The digests of the tokens."""
        return tuple(bytes.fromhex(digest.strip()) for digest in self.enrollment_token_sha256.split(",") if digest)
