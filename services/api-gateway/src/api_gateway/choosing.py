"""Filters of lists as the registry's question. The state of the latest configuration is config-push's to know, and
crash loops are supervisor-control's: they tell which agents that are, and the registry lists those."""

from api_gateway.owners import Owners
from api_gateway.schemas.gateway import GatewayFilters, Mode
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowkit.errors import InvalidError

_MOST = 10_000
_NOBODY = "00000000-0000-0000-0000-000000000000"


async def question_of(owners: Owners, filters: GatewayFilters, mode: Mode | None) -> registry.ListGatewaysRequest:
    """The registry's question for these filters.

    Raises:
        InvalidError: more agents than can be listed by their configuration's state have one of the states.
        UnavailableError: an owner that is asked for ids does not answer.
    """
    question = filters.question(mode)
    wanted: list[set[str]] = []
    if filters.config_state:
        states = [f"DELIVERY_STATE_{one.upper()}" for one in sorted(set(filters.config_state))]
        found = (await owners.list_deliveries(configs.ListDeliveriesRequest(states=states))).deliveries
        if len(found) > _MOST:
            raise InvalidError(f"{len(found)} agents have one of these config_states; {_MOST} are the most")
        wanted.append({one.instance_id for one in found})
    if filters.crash_looping:
        summary = await owners.get_supervisor_summary(supervisors.GetSupervisorSummaryRequest())
        wanted.append(set(summary.crash_looping[:_MOST]))
    if wanted:
        question.instance_ids.extend(sorted(set.intersection(*wanted)) or [_NOBODY])
    return question
