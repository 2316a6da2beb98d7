"""Enrollment tokens on a real PostgreSQL: who may come into the fleet, once each over all replicas."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from nats.js.errors import NoKeysError

from agent_registry import app, enrollment_handlers, handlers
from agent_registry.presence import Presence
from agent_registry.registry import Registry
from agent_registry.settings import Settings
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.rpc.v1 import agent_registry_pb2, enrollment_pb2
from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit import contracts, db, outbox, tasks, tokens
from flowkit import standing as standings
from flowkit.db import Connection
from flowkit.errors import ConflictError, InvalidError, NotFoundError
from flowkit.opamp import timestamp
from flowkit.outbox import Desired, Effect, KvPut
from flowkit.testing import (
    EXTENSION,
    SUPERVISOR,
    connected_bus,
    eventually,
    make_description,
    make_report,
    rolled_back,
)
from opamp.v1 import opamp_pb2

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PRESENCE = Presence(NOW - timedelta(hours=1))


@pytest.fixture
async def registry(database_url: Callable[[str], str]) -> AsyncIterator[Registry]:
    async with rolled_back(database_url("agent_registry")) as connection:
        yield Registry.on(connection, PRESENCE, Settings())


async def create(registry: Registry, **changes: object) -> tuple[enrollment_pb2.CreateEnrollmentTokenResponse, KvPut]:
    request = enrollment_pb2.CreateEnrollmentTokenRequest(**{"name": "plant", "actor": "admin", **changes})  # type: ignore[arg-type]
    reply = await enrollment_handlers.create_token(registry, request, NOW)
    assert isinstance(reply.response, enrollment_pb2.CreateEnrollmentTokenResponse)
    (credential,) = reply.effects
    assert isinstance(credential, KvPut)
    return reply.response, credential


async def come(
    registry: Registry, *numbers: int, token: str, at: datetime = NOW, capabilities: int = SUPERVISOR, host: str = ""
) -> Sequence[Effect]:
    """One batch of first reports, one for each number."""
    reports = [
        make_report(
            UUID(int=number),
            opamp_pb2.AgentToServer(
                capabilities=capabilities,
                agent_description=make_description(service__name="otelcol", host__name=host or f"host-{number}"),
            ),
            at=at,
            credential_id=token,
        )
        for number in numbers
    ]
    return await handlers.agents_reported(registry, reports, at)


async def token_of(registry: Registry, token_id: str) -> enrollment_pb2.EnrollmentToken:
    answer = await enrollment_handlers.list_tokens(registry, enrollment_pb2.ListEnrollmentTokensRequest(), NOW)
    return next(one for one in answer.enrollment_tokens if one.token_id == token_id)


async def fleet(registry: Registry) -> dict[str, dict[str, str]]:
    """Labels by instance_id."""
    answer = await handlers.list_gateways(registry, agent_registry_pb2.ListGatewaysRequest(), NOW)
    return {one.instance_id: dict(one.labels) for one in answer.gateways}


def refusals(effects: Sequence[Effect]) -> dict[str, str]:
    """Reason by agent; empty for the end of a refusal."""
    wishes = [one for one in effects if isinstance(one, Desired) and one.facet == "refusal"]
    return {one.instance_uid: one.state.refusal.reason if one.state else "" for one in wishes}


async def test_only_the_hash_of_a_token_is_kept(registry: Registry) -> None:
    """The secret is in the answer; the ingress gets the hash and the expiry."""
    expiry = NOW + timedelta(hours=1)
    made, credential = await create(registry, labels={"site": "b"}, max_uses=3, expires_at=timestamp(expiry))
    assert made.secret.startswith(tokens.ENROLLMENT)
    entry = desired_pb2.Credential.FromString(credential.payload or b"")
    assert (credential.bucket, credential.key) == (contracts.AGENT_CREDENTIALS, made.enrollment_token.token_id)
    assert entry.sha256 == tokens.digest(made.secret)
    assert entry.expires_at_unix_nano == int(expiry.timestamp() * 1e9)
    assert made.secret.encode() not in (credential.payload or b"") + made.enrollment_token.SerializeToString()
    listed = await token_of(registry, made.enrollment_token.token_id)
    assert listed == made.enrollment_token
    assert (dict(listed.labels), listed.max_uses, listed.uses, listed.created_by) == ({"site": "b"}, 3, 0, "admin")


@pytest.mark.parametrize(
    "changes",
    [{"name": " "}, {"name": "x" * 101}, {"expires_at": timestamp(NOW)}, {"labels": {str(n): "" for n in range(65)}}],
    ids=["no name", "long name", "over", "labels"],
)
async def test_a_token_that_makes_no_sense_is_refused(registry: Registry, changes: dict[str, object]) -> None:
    """With why."""
    with pytest.raises(InvalidError):
        await create(registry, **changes)


async def test_a_name_is_free_again_after_its_token(registry: Registry) -> None:
    """One live token has it at a time."""
    made, _ = await create(registry)
    with pytest.raises(ConflictError, match="'plant'"):
        await create(registry)
    revoke = enrollment_pb2.RevokeEnrollmentTokenRequest(token_id=made.enrollment_token.token_id)
    for _ in range(2):  # again is harmless
        reply = await enrollment_handlers.revoke_token(registry, revoke, NOW)
        assert reply.effects == [KvPut(contracts.AGENT_CREDENTIALS, made.enrollment_token.token_id, None)]
    assert (await token_of(registry, made.enrollment_token.token_id)).HasField("revoked_at")
    again, _ = await create(registry)
    assert again.enrollment_token.token_id != made.enrollment_token.token_id


@pytest.mark.parametrize("token_id", ["nonsense", str(uuid4())])
async def test_an_unknown_token_is_not_revoked(registry: Registry, token_id: str) -> None:
    """404."""
    with pytest.raises(NotFoundError):
        await enrollment_handlers.revoke_token(
            registry, enrollment_pb2.RevokeEnrollmentTokenRequest(token_id=token_id), NOW
        )


async def test_an_agent_gets_the_labels_of_its_token(registry: Registry) -> None:
    """Those that come with it first; each counts once, however often it reports."""
    made, _ = await create(registry, labels={"site": "b"})
    token_id = made.enrollment_token.token_id
    effects = await come(registry, 1, 2, 1, token=token_id)
    registered = [one for one in effects if isinstance(one, facts.AgentRegistered)]
    assert [(dict(one.labels), one.enrollment_token_id) for one in registered] == [({"site": "b"}, token_id)] * 2
    await come(registry, 1, token=token_id, at=NOW + timedelta(seconds=1))
    assert await fleet(registry) == {str(UUID(int=n)): {"site": "b"} for n in (1, 2)}
    listed = await handlers.list_gateways(registry, agent_registry_pb2.ListGatewaysRequest(), NOW)
    assert {one.enrollment_token_id for one in listed.gateways} == {token_id}
    token = await token_of(registry, token_id)
    assert (token.uses, token.last_used_at) == (2, timestamp(NOW))


async def test_an_agent_that_is_known_keeps_its_labels(registry: Registry) -> None:
    """A token is for those that nobody knows: it neither counts nor labels others."""
    (registered, *_) = await come(registry, 1, token="bootstrap")
    assert isinstance(registered, facts.AgentRegistered) and registered.enrollment_token_id == ""
    made, _ = await create(registry, labels={"site": "b"}, max_uses=1)
    assert refusals(await come(registry, 1, token=made.enrollment_token.token_id)) == {}
    assert await fleet(registry) == {str(UUID(int=1)): {}}
    assert (await token_of(registry, made.enrollment_token.token_id)).uses == 0


async def test_a_used_up_token_lets_nobody_else_in(registry: Registry) -> None:
    """The second agent is told why, and nothing of it is stored; the first one goes on."""
    made, _ = await create(registry, max_uses=1)
    token_id = made.enrollment_token.token_id
    effects = await come(registry, 1, 2, token=token_id)
    assert "used up: it is good for 1 agent" in refusals(effects)[str(UUID(int=2))]
    (wish,) = [one for one in effects if isinstance(one, Desired) and one.facet == "refusal"]
    assert wish.state is not None and wish.state.id == token_id
    assert wish.state.expires_at_unix_nano == int((NOW + timedelta(hours=1)).timestamp() * 1e9)
    assert list(await fleet(registry)) == [str(UUID(int=1))]
    assert refusals(await come(registry, 1, token=token_id, at=NOW + timedelta(seconds=1))) == {}
    assert (await token_of(registry, token_id)).uses == 1


@pytest.mark.parametrize("kind", ["revoked", "expired", "unknown", "no uuid"])
async def test_a_token_that_is_not_good_lets_nobody_in(registry: Registry, kind: str) -> None:
    """Also when the report was on its way when the token ended."""
    made, _ = await create(registry, expires_at=timestamp(NOW + timedelta(hours=1)))
    token_id = made.enrollment_token.token_id
    at = NOW
    if kind == "revoked":
        revoke = enrollment_pb2.RevokeEnrollmentTokenRequest(token_id=token_id)
        await enrollment_handlers.revoke_token(registry, revoke, NOW)
    elif kind == "expired":
        at = NOW + timedelta(hours=1)
    else:
        token_id = str(uuid4()) if kind == "unknown" else "x"
    effects = await come(registry, 1, token=token_id, at=at)
    assert list(refusals(effects)) == [str(UUID(int=1))] and len(effects) == 1
    assert await fleet(registry) == {}


async def test_a_refused_agent_with_a_good_token_is_welcome(registry: Registry) -> None:
    """Its refusal is removed before anything else is said of it."""
    await come(registry, 1, token="x")
    made, _ = await create(registry)
    effects = await come(registry, 1, token=made.enrollment_token.token_id)
    assert effects[0] == Desired(str(UUID(int=1)), "refusal", None)
    assert list(await fleet(registry)) == [str(UUID(int=1))]
    assert await enrollment_handlers.sweep_enrollment(registry, NOW + timedelta(hours=2)) == []


async def test_an_extension_that_reloads_is_not_kept_out_for_long(registry: Registry) -> None:
    """Its former connection's end may be handled after its first report under another uid: then it tries again."""
    made, _ = await create(registry, max_uses=1)
    token = made.enrollment_token.token_id
    await come(registry, 1, token=token, capabilities=EXTENSION, host="a")
    effects = await come(registry, 2, token=token, capabilities=EXTENSION, host="a")
    (wish,) = [one for one in effects if isinstance(one, Desired)]
    assert wish.state is not None
    assert wish.state.expires_at_unix_nano == int((NOW + timedelta(seconds=10)).timestamp() * 1e9)
    gone = make_report(
        UUID(int=1), opamp_pb2.AgentToServer(), kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, at=NOW, credential_id=token
    )
    await handlers.agents_reported(registry, [gone], NOW)
    again = await come(registry, 2, token=token, capabilities=EXTENSION, host="a", at=NOW + timedelta(seconds=11))
    assert again[0] == Desired(str(UUID(int=2)), "refusal", None)
    assert isinstance(again[1], facts.AgentReidentified)
    assert await enrollment_handlers.sweep_enrollment(registry, NOW + timedelta(hours=2)) == []


