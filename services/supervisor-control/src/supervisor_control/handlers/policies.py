"""Policies, and the offers of connection settings that follow from them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from flowgate.rpc.v1 import policies_pb2 as rpc
from flowkit.errors import ConflictError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect
from flowkit.rpc import Reply
from supervisor_control.domain import policies as domain
from supervisor_control.domain.policies import Policy
from supervisor_control.domain.supervisors import Supervisor
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings

UNLABELLED = timedelta(seconds=60)  # time that the registry has to tell an agent's labels before it is offered anything


class Settler:
    """Tells what agents should have. As policies see them a fleet has few kinds of agents; each is looked at once."""

    def __init__(self, policies: Iterable[Policy], settings: Settings) -> None:
        self._ordered = domain.in_order(policies)
        self._settings = settings
        self._keys = sorted({key for one in self._ordered for key in one.selector})
        self._said: dict[tuple[str | None, ...], Policy] = {}
        self._wanted: dict[tuple[object, ...], domain.Connection | None] = {}

    def wanted(self, supervisor: Supervisor) -> domain.Connection | None:
        """The settings that an agent should have."""
        labels = supervisor.labels or {}
        place = tuple(labels.get(key) for key in self._keys)
        kind = (place, supervisor.capabilities, domain.has_heartbeat(supervisor))
        if kind not in self._wanted:
            if place not in self._said:
                self._said[place] = domain.resolve(self._ordered, labels)
            urls = self._settings.telemetry_url, self._settings.traces_url
            self._wanted[kind] = domain.wanted(supervisor, self._said[place], *urls)
        return self._wanted[kind]


async def converge(control: Control, supervisors: Sequence[Supervisor]) -> list[Effect]:
    """Bring agents to the settings that they should have, policies being held. Those whose labels or enrollment token
    are not known yet wait: another offer later would restart their collectors twice."""
    known = [one for one in supervisors if one.labels is not None and one.credential_id]
    if not known:
        return []
    settler = Settler(await control.policies.all(), control.settings)
    return [wish for one in known for wish in domain.converge(one, settler.wanted(one))]


async def standing(control: Control) -> Sequence[Desired]:
    """Offers that agents should be waiting for: see `flowkit.standing`."""
    return [domain.wish(one) for one in await control.policies.waiting()]


async def list_policies(control: Control, request: rpc.ListPoliciesRequest, now: datetime) -> rpc.ListPoliciesResponse:
    """All policies, the default one first."""
    policies = sorted(await control.policies.all(), key=lambda one: (one.name != domain.DEFAULT, one.name))
    return rpc.ListPoliciesResponse(policies=[_answer(one) for one in policies])


async def put_policy(control: Control, request: rpc.PutPolicyRequest, now: datetime) -> Reply:
    """Make or change a policy, or tell what that would do.

    Raises:
        InvalidError: it makes no sense.
    """
    given = request.policy
    policy = Policy(
        name=given.name,
        selector=dict(given.selector),
        own_logs=given.own_logs if given.HasField("own_logs") else None,
        own_metrics=given.own_metrics if given.HasField("own_metrics") else None,
        own_traces=given.own_traces if given.HasField("own_traces") else None,
        heartbeat_interval_seconds=(
            given.heartbeat_interval_seconds if given.HasField("heartbeat_interval_seconds") else None
        ),
        updated_at=now,
        updated_by=request.actor,
    )
    domain.check(policy)
    await (control.policies.hold() if request.dry_run else control.policies.hold_alone())
    others = [one for one in await control.policies.all() if one.name != policy.name]
    if not request.dry_run:
        await control.policies.put(policy)
    effect, wishes = await _apply(control, [*others, policy], policy, dry_run=request.dry_run)
    return Reply(rpc.PutPolicyResponse(policy=_answer(policy), effect=effect), wishes)


async def delete_policy(control: Control, request: rpc.DeletePolicyRequest, now: datetime) -> Reply:
    """Remove a policy, or tell what that would do.

    Raises:
        NotFoundError: there is none of that name.
        ConflictError: the default one stays.
    """
    await (control.policies.hold() if request.dry_run else control.policies.hold_alone())
    policies = {one.name: one for one in await control.policies.all()}
    policy = policies.pop(request.name, None)
    if policy is None:
        raise NotFoundError(f"there is no policy {request.name!r}")
    if policy.name == domain.DEFAULT:
        raise ConflictError("the default policy stays; change what it says")
    if not request.dry_run:
        await control.policies.delete(policy.name)
    effect, wishes = await _apply(control, policies.values(), policy, dry_run=request.dry_run)
    return Reply(rpc.DeletePolicyResponse(effect=effect), wishes)


async def offer_what_is_due(control: Control, now: datetime) -> Sequence[Effect]:
    """Compare all agents with what the policies say. Reports and facts lead to the same at once; this is for what
    changes without them, such as the setting `telemetry_url`."""
    await control.policies.hold()
    await control.policies.label_the_unlabelled(now - UNLABELLED)
    _, wishes = await _apply(control, await control.policies.all(), None, dry_run=False)
    return wishes


async def _apply(
    control: Control, policies: Iterable[Policy], changed: Policy | None, *, dry_run: bool
) -> tuple[rpc.PolicyEffect, list[Effect]]:
    settler = Settler(policies, control.settings)
    told = rpc.PolicyEffect(matching=await control.policies.count_matching(changed.selector) if changed else 0)
    wishes: list[Effect] = []
    async for page in control.policies.offerable():
        due = []
        for one in page:
            settings = settler.wanted(one)
            if domain.is_settled(one, settings):
                continue
            due.append(one.instance_uid)
            if settings is not None and settings.digest(one.instance_uid, one.credential_id) != one.connection_hash:
                told.offers += 1
                told.restarts += domain.restarts(one, settings)
        if due and not dry_run:
            supervisors = await control.policies.lock(due)
            wishes += [wish for one in supervisors for wish in domain.converge(one, settler.wanted(one))]
            await control.store.save_connections(supervisors)
    return told, wishes


def _answer(policy: Policy) -> rpc.Policy:
    return rpc.Policy(
        name=policy.name,
        selector=policy.selector,
        own_logs=policy.own_logs,
        own_metrics=policy.own_metrics,
        own_traces=policy.own_traces,
        heartbeat_interval_seconds=policy.heartbeat_interval_seconds,
        updated_at=timestamp(policy.updated_at),
        updated_by=policy.updated_by,
    )
