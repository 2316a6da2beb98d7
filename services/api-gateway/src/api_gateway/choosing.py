"""Filters of lists as the registry's question. Crash loops are supervisor-control's to know: it tells which agents that
are, and the registry lists those."""

from api_gateway.owners import Owners
from api_gateway.schemas.gateway import GatewayFilters, Mode
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors

_MOST = 20_000  # ids in a question, which a message on the bus has room for
_NOBODY = "00000000-0000-0000-0000-000000000000"


async def question_of(owners: Owners, filters: GatewayFilters, mode: Mode | None) -> registry.ListGatewaysRequest:
    """The registry's question for these filters.

    Raises:
        UnavailableError: supervisor-control is asked for ids and does not answer.
    """
    question = filters.question(mode)
    if filters.crash_looping:
        summary = await owners.get_supervisor_summary(supervisors.GetSupervisorSummaryRequest())
        looping = set(summary.crash_looping)
        wanted = looping.intersection(question.instance_ids) if question.instance_ids else looping
        question.ClearField("instance_ids")
        question.instance_ids.extend(sorted(wanted)[:_MOST] or [_NOBODY])
    return question
