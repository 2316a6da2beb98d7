"""The frame on a real nats-server and a real PostgreSQL: uplink, outbox, rpc, followers, jobs."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.js.errors import KeyNotFoundError
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from flowgate.agent.v1 import events_pb2 as facts
from flowgate.rpc.v1 import agent_registry_pb2 as rpc
from flowgate.supervisor.v1 import events_pb2 as supervisor_facts
from flowgate.uplink.v1 import dead_letters_pb2, desired_pb2, uplink_pb2
from flowkit import contracts, opamp
from flowkit.bus import Bus, Outgoing
from flowkit.db import Connection
from flowkit.errors import ConflictError, FlowGateError, InvalidError, NotFoundError, UnavailableError
from flowkit.metrics import OUTCOMES, FactCounter
from flowkit.outbox import Desired, Effect, KvPut
from flowkit.owner import Routes, serve
from flowkit.rpc import Reply, RpcClient
from flowkit.service import Running
from flowkit.settings import OwnerSettings
from flowkit.shards import reading_position
from flowkit.testing import connected_bus, eventually, make_report
from flowkit.uplink import Report
from opamp.v1 import opamp_pb2

HEALTH = opamp.field_bit("health")


class Notes:
    """A store for these tests: it keeps what the handlers saw, in the tables that agent-registry has anyway."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def note(self, text: str) -> None:
        await self.connection.execute(
            "INSERT INTO available_components (hash, components) VALUES (gen_random_uuid()::text::bytea, $1)",
            text.encode(),
        )


POISONS: dict[str, Exception] = {
    "poison": ValueError("poison"),
    "surprise": AttributeError("surprise"),  # nobody has thought of it
}


