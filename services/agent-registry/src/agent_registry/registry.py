"""What handlers work with."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from agent_registry.enrollment_store import EnrollmentStore
from agent_registry.presence import Presence
from agent_registry.settings import Settings
from agent_registry.store import GatewayStore
from flowkit.db import Connection


@dataclass(frozen=True)
class Registry:
    """The stores on the transaction, presence and settings."""

    store: GatewayStore
    enrollment: EnrollmentStore
    presence: Presence
    settings: Settings

    @classmethod
    def on(cls, connection: Connection, presence: Presence, settings: Settings) -> Self:
        """On the transaction of a connection."""
        return cls(GatewayStore(connection), EnrollmentStore(connection), presence, settings)

    def stale_before(self, now: datetime) -> datetime:
        """Agents heard of before this are stale; a replica that has just started cannot tell yet."""
        patience = timedelta(seconds=self.settings.stale_after_seconds)
        return now - patience if now - self.presence.started_at > patience else now - 100 * patience
