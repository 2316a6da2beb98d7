"""What handlers work with."""

from dataclasses import dataclass
from typing import Self

from flowkit.db import Connection
from supervisor_control.domain.supervisors import CrashLoop
from supervisor_control.settings import Settings
from supervisor_control.store.metrics import MetricStore
from supervisor_control.store.operations import OperationStore
from supervisor_control.store.policies import PolicyStore
from supervisor_control.store.supervisors import SupervisorStore
from supervisor_control.store.telemetry import TelemetryStore


@dataclass(frozen=True)
class Control:
    """The stores on the transaction, and settings."""

    store: SupervisorStore
    settings: Settings
    policies: PolicyStore
    operations: OperationStore
    telemetry: TelemetryStore
    metrics: MetricStore

    @classmethod
    def on(cls, connection: Connection, settings: Settings) -> Self:
        """On the transaction of a connection."""
        return cls(
            SupervisorStore(connection),
            settings,
            PolicyStore(connection),
            OperationStore(connection),
            TelemetryStore(connection),
            MetricStore(connection),
        )

    @property
    def crash_loop(self) -> CrashLoop:
        """When a collector counts as crashing again and again."""
        return CrashLoop(self.settings.crash_loop_count, self.settings.crash_loop_seconds)
