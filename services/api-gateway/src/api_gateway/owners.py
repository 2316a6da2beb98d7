"""The questions and orders that the API puts to the owners, and what to do when one of them does not answer."""

import re
from collections.abc import Awaitable
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

import nats.errors
import nats.js.errors
from fastapi import Depends, Request
from google.protobuf.message import Message

from flowgate.agent.v1.events_pb2 import MANAGEMENT_MODE_SUPERVISOR
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import enrollment_pb2 as enrollment
from flowgate.rpc.v1 import operations_pb2 as operations
from flowgate.rpc.v1 import policies_pb2 as policies
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.errors import NotFoundError, UnavailableError
from flowkit.rpc import RpcClient

AGENT_REGISTRY = "agent-registry"
CONFIG_PUSH = "config-push"
SUPERVISOR_CONTROL = "supervisor-control"

T = TypeVar("T")
Response = TypeVar("Response", bound=Message)

_FLEET_SECONDS = 30.0  # for an order that may concern 10,000 agents
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what delivery and command ids are made of


class Owners(Protocol):
    """The three owners as the API sees them: one method per rpc of `proto/flowgate/rpc/v1`.

    Each raises the errors of `flowkit.errors` that its rpc names, and UnavailableError when the owner does not answer.
    """

    async def list_gateways(self, request: registry.ListGatewaysRequest) -> registry.ListGatewaysResponse: ...
    async def get_gateway(self, request: registry.GetGatewayRequest) -> registry.GetGatewayResponse: ...
    async def update_gateway(self, request: registry.UpdateGatewayRequest) -> registry.UpdateGatewayResponse: ...
    async def delete_gateway(self, request: registry.DeleteGatewayRequest) -> registry.DeleteGatewayResponse: ...
    async def get_fleet_summary(self, request: registry.GetFleetSummaryRequest) -> registry.GetFleetSummaryResponse: ...
    async def list_components(self, request: registry.ListComponentsRequest) -> registry.ListComponentsResponse: ...
    async def list_labels(self, request: registry.ListLabelsRequest) -> registry.ListLabelsResponse: ...
    async def assign_config(self, request: configs.AssignConfigRequest) -> configs.AssignConfigResponse: ...
    async def get_agent_config(self, request: configs.GetAgentConfigRequest) -> configs.GetAgentConfigResponse: ...
    async def list_deliveries(self, request: configs.ListDeliveriesRequest) -> configs.ListDeliveriesResponse: ...
    async def get_delivery(self, request: configs.GetDeliveryRequest) -> configs.GetDeliveryResponse: ...
    async def get_supervisor(self, request: supervisors.GetSupervisorRequest) -> supervisors.GetSupervisorResponse: ...
    async def list_supervisors(
        self, request: supervisors.ListSupervisorsRequest
    ) -> supervisors.ListSupervisorsResponse: ...
    async def get_supervisor_summary(
        self, request: supervisors.GetSupervisorSummaryRequest
    ) -> supervisors.GetSupervisorSummaryResponse: ...
    async def request_restart(
        self, request: supervisors.RequestRestartRequest
    ) -> supervisors.RequestRestartResponse: ...
    async def get_command(self, request: supervisors.GetCommandRequest) -> supervisors.GetCommandResponse: ...
    async def list_logs(self, request: telemetry.ListLogsRequest) -> telemetry.ListLogsResponse: ...
    async def get_metrics(self, request: telemetry.GetMetricsRequest) -> telemetry.GetMetricsResponse: ...
    async def list_policies(self, request: policies.ListPoliciesRequest) -> policies.ListPoliciesResponse: ...
    async def put_policy(self, request: policies.PutPolicyRequest) -> policies.PutPolicyResponse: ...
    async def delete_policy(self, request: policies.DeletePolicyRequest) -> policies.DeletePolicyResponse: ...
    async def create_enrollment_token(
        self, request: enrollment.CreateEnrollmentTokenRequest
    ) -> enrollment.CreateEnrollmentTokenResponse: ...
    async def list_enrollment_tokens(
        self, request: enrollment.ListEnrollmentTokensRequest
    ) -> enrollment.ListEnrollmentTokensResponse: ...
    async def revoke_enrollment_token(
        self, request: enrollment.RevokeEnrollmentTokenRequest
    ) -> enrollment.RevokeEnrollmentTokenResponse: ...
    async def keep_config(self, request: configs.KeepConfigRequest) -> configs.KeepConfigResponse: ...
    async def create_operation(
        self, request: operations.CreateOperationRequest
    ) -> operations.CreateOperationResponse: ...
    async def get_operation(self, request: operations.GetOperationRequest) -> operations.GetOperationResponse: ...
    async def list_operation_targets(
        self, request: operations.ListOperationTargetsRequest
    ) -> operations.ListOperationTargetsResponse: ...
    async def list_operations(self, request: operations.ListOperationsRequest) -> operations.ListOperationsResponse: ...
    async def cancel_operation(
        self, request: operations.CancelOperationRequest
    ) -> operations.CancelOperationResponse: ...