async def reported(notes: Notes, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
    """Notes every report; some fail as bad data does, and a fact tells of each."""
    effects: list[Effect] = []
    for report in reports:
        text = report.message.health.last_error
        if text in POISONS:
            raise POISONS[text]
        await notes.note(text)
        effects.append(facts.AgentHealthChanged(instance_uid=report.instance_uid, last_error=text))
    return effects


async def ask(notes: Notes, question: rpc.GetGatewayRequest, now: datetime) -> Reply:
    """Answers or fails as the id says."""
    errors: dict[str, Exception] = {
        "missing": NotFoundError("there is none"),
        "busy": ConflictError("not now", capability="X"),
        "wrong": InvalidError("no", errors=[{"message": "m", "line": 1}]),
        "broken": RuntimeError("secret"),
    }
    if question.id in errors:
        raise errors[question.id]
    await notes.connection.fetchval("SELECT $1::text", question.id)
    wish = desired_pb2.DesiredState(id=question.id)
    detail = rpc.GatewayDetail(agent_description=b"x" * (2 * 1024 * 1024 if question.id == "large" else 1))
    credential = KvPut(contracts.AGENT_CREDENTIALS, "token", None if question.id == "revoked" else b"live")
    return Reply(rpc.GetGatewayResponse(detail=detail), [Desired("uid", "config", wish), credential])


async def status_changed(notes: Notes, fact: supervisor_facts.SupervisorStatusChanged, now: datetime) -> list[Effect]:
    """Notes the fact; some fail."""
    if fact.last_error in POISONS:
        raise POISONS[fact.last_error]
    await notes.note(fact.last_error)
    return []


async def tick(notes: Notes, now: datetime) -> list[Effect]:
    """Notes that the job ran."""
    await notes.note("tick")
    return []


async def tock(notes: Notes, now: datetime) -> list[Effect]:
    """Notes that another job ran."""
    await notes.note("tock")
    return []


async def figures(notes: Notes, now: datetime) -> Iterable[Metric]:
    """How many notes there are."""
    number = await notes.connection.fetchval("SELECT count(*) FROM available_components")
    return [GaugeMetricFamily("flowgate_notes", "Notes", value=number)]


ROUTES: Routes[Notes] = Routes(
    reports=reported,
    wanted_fields=HEALTH,
    rpc={rpc.GetGatewayRequest: ask},
    events={supervisor_facts.SupervisorStatusChanged: status_changed},
    counters=[
        FactCounter(
            facts.AgentHealthChanged, "flowgate_seen", "Seen", {"text": lambda fact: fact.last_error}, {"text": "abc"}
        )
    ],
    figures=figures,
)


class Frame:
    """A running owner with what a test needs to talk to it."""

    def __init__(self, bus: Bus, database: str, service: Running) -> None:
        self.bus = bus
        self.database = database
        self.service = service

    async def figures(self) -> dict[str, float]:
        """What /metrics tells, by name and labels as the text has them."""
        _, page = await self.service.metrics.page()
        samples = (line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def notes(self) -> list[str]:
        connection = await asyncpg.connect(self.database)
        rows = await connection.fetch("SELECT components FROM available_components")
        await connection.close()
        return sorted(row["components"].decode() for row in rows)

    async def publish(self, *texts: str, message_id: str) -> None:
        """One batch in shard 0."""
        entries = [
            make_report(UUID(int=n), opamp_pb2.AgentToServer(health=opamp_pb2.ComponentHealth(last_error=text))).entry
            for n, text in enumerate(texts)
        ]
        batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=entries)
        await self.bus.publish(Outgoing(contracts.subject_of(batch), message_id, batch.SerializeToString(), {}))

    async def stored(self, stream: str) -> int:
        return int((await self.bus.jetstream.stream_info(stream)).state.messages)


@asynccontextmanager
async def running(nats_url: str, database: str, routes: Routes[Notes] = ROUTES) -> AsyncIterator[Frame]:
    settings = OwnerSettings(FLOWGATE_NATS_URL=nats_url, FLOWGATE_DATABASE_URL=database, FLOWGATE_UPLINK_SHARDS=2)  # type: ignore[call-arg]
    async with (
        serve("agent-registry", settings, lambda bus, connection: Notes(connection), routes) as service,
        connected_bus(nats_url) as bus,
    ):
        assert await service.ready() == {"nats": True, "postgresql": True}
        yield Frame(bus, database, service)


@pytest.fixture
async def frame(fresh_nats_url: str, fresh_database_url: Callable[[str], str]) -> AsyncIterator[Frame]:
    async with running(fresh_nats_url, fresh_database_url("agent_registry")) as one:
        yield one


async def test_a_batch_has_one_effect_however_often_it_is_sent(frame: Frame) -> None:
    """The same Nats-Msg-Id is stored once; another batch is another one."""
    await frame.publish("a", "b", message_id="1")
    await frame.publish("a", "b", message_id="1")
    await frame.publish("c", message_id="2")
    await eventually(frame.notes, until=lambda notes: notes == ["a", "b", "c"])
    await eventually(lambda: frame.stored("AGENT_EVENTS"), until=lambda many: many == 3)


async def test_a_batch_that_is_delivered_again_is_skipped(
    fresh_nats_url: str, fresh_database_url: Callable[[str], str]
) -> None:
    """The offset is in the transaction: a second owner that gets the same message does nothing."""
    database = fresh_database_url("agent_registry")
    async with running(fresh_nats_url, database) as frame:
        await frame.publish("a", message_id="1")
        await eventually(frame.notes, until=lambda notes: notes == ["a"])
        await frame.bus.jetstream.delete_consumer(contracts.UPLINK, "agent-registry-0")
        connection = await asyncpg.connect(database)
        offset = await connection.fetchval("SELECT stream_sequence FROM stream_offsets WHERE stream = 'UPLINK'")
        await connection.execute("UPDATE stream_offsets SET stream_sequence = 5 WHERE stream = 'UPLINK'")
        await connection.close()
    assert offset == 1
    async with running(fresh_nats_url, database) as frame:
        for number in range(2, 6):
            await frame.publish("skipped", message_id=str(number))
        await frame.publish("b", message_id="6")
        await eventually(frame.notes, until=lambda notes: notes == ["a", "b"])


@pytest.mark.parametrize("poison", POISONS)
async def test_an_entry_that_fails_is_put_aside_and_the_rest_is_handled(frame: Frame, poison: str) -> None:
    """DEAD_LETTERS holds the entry with its error; the shard goes on."""
    await frame.publish("a", poison, "b", message_id="1")
    await frame.publish("c", message_id="2")
    await eventually(frame.notes, until=lambda notes: notes == ["a", "b", "c"])
    await eventually(lambda: frame.stored("DEAD_LETTERS"), until=lambda many: many == 1)
    stored = await frame.bus.jetstream.get_last_msg("DEAD_LETTERS", "flowgate.dead-letters.v1.agent-registry")
    letter = dead_letters_pb2.DeadLetter.FromString(stored.data or b"")
    assert poison in letter.error and letter.entry.instance_uid == UUID(int=1).bytes


async def test_a_batch_that_a_broken_connection_failed_comes_again(
    fresh_nats_url: str, fresh_database_url: Callable[[str], str]
) -> None:
    """asyncpg does not always know what became of a connection, and says so in words of its own."""
    failures = [asyncpg.InternalClientError("cannot switch to state 15"), asyncpg.InterfaceError("closed")]

    async def cut(notes: Notes, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
        if failures:
            raise failures.pop()
        return await reported(notes, reports, now)

    routes = replace(ROUTES, reports=cut)
    async with running(fresh_nats_url, fresh_database_url("agent_registry"), routes) as frame:
        await frame.publish("a", message_id="1")
        await eventually(frame.notes, until=lambda notes: notes == ["a"])
        assert not any(one.done() for one in frame.service.work)
        assert await frame.stored("DEAD_LETTERS") == 0


async def test_a_report_without_wanted_fields_costs_nothing(frame: Frame) -> None:
    """Acknowledged without a transaction: interest retention lets the stream run empty."""
    entry = make_report(UUID(int=1), opamp_pb2.AgentToServer(sequence_num=4)).entry
    batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=[entry])
    for other in ("config-push-0", "supervisor-control-0"):
        await frame.bus.jetstream.delete_consumer(contracts.UPLINK, other)
    await frame.bus.publish(Outgoing(contracts.subject_of(batch), "1", batch.SerializeToString(), {}))
    await eventually(lambda: frame.stored(contracts.UPLINK), until=lambda many: many == 0)
    assert await frame.notes() == []


async def test_a_large_body_comes_through_the_object_store(frame: Frame) -> None:
    """The entry names it."""
    message = opamp_pb2.AgentToServer(health=opamp_pb2.ComponentHealth(last_error="large"))
    await frame.bus.put_body(contracts.UPLINK_BODIES, "body-1", message.SerializeToString())
    entry = make_report(UUID(int=1)).entry
    entry.ClearField("agent_to_server")
    entry.fields, entry.body_object = HEALTH, "body-1"
    batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=[entry])
    await frame.bus.publish(Outgoing(contracts.subject_of(batch), "1", batch.SerializeToString(), {}))
    await eventually(frame.notes, until=lambda notes: notes == ["large"])


