"""One function per message of agent-registry: reads, decides through `domain`, stores, returns effects."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from google.protobuf.json_format import MessageToDict

from agent_registry import answers, domain, enrollment_handlers
from agent_registry.domain import Gateway
from agent_registry.enrollment import Admission
from agent_registry.listing import DEFAULT_LIMIT, MAX_LIMIT, Query
from agent_registry.registry import Registry
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import opamp
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.rpc import Reply
from flowkit.uplink import Report

DISCONNECT = opamp.field_bit("agent_disconnect")
MAX_LABELS = 64
CLOCK_SKEW = timedelta(seconds=0.2)  # between ingress replicas: a new connection begins after the former one's end


async def agents_reported(registry: Registry, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
    """A batch of the uplink: every report changes its gateway, in order."""
    uids = {report.uid for report in reports}
    effects: list[Effect] = []
    if all(map(domain.is_plain, reports)):
        known = await registry.store.load_for_health(list(uids))
        if all(domain.only_health(known.get(report.uid), report) for report in reports):
            for report in reports:
                effects += domain.apply_health(known[report.uid], report)
            await registry.store.save(list(known.values()))
            return effects
    uids |= {UUID(bytes=one.entry.previous_instance_uid) for one in reports if one.entry.previous_instance_uid}
    has_description = any(report.entry.fields & domain.DESCRIPTION for report in reports)
    gateways = await registry.store.load(list(uids), with_attributes=has_description)
    admission = await enrollment_handlers.admission(registry, [one for one in reports if one.uid not in gateways])
    components: dict[bytes, bytes] = {}
    for report in reports:
        gateway = gateways.get(report.uid)
        if gateway is None:
            gateway, told = await _gateway_of_unknown(registry, report, gateways, admission, now)
            if gateway is not None:
                effects += admission.welcome(report.uid)
            effects += told
            if gateway is None:
                continue
            gateways[gateway.instance_uid] = gateway
        effects += domain.apply(gateway, report)
        if report.entry.fields & domain.COMPONENTS and report.message.available_components.components:
            reported = report.message.available_components
            components[reported.hash] = reported.SerializeToString(deterministic=True)
    if components:
        await registry.store.add_components(components)
    changed = list({id(one): one for one in gateways.values()}.values())
    await registry.store.save(changed)
    await enrollment_handlers.remember(registry, admission)
    for gateway in changed:
        if gateway.disconnected_at is not None and gateway.dirty & domain.Dirty.REST:
            effects += await _replaced_by_twin(registry, gateway)
    return effects


async def _replaced_by_twin(registry: Registry, gateway: Gateway) -> Sequence[Effect]:
    """An extension that reloads comes back under another uid within milliseconds, and since uids lie in different
    shards its first report may be handled before the end of the former connection. Then they are joined here."""
    if gateway.identity_key is None or gateway.management_mode != "extension" or gateway.disconnected_at is None:
        return []
    twin = await registry.store.find_young_twin(gateway.identity_key, gateway.disconnected_at - CLOCK_SKEW)
    if twin is None:
        return []
    await registry.store.replace(gateway.gateway_id, twin)
    return [
        facts.AgentReidentified(
            instance_uid=str(twin.instance_uid),
            gateway_id=str(gateway.gateway_id),
            occurred_at=timestamp(gateway.disconnected_at),
            previous_instance_uid=str(gateway.instance_uid),
        )
    ]


async def _gateway_of_unknown(
    registry: Registry, report: Report, gateways: dict[UUID, Gateway], admission: Admission, now: datetime
) -> tuple[Gateway | None, Sequence[Effect]]:
    """The gateway of an instance_uid that no gateway has: renamed, restarted, or new.

    None when the report is only a goodbye or tells of something that was sent: no ghost comes of it (item 77). None
    also when the agent's enrollment token does not let it in; then it is told so.
    """
    if report.entry.kind != uplink_pb2.ENTRY_KIND_REPORT or report.entry.fields & DISCONNECT:
        return None, []
    if report.entry.previous_instance_uid:
        former = gateways.pop(UUID(bytes=report.entry.previous_instance_uid), None)
        if former is not None:
            return former, domain.reidentify(former, report)
    mode = opamp.management_mode(report.message.capabilities)
    if mode == facts.MANAGEMENT_MODE_EXTENSION and report.entry.fields & domain.DESCRIPTION:
        key = domain.identity_key(domain.described(report))
        same = await registry.store.find_offline_extension(key) if key is not None else []
        # Those loaded for this batch may have come back in it.
        same = [gateways.get(one.instance_uid, one) for one in same]
        if len(same) == 1 and same[0].is_away:
            gateways.pop(same[0].instance_uid, None)
            return same[0], domain.reidentify(same[0], report)
    credential_id = report.entry.credential_id
    if reason := admission.refusal(credential_id, report.received_at):
        patience = await enrollment_handlers.patience(registry, report)
        return None, [admission.refuse(report.uid, credential_id, reason, now + patience)]
    token = admission.take(credential_id, report.received_at)
    if token is None:
        return domain.new_gateway(report, uuid4(), {}), []
    return domain.new_gateway(report, uuid4(), dict(token.labels), token.token_id), []


async def supervisor_status_changed(
    registry: Registry, fact: supervisor_facts.SupervisorStatusChanged, now: datetime
) -> Sequence[Effect]:
    """Keep the last status of a supervisor with its gateway."""
    status = MessageToDict(fact, preserving_proto_field_name=True)
    await registry.store.set_supervisor_status(UUID(fact.instance_uid), status)
    return []


async def delivery_state_changed(
    registry: Registry, fact: config_facts.DeliveryStateChanged, now: datetime
) -> Sequence[Effect]:
    """Keep how far the latest configuration of an agent got: lists are filtered by it."""
    state = domain.config_state(fact)
    if state:
        gateway_id = UUID(fact.gateway_id) if fact.gateway_id else None
        await registry.store.set_config_state(UUID(fact.instance_uid), gateway_id, state)
    return []


async def standing(registry: Registry) -> Sequence[Desired]:
    """Who should be asked for the full state: see `flowkit.standing`."""
    return [domain.full_state_of(uid) for uid in await registry.store.undescribed()]


async def list_gateways(
    registry: Registry, request: rpc.ListGatewaysRequest, now: datetime
) -> rpc.ListGatewaysResponse:
    """A page of gateways.

    Raises:
        InvalidError: limit, sort or cursor make no sense.
    """
    if request.limit > MAX_LIMIT:
        raise InvalidError(f"limit is {request.limit}; the most is {MAX_LIMIT}")
    stale_before = registry.stale_before(now)
    query = Query(
        stale_before=stale_before,
        mode=domain.MODES.get(request.management_mode, ""),
        statuses=[answers.STATUS_NAMES[one] for one in request.statuses if one in answers.STATUS_NAMES],
        healths=[answers.HEALTH_NAMES[one] for one in request.healths if one in answers.HEALTH_NAMES],
        config_states=[domain.CONFIG_STATES[one] for one in request.config_states if one in domain.CONFIG_STATES],
        q=request.q,
        labels=dict(request.labels),
        versions=list(request.versions),
        instance_uids=[_uuid(text) for text in request.instance_ids],
        sort=request.sort or "name",
        limit=request.limit or DEFAULT_LIMIT,
        cursor=request.cursor,
    )
    rows, cursor, total = await registry.store.page(query)
    return rpc.ListGatewaysResponse(
        gateways=[answers.gateway(row, registry.presence, stale_before) for row in rows],
        next_cursor=cursor,
        total=total,
    )


async def get_gateway(registry: Registry, request: rpc.GetGatewayRequest, now: datetime) -> rpc.GetGatewayResponse:
    """Everything known of a gateway."""
    row = await registry.store.get(_uuid(request.id))
    if row is None:
        raise _unknown(request.id)
    return rpc.GetGatewayResponse(detail=answers.detail(row, registry.presence, registry.stale_before(now)))


async def update_gateway(registry: Registry, request: rpc.UpdateGatewayRequest, now: datetime) -> Reply:
    """Change name or labels."""
    row = await registry.store.named(_uuid(request.id))
    if row is None:
        raise _unknown(request.id)
    name = row["name"]
    if request.HasField("name"):
        name = request.name.strip() or None
    labels = {**row["labels"], **request.set_labels}
    for key in request.remove_labels:
        labels.pop(key, None)
    if len(labels) > MAX_LABELS:
        raise InvalidError(f"{len(labels)} labels; a gateway has at most {MAX_LABELS}")
    await registry.store.set_name_and_labels(row["gateway_id"], name, labels)
    changed = await registry.store.get(row["gateway_id"])
    if changed is None:
        raise _unknown(request.id)
    fact = facts.GatewayUpdated(
        instance_uid=str(changed["instance_uid"]),
        gateway_id=str(changed["gateway_id"]),
        occurred_at=timestamp(now),
        name=changed["name"],
        labels=labels,
    )
    gateway = answers.gateway(changed, registry.presence, registry.stale_before(now))
    return Reply(rpc.UpdateGatewayResponse(gateway=gateway), [fact])


async def delete_gateway(registry: Registry, request: rpc.DeleteGatewayRequest, now: datetime) -> Reply:
    """Take an offline gateway out of the fleet.

    Raises:
        ConflictError: it is connected; it would come back with its next report.
    """
    row = await registry.store.get(_uuid(request.id))
    if row is None:
        raise _unknown(request.id)
    if row["is_connected"]:
        raise ConflictError(
            f"{row['name']} is connected and would come back with its next report; stop its agent first",
            gateway_id=str(row["gateway_id"]),
        )
    await registry.store.delete(row["gateway_id"])
    return Reply(rpc.DeleteGatewayResponse(), [_removed(row["instance_uid"], row["gateway_id"], now, "deleted")])


async def get_fleet_summary(
    registry: Registry, request: rpc.GetFleetSummaryRequest, now: datetime
) -> rpc.GetFleetSummaryResponse:
    """Counts over the whole fleet."""
    counts = await registry.store.counts(registry.stale_before(now))
    return rpc.GetFleetSummaryResponse(
        total=sum(counts.by_mode.values()),
        by_mode=counts.by_mode,
        by_status=counts.by_status,
        by_health=counts.by_health,
        by_version=counts.by_version,
        by_config_state=counts.by_config_state,
    )


async def list_components(
    registry: Registry, request: rpc.ListComponentsRequest, now: datetime
) -> rpc.ListComponentsResponse:
    """What several agents were built with.

    Raises:
        NotFoundError: an id is no UUID.
    """
    rows = await registry.store.component_sets([_uuid(text) for text in request.instance_ids])
    return rpc.ListComponentsResponse(
        sets=[
            rpc.ComponentSet(available_components=row["components"] or b"", instance_ids=map(str, row["uids"]))
            for row in rows
        ]
    )


async def list_labels(registry: Registry, request: rpc.ListLabelsRequest, now: datetime) -> rpc.ListLabelsResponse:
    """Labels that there are in the fleet."""
    rows = await registry.store.labels(request.q, min(request.limit or 100, 1000))
    return rpc.ListLabelsResponse(
        labels=[rpc.FleetLabel(key=row["key"], value=row["value"], gateways=row["number"]) for row in rows]
    )


async def sweep(registry: Registry, now: datetime) -> Sequence[Effect]:
    """Mark as gone who did not come back after a drain, and who fell silent, as soon as this replica has listened long
    enough to know."""
    gone = await registry.store.disconnect_drained(now - timedelta(seconds=registry.settings.reconnect_seconds))
    patience = timedelta(seconds=registry.settings.offline_after_seconds)
    if registry.presence.has_listened(now, patience):
        seen_before = now - patience
        registry.presence.forget_before((seen_before - patience).timestamp())
        silent = [
            uid
            for uid in await registry.store.silent(seen_before)
            if not registry.presence.was_heard(uid.bytes, seen_before)  # and could not be written
        ]
        gone += await registry.store.disconnect_silent(silent, now)
    return [
        facts.AgentDisconnected(
            instance_uid=str(row["instance_uid"]),
            gateway_id=str(row["gateway_id"]),
            occurred_at=timestamp(row["disconnected_at"]),
            reason=row["disconnect_reason"],
        )
        for row in gone
    ]


async def archive(registry: Registry, now: datetime) -> Sequence[Effect]:
    """Take gateways out of the fleet that are offline for too long."""
    settings = registry.settings
    rows = await registry.store.archive(
        now,
        now - timedelta(seconds=settings.archive_after_seconds),
        now - timedelta(seconds=settings.archive_extension_after_seconds),
    )
    return [_removed(row["instance_uid"], row["gateway_id"], now, "archived") for row in rows]


async def delete_old(registry: Registry, now: datetime) -> Sequence[Effect]:
    """Delete gateways that were archived long ago, and component lists that no gateway has any more."""
    rows = await registry.store.delete_archived(now - timedelta(seconds=registry.settings.delete_after_seconds))
    await registry.store.delete_unused_components()
    return [_removed(row["instance_uid"], row["gateway_id"], now, "deleted") for row in rows]


def _removed(instance_uid: UUID, gateway_id: UUID, now: datetime, reason: str) -> facts.GatewayRemoved:
    return facts.GatewayRemoved(
        instance_uid=str(instance_uid), gateway_id=str(gateway_id), occurred_at=timestamp(now), reason=reason
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _unknown(text) from None


def _unknown(text: str) -> NotFoundError:
    return NotFoundError(f"no gateway has the gateway_id or instance_id {text}")