class RpcOwners:
    """The owners over the bus."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client

    async def list_gateways(self, request: registry.ListGatewaysRequest) -> registry.ListGatewaysResponse:
        return await self._ask(request, registry.ListGatewaysResponse)

    async def get_gateway(self, request: registry.GetGatewayRequest) -> registry.GetGatewayResponse:
        return await self._ask(request, registry.GetGatewayResponse)

    async def update_gateway(self, request: registry.UpdateGatewayRequest) -> registry.UpdateGatewayResponse:
        return await self._ask(request, registry.UpdateGatewayResponse)

    async def delete_gateway(self, request: registry.DeleteGatewayRequest) -> registry.DeleteGatewayResponse:
        return await self._ask(request, registry.DeleteGatewayResponse)

    async def get_fleet_summary(self, request: registry.GetFleetSummaryRequest) -> registry.GetFleetSummaryResponse:
        return await self._ask(request, registry.GetFleetSummaryResponse)

    async def list_components(self, request: registry.ListComponentsRequest) -> registry.ListComponentsResponse:
        return await self._ask(request, registry.ListComponentsResponse)

    async def list_labels(self, request: registry.ListLabelsRequest) -> registry.ListLabelsResponse:
        return await self._ask(request, registry.ListLabelsResponse)

    async def assign_config(self, request: configs.AssignConfigRequest) -> configs.AssignConfigResponse:
        return await self._ask(request, configs.AssignConfigResponse)

    async def get_agent_config(self, request: configs.GetAgentConfigRequest) -> configs.GetAgentConfigResponse:
        return await self._ask(request, configs.GetAgentConfigResponse)

    async def list_deliveries(self, request: configs.ListDeliveriesRequest) -> configs.ListDeliveriesResponse:
        return await self._ask(request, configs.ListDeliveriesResponse)

    async def get_delivery(self, request: configs.GetDeliveryRequest) -> configs.GetDeliveryResponse:
        return await self._ask(request, configs.GetDeliveryResponse)

    async def get_supervisor(self, request: supervisors.GetSupervisorRequest) -> supervisors.GetSupervisorResponse:
        return await self._ask(request, supervisors.GetSupervisorResponse)

    async def list_supervisors(
        self, request: supervisors.ListSupervisorsRequest
    ) -> supervisors.ListSupervisorsResponse:
        return await self._ask(request, supervisors.ListSupervisorsResponse)

    async def get_supervisor_summary(
        self, request: supervisors.GetSupervisorSummaryRequest
    ) -> supervisors.GetSupervisorSummaryResponse:
        return await self._ask(request, supervisors.GetSupervisorSummaryResponse)

    async def request_restart(self, request: supervisors.RequestRestartRequest) -> supervisors.RequestRestartResponse:
        return await self._ask(request, supervisors.RequestRestartResponse)

    async def get_command(self, request: supervisors.GetCommandRequest) -> supervisors.GetCommandResponse:
        return await self._ask(request, supervisors.GetCommandResponse)

    async def list_logs(self, request: telemetry.ListLogsRequest) -> telemetry.ListLogsResponse:
        return await self._ask(request, telemetry.ListLogsResponse)

    async def get_metrics(self, request: telemetry.GetMetricsRequest) -> telemetry.GetMetricsResponse:
        return await self._ask(request, telemetry.GetMetricsResponse)

    async def list_policies(self, request: policies.ListPoliciesRequest) -> policies.ListPoliciesResponse:
        return await self._ask(request, policies.ListPoliciesResponse)

    async def put_policy(self, request: policies.PutPolicyRequest) -> policies.PutPolicyResponse:
        return await self._ask(request, policies.PutPolicyResponse, _FLEET_SECONDS)

    async def delete_policy(self, request: policies.DeletePolicyRequest) -> policies.DeletePolicyResponse:
        return await self._ask(request, policies.DeletePolicyResponse, _FLEET_SECONDS)

    async def create_enrollment_token(
        self, request: enrollment.CreateEnrollmentTokenRequest
    ) -> enrollment.CreateEnrollmentTokenResponse:
        return await self._ask(request, enrollment.CreateEnrollmentTokenResponse)

    async def list_enrollment_tokens(
        self, request: enrollment.ListEnrollmentTokensRequest
    ) -> enrollment.ListEnrollmentTokensResponse:
        return await self._ask(request, enrollment.ListEnrollmentTokensResponse)

    async def revoke_enrollment_token(
        self, request: enrollment.RevokeEnrollmentTokenRequest
    ) -> enrollment.RevokeEnrollmentTokenResponse:
        return await self._ask(request, enrollment.RevokeEnrollmentTokenResponse)

    async def keep_config(self, request: configs.KeepConfigRequest) -> configs.KeepConfigResponse:
        return await self._ask(request, configs.KeepConfigResponse)

    async def create_operation(self, request: operations.CreateOperationRequest) -> operations.CreateOperationResponse:
        return await self._ask(request, operations.CreateOperationResponse, _FLEET_SECONDS)

    async def get_operation(self, request: operations.GetOperationRequest) -> operations.GetOperationResponse:
        return await self._ask(request, operations.GetOperationResponse)

    async def list_operation_targets(
        self, request: operations.ListOperationTargetsRequest
    ) -> operations.ListOperationTargetsResponse:
        return await self._ask(request, operations.ListOperationTargetsResponse)

    async def list_operations(self, request: operations.ListOperationsRequest) -> operations.ListOperationsResponse:
        return await self._ask(request, operations.ListOperationsResponse)

    async def cancel_operation(self, request: operations.CancelOperationRequest) -> operations.CancelOperationResponse:
        return await self._ask(request, operations.CancelOperationResponse)

    async def _ask(self, request: Message, response: type[Response], timeout: float | None = None) -> Response:
        try:
            return await self._client.call(request, response, timeout=timeout)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"NATS does not answer: {error!r}", service="nats") from error


def owners_of(request: Request) -> Owners:
    """The owners that the composition root gave to the application."""
    owners: Owners = request.app.state.owners
    return owners


OwnersDep = Annotated[Owners, Depends(owners_of)]


def canonical_id(text: str) -> str:
    """Canonical text of a gateway_id or instance_id; upper case, braces and missing dashes are forgiven.

    Raises:
        NotFoundError: it is no UUID, so nothing can be under it.
    """
    try:
        return str(UUID(text))
    except ValueError as error:
        raise NotFoundError(f"No gateway or agent has the id {text[:80]!r}; ids are UUIDs.") from error


def plain_id(text: str, what: str) -> str:
    """A delivery_id or command_id that an owner can be asked for.

    Raises:
        NotFoundError: no id looks like this.
    """
    if not _ID.fullmatch(text):
        raise NotFoundError(f"No {what} has the id {text[:80]!r}.")
    return text


async def find(owners: Owners, either_id: str) -> registry.GatewayDetail:
    """The gateway under a gateway_id or an instance_id.

    Raises:
        NotFoundError: there is none.
    """
    request = registry.GetGatewayRequest(id=canonical_id(either_id))
    return (await owners.get_gateway(request)).detail


async def find_supervised(owners: Owners, either_id: str) -> registry.GatewayDetail:
    """The supervisor-managed gateway under a gateway_id or an instance_id.

    Raises:
        NotFoundError: there is none, or it is managed in extension mode.
    """
    detail = await find(owners, either_id)
    gateway = detail.gateway
    if gateway.management_mode != MANAGEMENT_MODE_SUPERVISOR:
        raise NotFoundError(
            f"No supervisor reports for {gateway.name or gateway.instance_id}: it is managed in extension mode, its "
            f"collector speaks OpAMP itself. What is known of it is under /api/v1/gateways/{gateway.gateway_id}.",
            management_mode="extension",
        )
    return detail


async def unless_down(answer: Awaitable[T], owner: str, partial: list[str]) -> T | None:
    """The owner's answer; None, and the owner's name put into `partial`, when it does not answer."""
    try:
        return await answer
    except UnavailableError:
        partial.append(owner)
        return None


async def unless_unknown(answer: Awaitable[T]) -> T | None:
    """The owner's answer; None when it knows nothing of the thing, which the registry does."""
    try:
        return await answer
    except NotFoundError:
        return None


async def known_to(owner: str, answer: Awaitable[T]) -> T:
    """The owner's answer on an agent that the registry knows.

    Raises:
        UnavailableError: it does not answer, or has not heard of the agent yet: each owner reads the agents' reports
            at its own pace.
    """
    try:
        return await answer
    except NotFoundError as error:
        raise UnavailableError(
            f"{owner} has not heard of this agent yet. Try again in a moment.", service=owner
        ) from error


async def taken_by(owner: str, answer: Awaitable[T]) -> T:
    """The owner's answer to an order for an agent that the registry knows.

    Raises:
        UnavailableError: as `known_to`; an order that was not answered may have been taken all the same.
    """
    try:
        return await known_to(owner, answer)
    except UnavailableError as error:
        if isinstance(error.__cause__, TimeoutError | nats.errors.TimeoutError):
            detail = (
                f"{error.detail}. It may have taken the order all the same: look at the agent before you repeat it."
            )
            raise UnavailableError(detail, **error.extra) from error
        raise