async def test_a_report_whose_body_is_lost_says_nothing(
    fresh_nats_url: str, fresh_database_url: Callable[[str], str]
) -> None:
    """It is no report of emptiness: who wants to know of connections sees that something was lost, others nothing."""
    lost: list[tuple[bool, bool]] = []

    async def noted(notes: Notes, reports: Sequence[Report], now: datetime) -> Sequence[Effect]:
        lost.extend((one.is_lost, one.has(HEALTH)) for one in reports)
        return []

    entry = make_report(UUID(int=1)).entry
    entry.fields, entry.body_object = HEALTH, "nowhere"
    other = make_report(UUID(int=2), opamp_pb2.AgentToServer(health={})).entry
    batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=[entry, other])
    for number, (wants_connections, expected) in enumerate(
        [(True, [(True, False), (False, True)]), (False, [(False, True)])]
    ):
        routes = replace(ROUTES, reports=noted, wants_connections=wants_connections)
        async with running(fresh_nats_url, fresh_database_url("agent_registry"), routes) as frame:
            lost.clear()
            await frame.bus.publish(Outgoing(contracts.subject_of(batch), f"{number}", batch.SerializeToString(), {}))
            await eventually(lambda expected=expected: lost == expected)


async def test_a_large_report_that_fails_is_put_aside_by_its_name(frame: Frame) -> None:
    """A letter with its body would be too large for NATS, and everything would wait behind it."""
    message = opamp_pb2.AgentToServer(
        health=opamp_pb2.ComponentHealth(last_error="poison"), custom_message={"data": b"x" * 2_000_000}
    )
    await frame.bus.put_body(contracts.UPLINK_BODIES, "body-2", message.SerializeToString())
    entry = make_report(UUID(int=1)).entry
    entry.fields, entry.body_object = HEALTH, "body-2"
    batch = uplink_pb2.UplinkBatch(shard=0, gateway="g", entries=[entry])
    await frame.bus.publish(Outgoing(contracts.subject_of(batch), "1", batch.SerializeToString(), {}))
    await eventually(lambda: frame.stored("DEAD_LETTERS"), until=lambda many: many == 1)
    stored = await frame.bus.jetstream.get_last_msg("DEAD_LETTERS", "flowgate.dead-letters.v1.agent-registry")
    letter = dead_letters_pb2.DeadLetter.FromString(stored.data or b"")
    assert (letter.entry.body_object, letter.entry.agent_to_server) == ("body-2", b"")


