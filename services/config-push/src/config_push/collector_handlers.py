"""What supervisor-control tells of collectors: the proof of what their supervisors call applied."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from config_push import domain
from config_push.handlers import ConfigPush
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowkit import opamp
from flowkit.outbox import Effect


async def collector_changed(
    push: ConfigPush, fact: supervisor_facts.SupervisorStatusChanged, now: datetime
) -> Sequence[Effect]:
    """A supervisor's collector runs, or has crashed; an unproven configuration is applied or failed by that."""
    if fact.collector_state not in domain.PROOFS:
        return []
    uid, at = UUID(fact.instance_uid), opamp.moment(fact.occurred_at)
    agent = await push.store.collector_was(uid, fact.collector_state, at)
    if agent is None or agent.reported_status != "applied":  # the usual case, when many collectors start at once
        return []
    delivery = (await push.store.latest([uid])).get(uid)
    if delivery is None or not domain.is_unproven(delivery, agent.reported_status, agent.reported_hash):
        return []
    proven, effects = domain.proven(delivery, agent.is_crashed, fact.last_error, at)
    await push.store.save_deliveries([proven])
    return effects
