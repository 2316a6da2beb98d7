"""One function per message of config-push: reads, decides through `domain`, stores, returns effects."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4, uuid5

from config_push import domain, redaction
from config_push.domain import Delivery
from config_push.settings import Settings
from config_push.store import Agent, ConfigStore
from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as facts
from flowgate.rpc.v1 import config_push_pb2 as rpc
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit import opamp, tokens, tracing
from flowkit.errors import ChangedError, ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.rpc import Reply
from flowkit.uplink import Report
from opamp.v1 import opamp_pb2

STATUS = opamp.field_bit("remote_config_status")
EFFECTIVE = opamp.field_bit("effective_config")
DESCRIPTION = opamp.field_bit("agent_description")
LARGE_BYTES = 100_000  # a configuration of this size takes the loop 0.1 s to look through
UNSEEN = datetime.fromtimestamp(0, UTC)  # connection start of an agent that has not reported here yet


class Bodies(Protocol):
    """Where offers lie for the ingress to fetch."""

    async def put(self, name: str, body: bytes) -> None:
        """Store an offer under its name; again is harmless."""


@dataclass(frozen=True)
class ConfigPush:
    """What handlers work with: the store on the transaction, the bodies and settings."""

    store: ConfigStore
    bodies: Bodies
    settings: Settings


async def agents_reported(push: ConfigPush, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
    """A batch of the uplink: configuration statuses, effective configurations and offers that were sent."""
    uids = list({report.uid for report in reports})
    agents = await push.store.load_agents(uids)
    deliveries = await push.store.latest(uids)
    stored = dict(deliveries)
    changed: dict[UUID, Agent] = {}
    lost: dict[UUID, Report] = {}
    effects: list[Effect] = []
    for report in reports:
        uid = report.uid
        agent = agents.setdefault(uid, Agent(uid, UNSEEN))
        if report.connected_at < agent.connected_at:
            continue  # of a connection that a newer one has superseded
        delivery = deliveries.get(uid)
        if report.entry.kind == uplink_pb2.ENTRY_KIND_DELIVERED:
            if delivery is not None and report.entry.delivered.id == str(delivery.delivery_id):
                if report.entry.delivered.traceparent:
                    delivery = replace(delivery, traceparent=report.entry.delivered.traceparent)
                deliveries[uid], told = domain.delivered(
                    delivery, agent.capabilities, report.entry.delivered.error, report.received_at
                )
                effects += told
            continue
        changed[uid] = agent
        agent.connected_at = report.connected_at
        agent.capabilities = report.message.capabilities or agent.capabilities
        if report.has(EFFECTIVE):
            effects += await _effective(agent, report)
        if report.has(STATUS):
            status = report.message.remote_config_status
            status.error_message = tokens.redact(status.error_message)
            agent.reported_hash = status.last_remote_config_hash
            agent.reported_status = domain.STATUSES.get(status.status, "unset")
            agent.reported_error = status.error_message
            if opamp.tells_of_crash(status.error_message):
                agent.crashed_at = report.received_at
            if delivery is not None:
                if domain.is_of_another_process(delivery, status):
                    deliveries[uid], told = await _try_again(push, delivery, report.received_at)
                    effects += told
                elif domain.has_lost_it(delivery, status):
                    lost[uid] = report
                else:
                    lost.pop(uid, None)
                    deliveries[uid], told = domain.status_reported(
                        delivery, status, agent.is_crashed, report.received_at
                    )
                    effects += told
    if changed:
        await push.store.save_agents(list(changed.values()))
    moved = [one for uid, one in deliveries.items() if one is not stored[uid]]
    if moved:
        await push.store.save_deliveries(moved)
    for uid in lost:
        effects += await _give_again(push, agents[uid], deliveries[uid], now)
    return effects


async def _effective(agent: Agent, report: Report) -> Sequence[Effect]:
    """Keep what the agent runs with, without the secrets in it."""
    config = report.message.effective_config
    if config.ByteSize() > LARGE_BYTES:
        kept = await asyncio.to_thread(redaction.redacted, config)
    else:
        kept = redaction.redacted(config)
    body = kept.SerializeToString(deterministic=True)
    digest = hashlib.sha256(body).digest()
    if digest == agent.effective_hash:
        return []
    agent.effective, agent.effective_hash, agent.effective_at = body, digest, report.received_at
    return [
        facts.EffectiveConfigChanged(
            instance_uid=str(agent.instance_uid),
            gateway_id=str(agent.gateway_id or ""),
            occurred_at=timestamp(report.received_at),
            effective_hash=digest.hex(),
        )
    ]


async def _try_again(push: ConfigPush, delivery: Delivery, at: datetime) -> tuple[Delivery, list[Effect]]:
    """The agent gave up for a reason that has nothing to do with the configuration."""
    config = await push.store.config_body(delivery.content_hash)
    if config is None:
        raise LookupError(f"the configuration of delivery {delivery.delivery_id} is not stored")
    files = domain.config_map(config)
    again = domain.again(delivery, files, at)
    await _offer(push, files, again.config_hash)
    return again, domain.begin(again, delivery.state)


async def _offer(push: ConfigPush, files: opamp_pb2.AgentConfigMap, config_hash: bytes) -> None:
    offer = opamp_pb2.AgentRemoteConfig(config=files, config_hash=config_hash)
    await push.bodies.put(domain.body_object(config_hash), offer.SerializeToString(deterministic=True))


async def standing(push: ConfigPush) -> Sequence[Desired]:
    """What agents should be waiting for: see `flowkit.standing`."""
    unfinished = await push.store.unfinished()
    agents = await push.store.load_agents([one.instance_uid for one in unfinished])
    waiting = [
        one
        for one in unfinished
        if one.state == "pending" or agents[one.instance_uid].capabilities & domain.REPORTS_REMOTE_CONFIG
    ]
    for config_hash, delivery in {one.config_hash: one for one in waiting}.items():
        config = await push.store.config_body(delivery.content_hash)
        await _offer(push, domain.config_map(config or ""), config_hash)
    return [domain.wish(one) for one in waiting]


async def _give_again(push: ConfigPush, agent: Agent, delivery: Delivery, now: datetime) -> Sequence[Effect]:
    """An agent that had applied its configuration reports another one: it lost its storage, say. Bounded, so that two
    agents with one identity do not keep each other restarting."""
    since = now - timedelta(hours=1)
    if not agent.capabilities & domain.ACCEPTS_REMOTE_CONFIG:
        return []
    if await push.store.automatic_since(agent.instance_uid, since) >= push.settings.redeliveries_per_hour:
        return []
    again = replace(
        delivery,
        delivery_id=uuid4(),
        state="pending",
        error="",
        is_automatic=True,
        created_at=now,
        created_by="flowgate",
        updated_at=now,
        traceparent="",
    )
    await push.store.add_delivery(again)
    return domain.begin(again)


async def assign_config(push: ConfigPush, request: rpc.AssignConfigRequest, now: datetime) -> Reply:
    """Assign a configuration to an agent and begin its delivery.

    Raises:
        InvalidError: the YAML does not parse, or has masked secrets.
        NotFoundError: the agent never reported.
        ConflictError: it does not accept remote configuration.
        ChangedError: another configuration is assigned than the caller expects.
    """
    await _check(push, request.config)
    delivery, effects = await _assign(
        push,
        uuid4(),
        UUID(request.instance_id),
        UUID(request.gateway_id) if request.gateway_id else None,
        request.config,
        request.actor,
        now,
        request.expected_hash if request.HasField("expected_hash") else None,
    )
    return Reply(rpc.AssignConfigResponse(delivery=_answer(delivery)), effects)


async def keep_config(push: ConfigPush, request: rpc.KeepConfigRequest, now: datetime) -> rpc.KeepConfigResponse:
    """Keep a configuration without assigning it, or only check it.

    Raises:
        InvalidError: the YAML does not parse, or has masked secrets.
    """
    await _check(push, request.config)
    content_hash = domain.hash_of(domain.config_map(request.config))
    if not request.check_only:
        await push.store.add_config(content_hash, request.config, now, request.actor)
    return rpc.KeepConfigResponse(config_hash=content_hash.hex())


async def push_ordered(push: ConfigPush, fact: supervisor_facts.ConfigPushOrdered, now: datetime) -> Sequence[Effect]:
    """A bulk operation wants a configuration delivered. What forbids it is told back as a failed delivery."""
    uid, config_hash = UUID(fact.instance_uid), bytes.fromhex(fact.config_hash)
    delivery_id = uuid5(UUID(fact.operation_id), fact.instance_uid)
    if await push.store.delivery(delivery_id) is not None:
        return []  # ordered before
    gateway_id = UUID(fact.gateway_id) if fact.gateway_id else None
    try:
        config = await push.store.config_body(config_hash)
        if config is None:
            raise NotFoundError(f"config-push does not have the configuration {fact.config_hash[:12]} any more")
        _, effects = await _assign(push, delivery_id, uid, gateway_id, config, fact.actor, now)
    except (NotFoundError, ConflictError) as error:
        refused = Delivery(
            delivery_id=delivery_id,
            instance_uid=uid,
            gateway_id=gateway_id,
            content_hash=config_hash,
            config_hash=config_hash,
            state="failed",
            created_at=now,
            created_by=fact.actor,
            updated_at=now,
            error=error.detail,
        )
        return [domain.fact_of(refused, "")]
    return effects


async def push_withdrawn(
    push: ConfigPush, fact: supervisor_facts.ConfigPushWithdrawn, now: datetime
) -> Sequence[Effect]:
    """A bulk operation waits for a delivery no longer: unless the agent works on it, it is not offered any more."""
    delivery_id = uuid5(UUID(fact.operation_id), fact.instance_uid)
    delivery = (await push.store.latest([UUID(fact.instance_uid)])).get(UUID(fact.instance_uid))
    if delivery is None or delivery.delivery_id != delivery_id or delivery.state not in domain.NOT_TAKEN:
        return []
    moved, effects = domain.moved(delivery, "failed", fact.reason, now)
    await push.store.save_deliveries([moved])
    return effects


async def give_up_unanswered(push: ConfigPush, now: datetime) -> Sequence[Effect]:
    """Agents that were offered a configuration, and report on configurations, but not on this one (item 98). Those
    that call it applied are believed in the end."""
    patience = timedelta(seconds=push.settings.answer_seconds)
    reason = (
        f"the agent has read the offer and not said for {patience.total_seconds():g} s what became of it; look at its"
        " log, and send it again"
    )
    effects: list[Effect] = []
    moved = []
    for delivery in await push.store.unanswered(now - patience, domain.REPORTS_REMOTE_CONFIG):
        failed, told = domain.moved(delivery, "failed", reason, now)
        moved.append(failed)
        effects += told
    for delivery in await push.store.unproven(now - patience):  # and no further crash since
        applied, told = domain.moved(delivery, "applied", "", now)
        moved.append(applied)
        effects += told
    if moved:
        await push.store.save_deliveries(moved)
    return effects


async def delete_old(push: ConfigPush, now: datetime) -> Sequence[Effect]:
    """Forget what nobody has used for long."""
    await push.store.delete_old(now - timedelta(seconds=push.settings.delivery_retention_seconds))
    return []


async def _check(push: ConfigPush, config: str) -> None:
    if len(config.encode()) > push.settings.max_config_bytes:
        raise InvalidError(f"the configuration is larger than {push.settings.max_config_bytes} bytes")
    await asyncio.to_thread(domain.check_yaml, config)
    # A mask tells that the text began as an effective configuration: the agent would run with it.
    masks = await asyncio.to_thread(redaction.masked, config)
    _refuse(
        masks, "masked secrets", f"{redaction.REDACTED} stands for a secret that FlowGate does not keep; write it, or"
    )
    _refuse(
        redaction.issued(config), "tokens of FlowGate's own", "configurations are kept and shown, tokens are not; write"
    )


def _refuse(places: Sequence[tuple[int, int]], what: str, why: str) -> None:
    if places:
        problem = f"{why} ${{env:NAME}}"
        raise InvalidError(
            f"the configuration has {what}: line {places[0][0]}, column {places[0][1]}: {problem}",
            errors=[{"message": problem, "line": line, "column": column} for line, column in places],
        )


async def _assign(
    push: ConfigPush,
    delivery_id: UUID,
    uid: UUID,
    gateway_id: UUID | None,
    config: str,
    actor: str,
    now: datetime,
    expected: str | None = None,
) -> tuple[Delivery, list[Effect]]:
    agent = (await push.store.load_agents([uid])).get(uid)
    if agent is None or agent.connected_at == UNSEEN:
        raise NotFoundError(f"agent {uid} has not reported to config-push yet; try again in a moment")
    if not agent.capabilities & domain.ACCEPTS_REMOTE_CONFIG:
        raise ConflictError(
            "the agent does not accept remote configuration (capability AcceptsRemoteConfig). Run its collector under"
            " opampsupervisor with `capabilities.accepts_remote_config: true`; the plain opampextension cannot do it",
            capability="AcceptsRemoteConfig",
        )
    previous = (await push.store.latest([uid])).get(uid)
    if expected is not None and not domain.is_assigned(previous, expected):
        raise _changed(previous)
    files = domain.config_map(config)
    content_hash = domain.hash_of(files)
    config_hash = content_hash
    has_it = agent.reported_hash == content_hash
    if has_it and (agent.reported_status != "applied" or agent.is_crashed):
        # Equal hash means "has it" to the agent: to have it tried again it needs another one (item 89).
        config_hash, has_it = domain.hash_of(files, delivery_id.bytes), False
    delivery = Delivery(
        delivery_id=delivery_id,
        instance_uid=uid,
        gateway_id=gateway_id,
        content_hash=content_hash,
        config_hash=config_hash,
        state="applied" if has_it else "pending",
        created_at=now,
        created_by=actor,
        updated_at=now,
        traceparent=tracing.traceparent(),
    )
    effects: list[Effect] = []
    if previous is not None and previous.state not in domain.DONE:
        superseded = replace(previous, state="superseded", updated_at=now)
        await push.store.save_deliveries([superseded])
        effects.append(domain.fact_of(superseded, previous.state))
    await push.store.add_config(content_hash, config, now, actor)
    await push.store.add_delivery(delivery)
    if has_it:
        effects += [Desired(str(uid), "config", None), domain.fact_of(delivery, "")]
    else:
        await _offer(push, files, config_hash)
        effects += domain.begin(delivery)
    return delivery, effects


async def get_agent_config(
    push: ConfigPush, request: rpc.GetAgentConfigRequest, now: datetime
) -> rpc.GetAgentConfigResponse:
    """What an agent runs with and what it should run with."""
    uid = _uuid(request.instance_id, "agent")
    row = await push.store.effective(uid)
    if row is None:
        raise NotFoundError(f"agent {uid} has not reported a configuration")
    delivery = (await push.store.latest([uid])).get(uid)
    effective = opamp_pb2.EffectiveConfig.FromString(row["effective"] or b"")
    return rpc.GetAgentConfigResponse(
        effective=[
            rpc.ConfigFile(name=name, body=one.body, content_type=one.content_type)
            for name, one in sorted(effective.config_map.config_map.items())
        ],
        effective_hash=(row["effective_hash"] or b"").hex(),
        effective_at=timestamp(row["effective_at"]),
        assigned_hash=delivery.config_hash.hex() if delivery else "",
        assigned_config=row["assigned_config"] or "",
        delivery=_answer(delivery) if delivery else None,
        reported_hash=row["reported_hash"].hex(),
        reported_status=row["reported_status"],
        reported_error=row["reported_error"],
    )


async def list_deliveries(
    push: ConfigPush, request: rpc.ListDeliveriesRequest, now: datetime
) -> rpc.ListDeliveriesResponse:
    """The latest delivery of each agent, or all of one."""
    if request.history_of:
        history = await push.store.history(_uuid(request.history_of, "agent"), min(request.limit or 50, 200))
        return rpc.ListDeliveriesResponse(deliveries=[_answer(one) for one in history])
    latest = await push.store.latest([_uuid(text, "agent") for text in request.instance_ids])
    return rpc.ListDeliveriesResponse(deliveries=[_answer(one) for one in latest.values()])


async def get_delivery(push: ConfigPush, request: rpc.GetDeliveryRequest, now: datetime) -> rpc.GetDeliveryResponse:
    """One delivery, with what it delivers."""
    delivery = await push.store.delivery(_uuid(request.delivery_id, "delivery"))
    if delivery is None:
        raise NotFoundError(f"there is no delivery {request.delivery_id}")
    config = await push.store.config_body(delivery.content_hash)
    return rpc.GetDeliveryResponse(delivery=_answer(delivery), config=config or "")


async def capabilities_changed(
    push: ConfigPush, fact: agent_facts.AgentCapabilitiesChanged, now: datetime
) -> Sequence[Effect]:
    """The agent can do other things than before."""
    await push.store.set_capabilities(UUID(fact.instance_uid), fact.capabilities)
    return []


async def registered(push: ConfigPush, fact: agent_facts.AgentRegistered, now: datetime) -> Sequence[Effect]:
    """Remember the gateway, so that facts can name it. A registry that lost it is told again how far its configuration
    got."""
    uid, gateway_id = UUID(fact.instance_uid), UUID(fact.gateway_id)
    before = await push.store.set_gateway(uid, gateway_id)
    if before in (None, gateway_id):
        return []
    known = (await push.store.latest([uid])).get(uid)
    return [domain.fact_of(known, known.state)] if known else []


async def reidentified(push: ConfigPush, fact: agent_facts.AgentReidentified, now: datetime) -> Sequence[Effect]:
    """What was assigned goes with the gateway to its new instance_uid."""
    delivery = await push.store.rename(UUID(fact.previous_instance_uid), UUID(fact.instance_uid))
    await push.store.set_gateway(UUID(fact.instance_uid), UUID(fact.gateway_id))
    effects: list[Effect] = [Desired(fact.previous_instance_uid, "config", None)]
    if delivery is not None and delivery.state not in domain.DONE:
        effects += domain.begin(delivery)[:1]
    return effects


async def gateway_removed(push: ConfigPush, fact: agent_facts.GatewayRemoved, now: datetime) -> Sequence[Effect]:
    """A deleted gateway's deliveries go with it; an archived one comes back to them."""
    if fact.reason != "deleted":
        return []
    await push.store.forget(UUID(fact.instance_uid))
    return [Desired(fact.instance_uid, "config", None)]


def _changed(delivery: Delivery | None) -> ChangedError:
    if delivery is None:
        return ChangedError("the agent has no assigned configuration any more; look at it before you send another one")
    return ChangedError(
        f"{delivery.created_by or 'somebody'} has assigned another configuration meanwhile; look at it before you"
        " replace it",
        config_hash=delivery.config_hash.hex(),
        created_at=delivery.created_at.isoformat(),
        created_by=delivery.created_by,
    )


def _answer(delivery: Delivery) -> rpc.Delivery:
    return rpc.Delivery(
        delivery_id=str(delivery.delivery_id),
        instance_id=str(delivery.instance_uid),
        config_hash=delivery.config_hash.hex(),
        state=domain.STATES[delivery.state],
        error=delivery.error,
        created_at=timestamp(delivery.created_at),
        updated_at=timestamp(delivery.updated_at),
        created_by=delivery.created_by,
    )


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"there is no {what} {text!r}") from None