async def test_what_an_agent_says_never_is_too_much(frame: Frame) -> None:
    """Errors of any length and with NUL become a fact that NATS and a text that PostgreSQL takes."""
    await frame.publish("x" * 600_000, "no\0text", message_id="1")
    notes = await eventually(frame.notes, until=lambda notes: len(notes) == 2)
    assert (notes[0], len(notes[1])) == ("no\ufffdtext", opamp.MAX_TEXT)
    await eventually(lambda: frame.stored("AGENT_EVENTS"), until=lambda many: many == 2)


async def test_a_row_that_nats_never_takes_does_not_hold_up_the_others(frame: Frame) -> None:
    """It is given up, loudly and counted; the relay goes on."""
    connection = await asyncpg.connect(frame.database)
    await connection.execute(
        "INSERT INTO outbox (subject, message_id, headers, payload)"
        " VALUES ('flowgate.evt.agent.v1.connected.x', 'large', '{}', decode(repeat('00', 1500000), 'hex'))"
    )
    await connection.close()
    await frame.publish("a", message_id="1")
    await eventually(lambda: frame.stored("AGENT_EVENTS"), until=lambda many: many == 1)
    figures = await frame.figures()
    assert figures['flowgate_dead_letters_total{consumer="agent-registry",stream="outbox"}'] == 1


async def test_facts_carry_cloudevents_headers_and_their_order(frame: Frame) -> None:
    """Binary mode: ce-* headers, the payload is the bare message."""
    await frame.publish(*(str(n) for n in range(30)), message_id="1")
    subscription = await frame.bus.jetstream.subscribe("flowgate.evt.agent.v1.>", ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=5) for _ in range(30)]
    told = [facts.AgentHealthChanged.FromString(message.data).last_error for message in messages]
    assert told == [str(n) for n in range(30)]
    headers = messages[0].headers
    assert headers is not None
    assert headers["ce-type"] == "flowgate.agent.v1.AgentHealthChanged"
    assert headers["ce-source"] == "/flowgate/agent-registry"
    assert headers["ce-id"] == headers["Nats-Msg-Id"]
    assert headers["ce-subject"] == str(UUID(int=0))


