"""Owners and event streams in memory, for tests: they answer as the real ones do, and can be taken down."""

from collections import Counter

from google.protobuf.message import Message

from api_gateway.owners import AGENT_REGISTRY, CONFIG_PUSH, SUPERVISOR_CONTROL
from api_gateway.schemas.gateway import health_json
from flowgate.agent.v1.events_pb2 import MANAGEMENT_MODE_EXTENSION, MANAGEMENT_MODE_SUPERVISOR
from flowgate.config.v1.events_pb2 import DELIVERY_STATE_PENDING, DeliveryState
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import enrollment_pb2 as enrollment
from flowgate.rpc.v1 import operations_pb2 as operations
from flowgate.rpc.v1 import policies_pb2 as policies
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.supervisor.v1.events_pb2 import COMMAND_STATE_PENDING
from flowkit.errors import ChangedError, ConflictError, InvalidError, NotFoundError, UnavailableError
from opamp.v1 import opamp_pb2 as opamp

_CAPABILITIES = opamp.AgentCapabilities


class MemoryOwners:
    """`owners.Owners` without a bus.

    Attributes:
        fleet: gateways by gateway_id.
        configs: what config-push knows, by instance_id.
        supervisors: what supervisor-control knows, by instance_id.
        records: log records by instance_id, newest first.
        metrics: answers on metrics by instance_id.
        policies: policies by name.
        tokens: enrollment tokens by token_id.
        operations: bulk operations by operation_id.
        down: owners that do not answer.
        asked: every question, in order.
    """

    def __init__(self) -> None:
        self.fleet: dict[str, registry.GatewayDetail] = {}
        self.configs: dict[str, configs.GetAgentConfigResponse] = {}
        self.deliveries: dict[str, configs.Delivery] = {}
        self.pushed: dict[str, str] = {}
        self.supervisors: dict[str, supervisors.Supervisor] = {}
        self.commands: dict[str, supervisors.Command] = {}
        self.records: dict[str, list[telemetry.AgentLogRecord]] = {}
        self.metrics: dict[str, telemetry.GetMetricsResponse] = {}
        self.policies = {"default": policies.Policy(name="default", own_logs=True, own_metrics=True, own_traces=False)}
        self.tokens: dict[str, enrollment.EnrollmentToken] = {}
        self.operations: dict[str, operations.Operation] = {}
        self.down: set[str] = set()
        self.asked: list[Message] = []

    def _ask(self, owner: str, request: Message) -> None:
        self.asked.append(request)
        if owner in self.down:
            raise UnavailableError(f"{owner} is not running", service=owner)

    def _find(self, either_id: str) -> registry.GatewayDetail:
        for gateway_id, detail in self.fleet.items():
            if either_id in (gateway_id, detail.gateway.instance_id):
                return detail
        raise NotFoundError(f"no gateway {either_id}")

    async def list_gateways(self, request: registry.ListGatewaysRequest) -> registry.ListGatewaysResponse:
        """A page; the cursor is the number of gateways before it."""
        self._ask(AGENT_REGISTRY, request)
        if request.cursor and not request.cursor.isdigit():
            raise InvalidError("cursor is damaged; start from the first page")
        latest = self._latest()
        found = [
            one
            for one in (detail.gateway for detail in self.fleet.values())
            if _matches(one, request)
            and (
                not request.config_states
                or (one.instance_id in latest and latest[one.instance_id].state in request.config_states)
            )
        ]
        begin, limit = int(request.cursor or 0), request.limit or 100
        more = str(begin + limit) if begin + limit < len(found) else ""
        return registry.ListGatewaysResponse(gateways=found[begin : begin + limit], next_cursor=more, total=len(found))

    async def get_gateway(self, request: registry.GetGatewayRequest) -> registry.GetGatewayResponse:
        """A gateway by either id."""
        self._ask(AGENT_REGISTRY, request)
        return registry.GetGatewayResponse(detail=self._find(request.id))

    async def update_gateway(self, request: registry.UpdateGatewayRequest) -> registry.UpdateGatewayResponse:
        """Name and labels."""
        self._ask(AGENT_REGISTRY, request)
        gateway = self._find(request.id).gateway
        if request.HasField("name"):
            gateway.name = request.name or "default"
        for key in request.remove_labels:
            gateway.labels.pop(key, None)
        gateway.labels.update(request.set_labels)
        return registry.UpdateGatewayResponse(gateway=gateway)

    async def delete_gateway(self, request: registry.DeleteGatewayRequest) -> registry.DeleteGatewayResponse:
        """Offline ones only."""
        self._ask(AGENT_REGISTRY, request)
        gateway = self._find(request.id).gateway
        if gateway.status != registry.GATEWAY_STATUS_OFFLINE:
            raise ConflictError("the gateway is connected; stop its agent first")
        del self.fleet[gateway.gateway_id]
        return registry.DeleteGatewayResponse()

    async def get_fleet_summary(self, request: registry.GetFleetSummaryRequest) -> registry.GetFleetSummaryResponse:
        """By mode, version and state of the latest configuration only."""
        self._ask(AGENT_REGISTRY, request)
        answer = registry.GetFleetSummaryResponse(total=len(self.fleet))
        for detail in self.fleet.values():
            supervised = detail.gateway.management_mode == MANAGEMENT_MODE_SUPERVISOR
            answer.by_mode["supervisor" if supervised else "extension"] += 1
            answer.by_version[detail.gateway.version] += 1
            if latest := self._latest().get(detail.gateway.instance_id):
                answer.by_config_state[DeliveryState.Name(latest.state).removeprefix("DELIVERY_STATE_").lower()] += 1
        return answer

    def _latest(self) -> dict[str, configs.Delivery]:
        return {one.instance_id: one for one in self.deliveries.values()}

    async def list_components(self, request: registry.ListComponentsRequest) -> registry.ListComponentsResponse:
        """Agents with the same components together, most first."""
        self._ask(AGENT_REGISTRY, request)
        sets: dict[bytes, list[str]] = {}
        for detail in self.fleet.values():
            if detail.gateway.instance_id in request.instance_ids:
                sets.setdefault(detail.available_components, []).append(detail.gateway.instance_id)
        return registry.ListComponentsResponse(
            sets=[
                registry.ComponentSet(available_components=built, instance_ids=ids)
                for built, ids in sorted(sets.items(), key=lambda item: -len(item[1]))
            ]
        )

    async def list_labels(self, request: registry.ListLabelsRequest) -> registry.ListLabelsResponse:
        """By a part of `key=value`."""
        self._ask(AGENT_REGISTRY, request)
        counts = Counter(
            label
            for detail in self.fleet.values()
            for label in detail.gateway.labels.items()
            if request.q.lower() in "=".join(label).lower()
        )
        labels = [registry.FleetLabel(key=key, value=value, gateways=n) for (key, value), n in counts.most_common()]
        return registry.ListLabelsResponse(labels=labels[: request.limit or 100])

    async def assign_config(self, request: configs.AssignConfigRequest) -> configs.AssignConfigResponse:
        """409 without the capability, 412 when another one is assigned, 422 for the text `:`."""
        self._ask(CONFIG_PUSH, request)
        gateway = self._find(request.instance_id).gateway
        if not gateway.capabilities & _CAPABILITIES.AgentCapabilities_AcceptsRemoteConfig:
            raise ConflictError(
                f"{gateway.name} does not accept remote configuration: it lacks the capability AcceptsRemoteConfig.",
                capability="AcceptsRemoteConfig",
            )
        if request.config == ":":
            raise InvalidError("YAML", errors=[{"message": "expected a key", "line": 1, "column": 1}])
        latest = self._latest().get(request.instance_id, configs.Delivery())
        if request.HasField("expected_hash") and request.expected_hash != latest.config_hash:
            raise ChangedError("another configuration was assigned meanwhile", config_hash=latest.config_hash)
        delivery = configs.Delivery(
            delivery_id=f"delivery-{len(self.deliveries)}",
            instance_id=request.instance_id,
            config_hash="c0ffee",
            state=DELIVERY_STATE_PENDING,
        )
        self.deliveries[delivery.delivery_id] = delivery
        self.pushed[delivery.delivery_id] = request.config
        return configs.AssignConfigResponse(delivery=delivery)

    async def get_agent_config(self, request: configs.GetAgentConfigRequest) -> configs.GetAgentConfigResponse:
        """404 for one that never reported."""
        self._ask(CONFIG_PUSH, request)
        if request.instance_id not in self.configs:
            raise NotFoundError("no report of this agent yet")
        return self.configs[request.instance_id]

    async def list_deliveries(self, request: configs.ListDeliveriesRequest) -> configs.ListDeliveriesResponse:
        """The latest one of each."""
        self._ask(CONFIG_PUSH, request)
        if request.history_of:
            history = [one for one in self.deliveries.values() if one.instance_id == request.history_of]
            return configs.ListDeliveriesResponse(deliveries=history[::-1][: request.limit or 50])
        latest = self._latest()
        return configs.ListDeliveriesResponse(deliveries=[latest[uid] for uid in request.instance_ids if uid in latest])

    async def get_delivery(self, request: configs.GetDeliveryRequest) -> configs.GetDeliveryResponse:
        """One."""
        self._ask(CONFIG_PUSH, request)
        if request.delivery_id not in self.deliveries:
            raise NotFoundError("no such delivery")
        config = self.pushed.get(request.delivery_id, "")
        return configs.GetDeliveryResponse(delivery=self.deliveries[request.delivery_id], config=config)

    async def get_supervisor(self, request: supervisors.GetSupervisorRequest) -> supervisors.GetSupervisorResponse:
        """One."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.instance_id not in self.supervisors:
            raise NotFoundError("no such supervisor")
        return supervisors.GetSupervisorResponse(supervisor=self.supervisors[request.instance_id])

    async def list_supervisors(
        self, request: supervisors.ListSupervisorsRequest
    ) -> supervisors.ListSupervisorsResponse:
        """Those that are known."""
        self._ask(SUPERVISOR_CONTROL, request)
        known = [self.supervisors[uid] for uid in request.instance_ids if uid in self.supervisors]
        return supervisors.ListSupervisorsResponse(supervisors=known)

    async def get_supervisor_summary(
        self, request: supervisors.GetSupervisorSummaryRequest
    ) -> supervisors.GetSupervisorSummaryResponse:
        """All count as connected."""
        self._ask(SUPERVISOR_CONTROL, request)
        known = self.supervisors.values()
        return supervisors.GetSupervisorSummaryResponse(
            by_collector_state=Counter(one.collector_state for one in known),
            crash_looping=[one.instance_id for one in known if one.is_crash_looping],
        )

    async def request_restart(self, request: supervisors.RequestRestartRequest) -> supervisors.RequestRestartResponse:
        """409 without the capability."""
        self._ask(SUPERVISOR_CONTROL, request)
        gateway = self._find(request.instance_id).gateway
        if not gateway.capabilities & _CAPABILITIES.AgentCapabilities_AcceptsRestartCommand:
            raise ConflictError(
                f"{gateway.name} cannot be restarted: it lacks the capability AcceptsRestartCommand.",
                capability="AcceptsRestartCommand",
            )
        command = supervisors.Command(
            command_id=f"command-{len(self.commands)}",
            instance_id=request.instance_id,
            type="restart",
            state=COMMAND_STATE_PENDING,
        )
        self.commands[command.command_id] = command
        return supervisors.RequestRestartResponse(command=command)

    async def get_command(self, request: supervisors.GetCommandRequest) -> supervisors.GetCommandResponse:
        """One."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.command_id not in self.commands:
            raise NotFoundError("no such command")
        return supervisors.GetCommandResponse(command=self.commands[request.command_id])

    async def list_logs(self, request: telemetry.ListLogsRequest) -> telemetry.ListLogsResponse:
        """Newest first, or with follow oldest first; a record's cursor is its number, and the filters are q, source and
        severity."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.cursor == "bad":
            raise InvalidError("the cursor is none of this list")
        records = self.records.get(request.instance_id, [])  # newest first
        for number, record in enumerate(reversed(records), 1):
            record.cursor = f"{number:x}"
        found = [
            one
            for one in records
            if request.q in one.body
            and request.source in ("", one.source)
            and one.severity_number >= request.min_severity_number
        ]
        behind, limit = int(request.cursor or "0", 16), request.limit or 100
        if request.follow:
            fresh = [one for one in reversed(found) if int(one.cursor, 16) > behind][:limit] if request.cursor else []
            end = fresh[-1].cursor if len(fresh) == limit else f"{len(records):x}"
            return telemetry.ListLogsResponse(records=fresh, next_cursor=end)
        rest = [one for one in found if not behind or int(one.cursor, 16) < behind]
        more = rest[limit - 1].cursor if len(rest) > limit else ""
        return telemetry.ListLogsResponse(records=rest[:limit], next_cursor=more)

    async def get_metrics(self, request: telemetry.GetMetricsRequest) -> telemetry.GetMetricsResponse:
        """As they were put."""
        self._ask(SUPERVISOR_CONTROL, request)
        return self.metrics.get(request.instance_id, telemetry.GetMetricsResponse(step_seconds=30))

    async def list_policies(self, request: policies.ListPoliciesRequest) -> policies.ListPoliciesResponse:
        """All."""
        self._ask(SUPERVISOR_CONTROL, request)
        return policies.ListPoliciesResponse(policies=self.policies.values())

    async def put_policy(self, request: policies.PutPolicyRequest) -> policies.PutPolicyResponse:
        """Every supervisor gets another offer, and every second one restarts."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.policy.name != "default" and not request.policy.selector:
            raise InvalidError("a policy needs a selector")
        if not request.dry_run:
            self.policies[request.policy.name] = request.policy
        return policies.PutPolicyResponse(policy=request.policy, effect=self._effect())

    async def delete_policy(self, request: policies.DeletePolicyRequest) -> policies.DeletePolicyResponse:
        """The default one stays."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.name not in self.policies:
            raise NotFoundError("no such policy")
        if request.name == "default":
            raise ConflictError("the default policy stays")
        if not request.dry_run:
            del self.policies[request.name]
        return policies.DeletePolicyResponse(effect=self._effect())

    async def create_enrollment_token(
        self, request: enrollment.CreateEnrollmentTokenRequest
    ) -> enrollment.CreateEnrollmentTokenResponse:
        """409 for a name that is there."""
        self._ask(AGENT_REGISTRY, request)
        if any(one.name == request.name for one in self.tokens.values()):
            raise ConflictError(f"there is a token {request.name!r} already")
        token = enrollment.EnrollmentToken(
            token_id=f"token-{len(self.tokens)}",
            name=request.name,
            labels=request.labels,
            max_uses=request.max_uses,
            created_by=request.actor,
        )
        if request.HasField("expires_at"):
            token.expires_at.CopyFrom(request.expires_at)
        self.tokens[token.token_id] = token
        return enrollment.CreateEnrollmentTokenResponse(enrollment_token=token, secret="fge_" + "s" * 43)

    async def list_enrollment_tokens(
        self, request: enrollment.ListEnrollmentTokensRequest
    ) -> enrollment.ListEnrollmentTokensResponse:
        """All."""
        self._ask(AGENT_REGISTRY, request)
        return enrollment.ListEnrollmentTokensResponse(enrollment_tokens=self.tokens.values())

    async def revoke_enrollment_token(
        self, request: enrollment.RevokeEnrollmentTokenRequest
    ) -> enrollment.RevokeEnrollmentTokenResponse:
        """One."""
        self._ask(AGENT_REGISTRY, request)
        if request.token_id not in self.tokens:
            raise NotFoundError("no such token")
        self.tokens[request.token_id].revoked_at.GetCurrentTime()
        return enrollment.RevokeEnrollmentTokenResponse(enrollment_token=self.tokens[request.token_id])

    async def keep_config(self, request: configs.KeepConfigRequest) -> configs.KeepConfigResponse:
        """422 for the text `:`."""
        self._ask(CONFIG_PUSH, request)
        if request.config == ":":
            raise InvalidError("YAML", errors=[{"message": "expected a key", "line": 1, "column": 1}])
        return configs.KeepConfigResponse(config_hash="c0ffee")

    async def create_operation(self, request: operations.CreateOperationRequest) -> operations.CreateOperationResponse:
        """All that are online are under way at once, the others skipped."""
        self._ask(SUPERVISOR_CONTROL, request)
        operation = operations.Operation(
            operation_id="" if request.dry_run else f"operation-{len(self.operations)}",
            action=request.action,
            state=supervisor_facts.OPERATION_STATE_RUNNING,
            config_hash=request.config_hash,
            max_unavailable=request.max_unavailable,
            stop_on_failure=request.stop_on_failure,
            created_by=request.actor,
        )
        operation.updated_at.GetCurrentTime()
        for one in request.targets:
            target = operation.targets.add(instance_id=one.instance_id, gateway_id=one.gateway_id, name=one.name)
            target.state = supervisor_facts.TARGET_STATE_RUNNING
            operation.running += 1
            if not one.is_online:
                target.state, target.reason = supervisor_facts.TARGET_STATE_SKIPPED, "it is not connected"
                operation.running, operation.skipped = operation.running - 1, operation.skipped + 1
        if operation.operation_id:
            self.operations[operation.operation_id] = operation
        return operations.CreateOperationResponse(operation=operation)

    async def get_operation(self, request: operations.GetOperationRequest) -> operations.GetOperationResponse:
        """One."""
        self._ask(SUPERVISOR_CONTROL, request)
        if request.operation_id not in self.operations:
            raise NotFoundError("no such operation")
        answer = operations.GetOperationResponse(operation=self.operations[request.operation_id])
        if request.without_targets:
            answer.operation.ClearField("targets")
        return answer

    async def list_operation_targets(
        self, request: operations.ListOperationTargetsRequest
    ) -> operations.ListOperationTargetsResponse:
        """A page; the cursor is the position before it."""
        await self.get_operation(operations.GetOperationRequest(operation_id=request.operation_id))
        found = [
            (position, one)
            for position, one in enumerate(self.operations[request.operation_id].targets)
            if (not request.states or one.state in request.states) and request.q.lower() in one.name.lower()
        ]
        rest = [one for one in found if one[0] > int(request.cursor or -1)]
        page = rest[: request.limit or 100]
        return operations.ListOperationTargetsResponse(
            targets=[one for _, one in page],
            next_cursor=str(page[-1][0]) if len(rest) > len(page) else "",
            total=len(found),
        )

    async def list_operations(self, request: operations.ListOperationsRequest) -> operations.ListOperationsResponse:
        """The latest."""
        self._ask(SUPERVISOR_CONTROL, request)
        return operations.ListOperationsResponse(operations=list(self.operations.values())[::-1][: request.limit or 20])

    async def cancel_operation(self, request: operations.CancelOperationRequest) -> operations.CancelOperationResponse:
        """409 for one that has ended."""
        await self.get_operation(operations.GetOperationRequest(operation_id=request.operation_id))
        operation = self.operations[request.operation_id]
        if operation.state != supervisor_facts.OPERATION_STATE_RUNNING:
            raise ConflictError("the operation has ended")
        operation.state = supervisor_facts.OPERATION_STATE_CANCELLED
        return operations.CancelOperationResponse(operation=operation)

    def _effect(self) -> policies.PolicyEffect:
        count = len(self.supervisors)
        return policies.PolicyEffect(matching=count, offers=count, restarts=(count + 1) // 2)


def _matches(gateway: registry.Gateway, request: registry.ListGatewaysRequest) -> bool:
    health = registry.HealthState.Value(f"HEALTH_STATE_{health_json(gateway)['state'].upper()}")
    return (
        (not request.management_mode or gateway.management_mode == request.management_mode)
        and (not request.statuses or gateway.status in request.statuses)
        and (not request.healths or health in request.healths)
        and (not request.versions or gateway.version in request.versions)
        and (not request.instance_ids or gateway.instance_id in request.instance_ids)
        and request.q.lower() in gateway.name.lower()
        and all(key in gateway.labels and value in ("", gateway.labels[key]) for key, value in request.labels.items())
    )


def make_gateway(number: int, *, supervised: bool = False, **changes: object) -> registry.GatewayDetail:
    """A gateway that is online and healthy; ids and name tell the number."""
    bits = 0x1 | 0x4 | 0x800
    if supervised:
        bits |= 0x2 | 0x400 | 0x1000 | 0x2000
    gateway = registry.Gateway(
        gateway_id=f"00000000-0000-4000-8000-{number:012x}",
        instance_id=f"0198e4b0-7c1d-7a3e-9f00-{number:012x}",
        name=f"edge-{number}",
        management_mode=MANAGEMENT_MODE_SUPERVISOR if supervised else MANAGEMENT_MODE_EXTENSION,
        status=registry.GATEWAY_STATUS_ONLINE,
        healthy=True,
        health_status="StatusOK",
        agent_type="otelcol",
        version="0.149.0",
        capabilities=bits,
    )
    for at in ("last_seen_at", "first_seen_at", "connected_at", "health_since", "started_at"):
        getattr(gateway, at).FromJsonString("2026-11-02T08:15:30.125Z")
    gateway.MergeFrom(registry.Gateway(**changes))  # type: ignore[arg-type]
    return registry.GatewayDetail(gateway=gateway)