async def test_what_is_over_is_removed(registry: Registry) -> None:
    """Expired tokens leave the ingress, refusals their agents, and what other owners kept of these goes."""
    made, _ = await create(registry, expires_at=timestamp(NOW + timedelta(minutes=5)))
    await come(registry, 1, token="x")
    assert await enrollment_handlers.sweep_enrollment(registry, NOW) == []
    (credential,) = await enrollment_handlers.sweep_enrollment(registry, NOW + timedelta(minutes=5))
    assert credential == KvPut(contracts.AGENT_CREDENTIALS, made.enrollment_token.token_id, None)
    welcome, removed = await enrollment_handlers.sweep_enrollment(registry, NOW + timedelta(hours=1))
    assert welcome == Desired(str(UUID(int=1)), "refusal", None)
    assert isinstance(removed, facts.GatewayRemoved) and removed.instance_uid == str(UUID(int=1))
    await create(registry)  # the name of an expired one is free


async def test_two_replicas_count_each_agent_once(fresh_database_url: Callable[[str], str]) -> None:
    """Batches of several shards at the same time, with one token for half of the agents: no more get in."""
    database = await db.connect(fresh_database_url("agent_registry"), 8)
    try:
        async with database.transaction() as connection:
            made, _ = await create(Registry.on(connection, PRESENCE, Settings()), max_uses=40)
        token_id = made.enrollment_token.token_id

        async def shard(number: int) -> int:
            taken = 0
            for first in range(number * 10, number * 10 + 10, 2):
                async with database.transaction() as connection:
                    registry = Registry.on(connection, PRESENCE, Settings())
                    effects = await come(registry, first + 1, first + 2, token=token_id)
                taken += sum(isinstance(one, facts.AgentRegistered) for one in effects)
            return taken

        assert sum(await asyncio.gather(*map(shard, range(8)))) == 40
        async with database.transaction() as connection:
            registry = Registry.on(connection, PRESENCE, Settings())
            assert ((await token_of(registry, token_id)).uses, len(await fleet(registry))) == (40, 40)
    finally:
        await database.close()