async def test_a_wish_reaches_the_bucket_and_leaves_it(frame: Frame) -> None:
    """Effects of an rpc: the state and the wish are one transaction."""
    client = RpcClient(frame.bus)
    await client.call(rpc.GetGatewayRequest(id="w"), rpc.GetGatewayResponse)
    bucket = await frame.bus.kv(contracts.AGENT_DESIRED)

    async def wished() -> str:
        keys = await bucket.keys() if (await bucket.status()).values else []
        return desired_pb2.DesiredState.FromString((await bucket.get(keys[0])).value or b"").id if keys else ""

    await eventually(wished, until=lambda found: found == "w")


async def test_an_entry_of_another_bucket_is_put_and_removed(frame: Frame) -> None:
    """With the transaction, as wishes are."""
    client = RpcClient(frame.bus)
    bucket = await frame.bus.kv(contracts.AGENT_CREDENTIALS)

    async def stored() -> list[bytes | None]:
        keys = await bucket.keys() if (await bucket.status()).values else []
        return [(await bucket.get(key)).value for key in keys]

    await client.call(rpc.GetGatewayRequest(id="w"), rpc.GetGatewayResponse)
    await eventually(stored, until=lambda found: found == [b"live"])
    await client.call(rpc.GetGatewayRequest(id="revoked"), rpc.GetGatewayResponse)

    async def is_gone() -> bool:
        try:
            await bucket.get("token")
        except KeyNotFoundError:
            return True
        return False

    await eventually(is_gone)


async def test_errors_cross_the_bus_as_what_they_are(frame: Frame) -> None:
    """Kind, words and extra members; an internal error says nothing of its inside."""
    client = RpcClient(frame.bus)

    async def error_of(id_: str) -> FlowGateError:
        with pytest.raises(FlowGateError) as caught:
            await client.call(rpc.GetGatewayRequest(id=id_), rpc.GetGatewayResponse)
        return caught.value

    assert isinstance(await error_of("missing"), NotFoundError)
    busy = await error_of("busy")
    assert (type(busy), busy.extra) == (ConflictError, {"capability": "X"})
    wrong = await error_of("wrong")
    assert wrong.extra["errors"] == [{"message": "m", "line": 1}]
    assert "NUL" in (await error_of("a\0b")).detail
    broken = await error_of("broken")
    assert type(broken) is FlowGateError and "secret" not in broken.detail


async def test_an_owner_that_is_away_is_named(frame: Frame) -> None:
    """No responder: told at once."""
    with pytest.raises(UnavailableError, match="agent-registry is not running"):
        await RpcClient(frame.bus).call(rpc.ListGatewaysRequest(), rpc.ListGatewaysResponse)


async def test_a_question_without_an_answer_is_asked_once_more(frame: Frame) -> None:
    """It may be lost with a server or a replica; an order is given once, whatever comes of it."""
    seen: list[type[Message]] = []

    async def late(kind: type[Message], answer: Message) -> None:
        async def respond(message: Msg) -> None:
            seen.append(kind)
            if seen.count(kind) == 2:
                await message.respond(answer.SerializeToString())

        await frame.bus.connection.subscribe(contracts.rpc_methods()[kind].subject, cb=respond)

    await late(rpc.ListGatewaysRequest, rpc.ListGatewaysResponse(total=7))
    await late(rpc.DeleteGatewayRequest, rpc.DeleteGatewayResponse())
    client = RpcClient(frame.bus, timeout=0.3)
    assert (await client.call(rpc.ListGatewaysRequest(), rpc.ListGatewaysResponse)).total == 7
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
        await client.call(rpc.DeleteGatewayRequest(), rpc.DeleteGatewayResponse)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        await client.call(rpc.ListGatewaysRequest(), rpc.ListGatewaysResponse, timeout=0.2)
    assert seen == [rpc.ListGatewaysRequest] * 2 + [rpc.DeleteGatewayRequest] + [rpc.ListGatewaysRequest]


