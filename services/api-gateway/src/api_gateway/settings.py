"""Settings of the api-gateway."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from flowkit.settings import ServiceSettings


class ApiGatewaySettings(ServiceSettings):
    """`FLOWGATE_API_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="FLOWGATE_API_GATEWAY_")

    host: str = "127.0.0.1"
    """Address of the operator plane."""
    port: int = Field(8080, ge=0, le=65535)
    """Its port; 0 takes a free one."""
    admin_token_sha256: Annotated[list[str], NoDecode] = Field(min_length=1)
    """SHA-256 of the admin token, hex; several separated by commas while one is being replaced."""
    rpc_timeout_seconds: float = Field(2.0, gt=0, le=60)
    """How long an owner may take to answer; a question that changes nothing is asked once more before the caller gets a
    503."""
    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    """Largest request body, such as a configuration."""
    events_queue: int = Field(1000, ge=1)
    """Events that wait for one slow client at most; beyond that it is closed and resumes by Last-Event-ID."""
    leave_seconds: float = Field(2.0, ge=0, le=60)
    """At a stop, how long answers send clients away from their kept connections before these are closed."""
    session_key: SecretStr = SecretStr("")
    """Secret text that signs the sessions of people at the UI, the same on all replicas. Without it the admin token's
    hash does, and whoever reads these settings can sign in."""
    session_seconds: int = Field(12 * 3600, ge=60, le=30 * 86400)
    """How long somebody stays signed in."""
    ui_dir: Path | None = None
    """Folder of the built UI; by default the one that came with the package or lies in the repository."""
    opamp_url: str = ""
    """Address at which agents reach FlowGate, such as wss://flowgate.example.com/v1/opamp: the UI puts it into the
    commands that connect them."""

    @field_validator("admin_token_sha256", mode="before")
    @classmethod
    def _hashes(cls, value: object) -> list[str]:
        hashes = [part.strip().lower() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(hashes, list) or not all(re.fullmatch(r"[0-9a-f]{64}", str(one)) for one in hashes):
            raise ValueError("give the SHA-256 of the admin token as 64 hex digits, several separated by commas")
        return hashes