async def test_the_bucket_follows_the_database_after_a_loss(
    fresh_database_url: Callable[[str], str], fresh_nats_url: str
) -> None:
    """A live token that the bucket lacks is put, an entry without a live token is removed; then nothing is to do."""
    database = await db.connect(fresh_database_url("agent_registry"), 2)
    async with connected_bus(fresh_nats_url) as bus:
        relay = outbox.Relay(database, bus)
        relaying = asyncio.ensure_future(relay.run())
        standing = next(one for one in app.routes(Settings()).standing if one.bucket == contracts.AGENT_CREDENTIALS)

        async def put_right() -> None:
            def on(connection: Connection) -> Registry:
                return Registry.on(connection, PRESENCE, Settings())

            await standings.put_right(bus, database, relay, "agent-registry", on, standing)

        try:
            async with database.transaction() as connection:
                made, _ = await create(Registry.on(connection, PRESENCE, Settings()))  # its entry is lost
            bucket = await bus.kv(contracts.AGENT_CREDENTIALS)
            await bucket.put("stale", b"x")
            await put_right()

            async def keys() -> list[str]:
                try:
                    return await bucket.keys()
                except NoKeysError:
                    return []

            async def waiting() -> int:
                async with database.transaction() as connection:
                    return int(await connection.fetchval("SELECT count(*) FROM outbox"))

            await eventually(keys, until=lambda found: found == [made.enrollment_token.token_id])
            await eventually(waiting, until=lambda count: count == 0)
            await tasks.cancel(relaying)
            await put_right()
            assert await waiting() == 0
        finally:
            await tasks.cancel(relaying)
            await database.close()