async def test_answers_above_the_limit_of_a_message_come_whole(frame: Frame) -> None:
    """2 MiB through the object store, deleted after it was read."""
    answer = await RpcClient(frame.bus, timeout=5).call(rpc.GetGatewayRequest(id="large"), rpc.GetGatewayResponse)
    assert len(answer.detail.agent_description) == 2 * 1024 * 1024


async def test_an_event_is_followed_once_and_a_bad_one_put_aside(frame: Frame) -> None:
    """The same guarantees as for the uplink."""
    for number, text in enumerate(["a", "poison", "b"]):
        fact = supervisor_facts.SupervisorStatusChanged(instance_uid=str(UUID(int=1)), last_error=text)
        await frame.bus.publish(Outgoing(contracts.subject_of(fact), str(number), fact.SerializeToString(), {}))
    await eventually(frame.notes, until=lambda notes: notes == ["a", "b"])
    await eventually(lambda: frame.stored("DEAD_LETTERS"), until=lambda many: many == 1)


async def test_a_job_runs_on_one_replica_at_a_time(
    fresh_nats_url: str, fresh_database_url: Callable[[str], str]
) -> None:
    """Both replicas are due, the lock lets one in; a job under another name does not wait for it."""
    routes: Routes[Notes] = Routes(reports=reported, wanted_fields=HEALTH, periodic=[(0.05, tick), (0.05, tock)])
    database = fresh_database_url("agent_registry")
    blocker = await asyncpg.connect(database)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema() || ':job:tick'))")
    async with running(fresh_nats_url, database, routes) as frame:
        assert "tick" not in await eventually(frame.notes, until=lambda notes: notes.count("tock") >= 5)
        await transaction.rollback()
        await eventually(frame.notes, until=lambda notes: "tick" in notes)
    await blocker.close()


async def test_an_owner_does_not_start_without_its_servers(database_url: Callable[[str], str]) -> None:
    """A clear error, not a hang."""
    with pytest.raises(UnavailableError, match="NATS does not answer"):
        async with running("nats://127.0.0.1:9", database_url("agent_registry")):
            raise AssertionError("started")


async def test_an_owner_sees_no_other_schema(database_url: Callable[[str], str]) -> None:
    """Each role owns its schema and may not look into another one."""
    connection = await asyncpg.connect(database_url("config_push"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("SELECT * FROM agent_registry.gateways")
    await connection.close()


def of(stream: str, **more: str) -> str:
    """The labels of a consumer's figures, as the text has them."""
    labels = {"consumer": "agent-registry", "stream": stream, **more}
    return ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))


