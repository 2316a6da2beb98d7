"""Enrollment tokens: who may come into the fleet, and the orders on tokens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from agent_registry import domain, enrollment
from agent_registry.enrollment import Admission, EnrollmentToken
from agent_registry.registry import Registry
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.rpc.v1 import enrollment_pb2 as rpc
from flowkit import opamp, tokens
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect, KvPut
from flowkit.rpc import Reply
from flowkit.uplink import Report

MAX_NAME = 100  # characters
MAX_LABELS = 64


async def admission(registry: Registry, strangers: Sequence[Report]) -> Admission:
    """What decides on agents that nobody knows: their tokens, locked, so that each use counts once over all replicas.

    Costs nothing when there are none, as in nearly all batches.
    """
    if not strangers:
        return Admission([], [])
    named = {one.entry.credential_id for one in strangers} - enrollment.UNLIMITED
    token_ids = [token_id for token_id in map(_uuid, named) if token_id is not None]
    held = await registry.enrollment.locked(token_ids) if token_ids else []
    return Admission(held, await registry.enrollment.refused(list({one.uid for one in strangers})))


async def standing(registry: Registry) -> Sequence[KvPut]:
    """What opens the agent plane to live tokens: see `flowkit.standing`."""
    return [enrollment.credential(one) for one in await registry.enrollment.live()]


async def remember(registry: Registry, decided: Admission) -> None:
    """Store what was decided."""
    if decided.used:
        await registry.enrollment.save_uses(list(decided.used.values()))
    if decided.refused:
        await registry.enrollment.refuse(decided.refused)
    if decided.forgiven:
        await registry.enrollment.forgive(list(decided.forgiven))


async def patience(registry: Registry, report: Report) -> timedelta:
    """How long a refused agent stays refused: not long, when it may be a known extension that has just reloaded."""
    mode = opamp.management_mode(report.message.capabilities)
    if mode == facts.MANAGEMENT_MODE_EXTENSION and report.entry.fields & domain.DESCRIPTION:
        key = domain.identity_key(domain.described(report))
        if key is not None and await registry.store.has_connected_extension(key):
            return enrollment.SHORT_REFUSAL
    return enrollment.REFUSAL


async def create_token(registry: Registry, request: rpc.CreateEnrollmentTokenRequest, now: datetime) -> Reply:
    """Make a token; its secret is in the answer and nowhere else.

    Raises:
        InvalidError: no name or one that is too long, too many labels, or a time that is over.
        ConflictError: a live token has the name.
    """
    name = request.name.strip()
    if not name or len(name) > MAX_NAME:
        raise InvalidError(f"the name of a token has 1 to {MAX_NAME} characters")
    if len(request.labels) > MAX_LABELS:
        raise InvalidError(f"{len(request.labels)} labels; a gateway has at most {MAX_LABELS}")
    expires_at = opamp.moment(request.expires_at) if request.HasField("expires_at") else None
    if expires_at is not None and expires_at <= now:
        raise InvalidError("expires_at is over already")
    secret = tokens.mint(tokens.ENROLLMENT)
    token = EnrollmentToken(
        token_id=uuid4(),
        name=name,
        sha256=tokens.digest(secret),
        max_uses=request.max_uses,
        created_at=now,
        created_by=request.actor,
        labels=dict(request.labels),
        expires_at=expires_at,
    )
    if not await registry.enrollment.add(token):
        raise ConflictError(f"there is a token {name!r} already; revoke it first, or take another name")
    answer = rpc.CreateEnrollmentTokenResponse(enrollment_token=_answer(token), secret=secret)
    return Reply(answer, [enrollment.credential(token)])


async def list_tokens(
    registry: Registry, request: rpc.ListEnrollmentTokensRequest, now: datetime
) -> rpc.ListEnrollmentTokensResponse:
    """Every token, newest first."""
    return rpc.ListEnrollmentTokensResponse(enrollment_tokens=[_answer(one) for one in await registry.enrollment.all()])


async def revoke_token(registry: Registry, request: rpc.RevokeEnrollmentTokenRequest, now: datetime) -> Reply:
    """Revoke a token: connections made with it are closed, new ones are not let in. Again is harmless.

    Raises:
        NotFoundError: there is no such token.
    """
    token_id = _uuid(request.token_id)
    found = await registry.enrollment.locked([token_id]) if token_id is not None else []
    if not found:
        raise NotFoundError(f"there is no enrollment token {request.token_id!r}")
    token = found[0]
    if token.revoked_at is None:
        token = replace(token, is_live=False, revoked_at=now)
        await registry.enrollment.revoke(token.token_id, now)
    answer = rpc.RevokeEnrollmentTokenResponse(enrollment_token=_answer(token))
    return Reply(answer, [enrollment.credential(token)])


async def sweep_enrollment(registry: Registry, now: datetime) -> Sequence[Effect]:
    """End tokens and refusals whose time is over. What other owners kept of a refused agent goes with the refusal."""
    effects: list[Effect] = [enrollment.credential(one) for one in await registry.enrollment.end_expired(now)]
    over = await registry.enrollment.end_refusals(now)
    strangers = set(await registry.store.unknown(over)) if over else set()
    for instance_uid in over:
        effects.append(Desired(str(instance_uid), "refusal", None))
        if instance_uid in strangers:
            fact = facts.GatewayRemoved(instance_uid=str(instance_uid), occurred_at=timestamp(now), reason="deleted")
            effects.append(fact)
    return effects


def _answer(token: EnrollmentToken) -> rpc.EnrollmentToken:
    return rpc.EnrollmentToken(
        token_id=str(token.token_id),
        name=token.name,
        labels=token.labels,
        max_uses=token.max_uses,
        uses=token.uses,
        created_at=timestamp(token.created_at),
        created_by=token.created_by,
        expires_at=timestamp(token.expires_at),
        revoked_at=timestamp(token.revoked_at),
        last_used_at=timestamp(token.last_used_at),
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