async def test_what_the_frame_does_is_counted(frame: Frame) -> None:
    """Batches and what came of them, facts, answers by status; other replicas' work is not this one's."""
    before = await frame.figures()
    batches = [
        f"flowgate_consumer_batches_total{{{of('UPLINK', shard=shard, outcome=outcome)}}}"
        for shard, outcome in itertools.product("01", OUTCOMES)
    ]
    for name in (*batches, f"flowgate_dead_letters_total{{{of('UPLINK')}}}", 'flowgate_seen_total{text="c"}'):
        assert before[name] == 0  # there from the beginning
    await frame.publish("a", "poison", "b", message_id="1")
    fact = supervisor_facts.SupervisorStatusChanged(instance_uid=str(UUID(int=1)), last_error="c")
    await frame.bus.publish(Outgoing(contracts.subject_of(fact), "2", fact.SerializeToString(), {}))
    client = RpcClient(frame.bus)
    await client.call(rpc.GetGatewayRequest(id="w"), rpc.GetGatewayResponse)
    with pytest.raises(NotFoundError):
        await client.call(rpc.GetGatewayRequest(id="missing"), rpc.GetGatewayResponse)
    wanted = {
        f"flowgate_consumer_batches_total{{{of('UPLINK', shard='0', outcome='handled')}}}": 1,
        f"flowgate_consumer_entries_total{{{of('UPLINK')}}}": 3,
        f"flowgate_consumer_batch_duration_seconds_count{{{of('UPLINK')}}}": 1,
        f"flowgate_dead_letters_total{{{of('UPLINK')}}}": 1,
        f"flowgate_consumer_entries_total{{{of('SUPERVISOR_EVENTS')}}}": 1,
        'flowgate_events_total{event="agent.health-changed"}': 2,
        'flowgate_seen_total{text="a"}': 1,
        'rpc_server_call_duration_seconds_count{rpc_method="get-gateway",rpc_response_status_code="200"}': 1,
        'rpc_server_call_duration_seconds_count{rpc_method="get-gateway",rpc_response_status_code="404"}': 1,
        "flowgate_outbox_published_total": 5,  # two facts, a dead letter, a wish and an entry
        "flowgate_outbox_rows": 0,
        "flowgate_outbox_oldest_age_seconds": 0,
        'flowgate_nats_connected{connection="main"}': 1,
        "db_client_connection_max": 8,
    }
    found = await eventually(frame.figures, until=lambda now: all(now.get(name) == wanted[name] for name in wanted))
    assert found["flowgate_notes"] == before["flowgate_notes"] == 0  # not asked for again so soon


async def test_what_waits_is_told(fresh_nats_url: str, fresh_database_url: Callable[[str], str]) -> None:
    """A row that cannot be published has an age."""
    database = fresh_database_url("agent_registry")
    blocker = await asyncpg.connect(database)
    await blocker.execute(
        "INSERT INTO outbox (subject, message_id, headers, payload, created_at) VALUES"
        " ('flowgate.evt.agent.v1.connected.x', '1', '{}', '', now() - interval '90 seconds')"
    )
    async with blocker.transaction():
        await blocker.execute("SELECT pg_advisory_xact_lock(hashtext('outbox:' || current_schema()))")
        async with running(fresh_nats_url, database) as frame:
            found = await frame.figures()
            assert found["flowgate_outbox_rows"] == 1
            assert 90 <= found["flowgate_outbox_oldest_age_seconds"] < 150
            await blocker.execute("ROLLBACK")
            await eventually(frame.figures, until=lambda now: now["flowgate_outbox_rows"] == 0)
            await blocker.execute("BEGIN")
    await blocker.close()


async def test_how_far_a_stream_is_worked_off_is_known(frame: Frame) -> None:
    """What is in hand, and what waits behind it, is not."""

    async def position() -> tuple[int, int]:
        return await reading_position(frame.bus, contracts.UPLINK, "agent-registry", 2)

    await frame.publish("a", message_id="1")
    await eventually(position, until=lambda at: at == (1, 1))
    blocker = await asyncpg.connect(frame.database)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM stream_offsets FOR UPDATE")
        await frame.publish("b", message_id="2")
        await frame.publish("c", message_id="3")
        await eventually(position, until=lambda at: at[0] == 3)
        assert await position() == (3, 1)
    await blocker.close()
    await eventually(position, until=lambda at: at == (3, 3))


async def test_figures_that_a_server_does_not_tell_are_missing(frame: Frame) -> None:
    """The others are told all the same, and that something is missing is counted."""

    async def ask_nobody() -> Iterable[Metric]:
        raise UnavailableError("it is away")

    frame.service.metrics.ask("nobody", ask_nobody)
    found = await frame.figures()
    assert found['flowgate_metrics_probe_errors_total{probe="nobody"}'] == 1
    assert found['flowgate_nats_connected{connection="main"}'] == 1
