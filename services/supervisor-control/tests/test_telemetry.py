"""Log records on a real PostgreSQL: writing, pages, following, partitions and their retention."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from flowgate.rpc.v1 import telemetry_pb2 as rpc
from flowgate.uplink.v1 import telemetry_pb2
from flowkit import db, tokens
from flowkit.db import Database
from flowkit.errors import InvalidError, NotFoundError
from flowkit.exports import Export
from flowkit.opamp import timestamp
from flowkit.testing import rolled_back
from supervisor_control.domain.supervisors import LogRecord
from supervisor_control.domain.telemetry import LogRow
from supervisor_control.handlers import telemetry as handlers
from supervisor_control.handlers.control import Control
from supervisor_control.settings import Settings
from supervisor_control.store.partitions import Partitions, Retention

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
async def control(database_url: Callable[[str], str]) -> AsyncIterator[Control]:
    async with rolled_back(database_url("supervisor_control")) as connection:
        yield Control.on(connection, Settings())


@pytest.fixture
async def own_database(fresh_database_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """For what transactions see of each other."""
    database = await db.connect(fresh_database_url("supervisor_control"), 4)
    yield database
    await database.close()


def make_row(number: int, **changes: Any) -> LogRow:
    at = NOW + timedelta(seconds=number)
    row = LogRow(at, at, 9, "collector", "scope", f"record {number}", b"{}")
    return row._replace(**changes)


def make_export(*bodies: str, uid: UUID = UID, service: str = "fgcol", **attributes: str) -> Export:
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = service
    of_scope = of_resource.scope_logs.add()
    for number, body in enumerate(bodies):
        record = of_scope.log_records.add(time_unix_nano=int(NOW.timestamp()) * 10**9 + number, severity_number=9)
        record.body.string_value = body
        record.attributes.extend(KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in attributes.items())
    return Export(
        telemetry_pb2.TelemetryEntry(
            instance_uid=uid.bytes,
            signal=telemetry_pb2.SIGNAL_LOGS,
            received_at_unix_nano=int(NOW.timestamp()) * 10**9,
            export_request=request.SerializeToString(),
        )
    )


async def add(control: Control, *rows: LogRow, uid: UUID = UID) -> None:
    await control.telemetry.add([(uid, row) for row in rows])


async def asked(control: Control, uid: UUID = UID, **wanted: Any) -> rpc.ListLogsResponse:
    return await handlers.list_logs(control, rpc.ListLogsRequest(instance_id=str(uid), **wanted), NOW)


async def bodies(control: Control, uid: UUID = UID, **wanted: Any) -> list[str]:
    return [one.body for one in (await asked(control, uid, **wanted)).records]


async def test_an_export_is_stored(control: Control) -> None:
    """With its agent, source and attributes; and when it came is remembered."""
    await handlers.exported(control, [make_export("a", "b", error="refused"), make_export("c", uid=OTHER)], NOW)
    records = (await asked(control)).records
    assert [one.body for one in records] == ["b", "a"]
    assert (records[0].source, records[0].severity, records[0].severity_number) == ("collector", "INFO", 9)
    assert orjson.loads(records[0].attributes_json) == {"error": "refused"}
    assert await bodies(control, OTHER) == ["c"]
    assert await control.telemetry.last_received([UID, OTHER, UUID(int=3)]) == {UID: NOW, OTHER: NOW}


async def test_records_of_all_sources_are_one_list(control: Control) -> None:
    """Supervisor, collector, and what FlowGate knows; filtered by each."""
    await handlers.exported(control, [make_export("of it", service="opamp-supervisor"), make_export("of col")], NOW)
    own = LogRecord(UID, NOW + timedelta(seconds=1), "ERROR", "flowgate", "of us", {"event": "config"})
    await control.store.add_records([own])
    assert await bodies(control) == ["of us", "of col", "of it"]
    assert await bodies(control, source="supervisor") == ["of it"]
    assert await bodies(control, source="collector") == ["of col"]
    assert await bodies(control, source="flowgate") == ["of us"]
    with pytest.raises(InvalidError, match="one of supervisor"):
        await asked(control, source="else")


async def test_records_are_filtered(control: Control) -> None:
    """By time (since is within, until is not), severity, and text, whose case and wildcards do not count."""
    await add(
        control,
        make_row(1, severity_number=5, body="100% Done"),
        make_row(2, severity_number=9, body="1000 done"),
        make_row(3, severity_number=17, body="Exporting FAILED"),
    )
    assert await bodies(control, q="100% dONE") == ["100% Done"]
    assert await bodies(control, q="failed") == ["Exporting FAILED"]
    assert await bodies(control, min_severity_number=9) == ["Exporting FAILED", "1000 done"]
    since, until = timestamp(NOW + timedelta(seconds=2)), timestamp(NOW + timedelta(seconds=3))
    assert await bodies(control, since=since) == ["Exporting FAILED", "1000 done"]
    assert await bodies(control, since=since, until=until) == ["1000 done"]
    with pytest.raises(InvalidError):
        await asked(control, limit=1001)
    with pytest.raises(InvalidError):
        await asked(control, cursor="nonsense")
    with pytest.raises(NotFoundError):
        await handlers.list_logs(control, rpc.ListLogsRequest(instance_id="nonsense"), NOW)


async def test_pages_have_no_gaps_and_nothing_twice_while_records_come(control: Control) -> None:
    """Also where many have the same time."""
    await add(control, *(make_row(n // 7)._replace(body=str(n)) for n in range(50)))
    seen: list[str] = []
    cursor = ""
    for number in range(100):
        page = await asked(control, limit=8, cursor=cursor)
        seen += [one.body for one in page.records]
        await add(control, make_row(1000 + number, body="newer"))
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == [str(n) for n in reversed(range(50))]


async def test_a_rare_text_is_searched_a_bounded_way_at_a_time(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be empty and lead on; the last one says so."""
    monkeypatch.setattr("supervisor_control.store.telemetry._EXAMINED", 20)
    await add(control, *(make_row(n, body="needle" if n == 3 else "hay") for n in range(50)))
    found, pages, cursor = [], 0, ""
    while pages == 0 or cursor:
        page = await asked(control, q="needle", cursor=cursor)
        found += [one.timestamp.ToDatetime(UTC) for one in page.records]
        pages, cursor = pages + 1, page.next_cursor
    assert (found, pages) == ([NOW + timedelta(seconds=3)], 3)


async def test_the_last_error_of_a_supervisor_is_found_behind_a_flood(control: Control) -> None:
    """However much came since, also from before a new identity; notes of FlowGate and what is too old are none."""
    await add(control, make_row(0, body="too old", source="supervisor", severity_number=17))
    await add(control, make_row(2, body="cannot write", source="supervisor", severity_number=21), uid=OTHER)
    await control.telemetry.rename(OTHER, UID, NOW + timedelta(seconds=3))
    await add(control, make_row(4, body="a warning", source="supervisor", severity_number=13))
    await add(control, make_row(5, body="of the collector", severity_number=17))
    await control.store.add_records(
        [LogRecord(UID, NOW + timedelta(seconds=6), "ERROR", "supervisor", "a note", {"event": "health"})]
    )
    await add(control, *(make_row(7 + n % 60) for n in range(25_000)))
    since = NOW + timedelta(seconds=1)
    found = await control.telemetry.last_error_of_supervisor(UID, since)
    assert found is not None
    assert (found.body, found.place.timestamp) == ("cannot write", NOW + timedelta(seconds=2))
    await add(control, make_row(90, body="again", source="supervisor", severity_number=17))
    found = await control.telemetry.last_error_of_supervisor(UID, since)
    assert found is not None
    assert found.body == "again"
    assert await control.telemetry.last_error_of_supervisor(OTHER, since) is None


async def test_a_page_of_long_records_is_shorter(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leads on; one record is always there."""
    monkeypatch.setattr(handlers, "MAX_PAGE_SIZE", 25_000)
    await add(control, *(make_row(n, body=f"{n}" + "x" * 10_000) for n in range(5)))
    seen, sizes, cursor = [], [], ""
    while not sizes or cursor:
        page = await asked(control, cursor=cursor)
        seen += [one.body[0] for one in page.records]
        sizes.append(len(page.records))
        cursor = page.next_cursor
    assert (seen, sizes) == (["4", "3", "2", "1", "0"], [2, 2, 1])


async def test_tokens_nul_and_long_texts_do_not_reach_the_table(control: Control) -> None:
    """What comes is stored all the same."""
    token = tokens.mint(tokens.ENROLLMENT)
    export = make_export(f"with {token} and \0", "x" * 70_000, header=f"Bearer {token}\0")
    await handlers.exported(control, [export], NOW)
    long, first = (await asked(control)).records
    assert token not in str(first) and "with fge_***" in first.body
    assert len(long.body) < 66_000


async def test_a_new_identity_takes_its_past_along(control: Control) -> None:
    """Over several changes, without touching a row; whoever takes the old uid begins anew."""
    third = UUID(int=3)
    await add(control, make_row(1, body="of first"))
    await control.telemetry.rename(UID, OTHER, NOW + timedelta(seconds=10))
    await add(control, make_row(11, body="of second"), uid=OTHER)
    await add(control, make_row(12, body="of a stranger"), uid=UID)
    await control.telemetry.rename(OTHER, third, NOW + timedelta(seconds=20))
    await add(control, make_row(21, body="of third"), uid=third)
    assert await bodies(control, third) == ["of third", "of second", "of first"]
    assert await bodies(control, third, limit=2) == ["of third", "of second"]
    page = await asked(control, third, limit=2)
    assert await bodies(control, third, cursor=page.next_cursor) == ["of first"]
    assert await bodies(control, UID) == ["of a stranger"]
    assert await bodies(control, OTHER) == []


async def test_a_deleted_agent_has_no_past(control: Control) -> None:
    """Also under its former uid; when it comes back, it begins anew."""
    await add(control, make_row(1))
    await control.telemetry.rename(UID, OTHER, NOW + timedelta(seconds=5))
    await control.telemetry.received({OTHER: NOW})
    await control.telemetry.forget(OTHER, NOW + timedelta(seconds=10))
    assert await bodies(control, OTHER) == []
    assert await control.telemetry.last_received([OTHER]) == {}
    await add(control, make_row(11, body="back"), uid=OTHER)
    assert await bodies(control, OTHER) == ["back"]
    assert await bodies(control, UID) == []


async def partitions(control: Control) -> list[str]:
    rows = await control.telemetry._connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'agent_logs'::regclass ORDER BY 1"
    )
    return [row["relname"] for row in rows]


async def test_partitions_end_by_age_and_are_dropped_by_age(control: Control) -> None:
    """Rows go with their partition and no sooner; the current one stays however old it is."""
    store = control.telemetry
    begin = datetime.now(UTC).replace(microsecond=0)
    await add(control, make_row(1, body="old"))
    first = await partitions(control)
    await store.keep(86400, 2**40, begin + timedelta(minutes=1))
    assert await partitions(control) == first
    await store.keep(86400, 2**40, begin + timedelta(hours=2))
    assert len(await partitions(control)) == 2
    store = Control.on(store._connection, control.settings).telemetry  # of the next transaction
    await store.add([(UID, make_row(2, body="new"))])
    assert await bodies(control) == ["new", "old"]
    await store.keep(86400, 2**40, begin + timedelta(hours=25))
    assert await bodies(control) == ["new", "old"]
    await store.keep(86400, 2**40, begin + timedelta(hours=26, minutes=1))
    assert await bodies(control) == ["new"]
    assert not set(first) & set(await partitions(control))


async def test_partitions_end_by_size_and_the_oldest_are_dropped_beyond_the_limit(control: Control) -> None:
    """Whatever their age, so that a flood cannot fill the disk."""
    begin = datetime.now(UTC).replace(microsecond=0)
    filler = "x" * 1000
    connection = control.telemetry._connection
    kept = Retention.of(86400, 6 * 2**20)
    for number in range(12):
        # Each fills about a megabyte, and a partition ends at 384 KiB.
        rows = [(UID, make_row(number, body=f"{number} {uuid4()}{filler}")) for _ in range(800)]
        await Control.on(connection, control.settings).telemetry.add(rows)
        await Partitions(connection, "agent_logs").keep(kept, begin + timedelta(seconds=10 * (number + 1)))
    left = {one.split()[0] for one in await bodies(control, limit=1000, q="11 ")} | {
        one.split()[0] for n in range(12) for one in await bodies(control, limit=1, q=f"{n} ")
    }
    total = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'agent_logs'::regclass"
    )
    assert "11" in left and "0" not in left
    assert total < 8 * 2**20


async def test_a_row_lies_in_the_partition_of_its_time(control: Control) -> None:
    """Named after the time of its begin; later queries leave out what ended before."""
    await add(control, make_row(1))
    begun_at = await Partitions(control.telemetry._connection, "agent_logs").current()
    assert f"agent_logs_{begun_at:%Y%m%d%H%M%S}" in await partitions(control)
    later = Partitions(control.telemetry._connection, "agent_logs")
    await later.keep(Retention(86400, 2**40, 1, 2**40), begun_at + timedelta(hours=1))
    assert len(await later.since(begun_at + timedelta(hours=2))) == 1
    assert begun_at in await later.since(begun_at)


async def test_following_misses_nothing_that_commits_late(own_database: Database) -> None:
    """A transaction that began earlier and commits later is waited for: nothing is passed by, nothing comes twice."""
    settings = Settings()

    async def follow(cursor: str) -> rpc.ListLogsResponse:
        async with own_database.transaction() as connection:
            return await asked(Control.on(connection, settings), follow=True, cursor=cursor)

    async with own_database.transaction() as connection:
        await add(Control.on(connection, settings), make_row(0, body="before"))
    begin = await follow("")
    assert (list(begin.records), bool(begin.next_cursor)) == ([], True)
    may_commit = asyncio.Event()

    async def slow() -> None:
        async with own_database.transaction() as connection:
            await add(Control.on(connection, settings), make_row(1, body="slow"))
            written.set()
            await may_commit.wait()

    written = asyncio.Event()
    writer = asyncio.create_task(slow())
    await written.wait()
    async with own_database.transaction() as connection:
        await add(Control.on(connection, settings), make_row(2, body="quick"))
    meanwhile = await follow(begin.next_cursor)
    assert [one.body for one in meanwhile.records] == []
    may_commit.set()
    await writer
    after = await follow(meanwhile.next_cursor)
    assert [one.body for one in after.records] == ["slow", "quick"]
    assert list((await follow(after.next_cursor)).records) == []
    resumed = await follow(after.records[0].cursor)
    assert [one.body for one in resumed.records] == ["quick"]


async def test_following_goes_page_by_page(own_database: Database) -> None:
    """A page that is full leads on from its last one; late records come too, whatever their time."""
    settings = Settings()
    async with own_database.transaction() as connection:
        cursor = (await asked(Control.on(connection, settings), follow=True)).next_cursor
    for number in range(5):
        async with own_database.transaction() as connection:
            control = Control.on(connection, settings)
            await add(control, *(make_row(-number, body=f"{number}.{n}") for n in range(10)))
    seen: list[str] = []
    for _ in range(20):
        async with own_database.transaction() as connection:
            page = await asked(Control.on(connection, settings), follow=True, cursor=cursor, limit=7)
        seen += [one.body for one in page.records]
        cursor = page.next_cursor
    assert seen == [f"{number}.{n}" for number in range(5) for n in range(10)]
    async with own_database.transaction() as connection:
        control = Control.on(connection, settings)
        tail = await asked(control, follow=True, cursor=cursor, q="nothing")
    assert list(tail.records) == []


async def test_two_writers_make_the_first_partition_once(own_database: Database) -> None:
    """At the same time, on an empty store."""

    async def write(number: int) -> None:
        async with own_database.transaction() as connection:
            await add(Control.on(connection, Settings()), make_row(number))

    await asyncio.gather(*(write(n) for n in range(4)))
    async with own_database.transaction() as connection:
        control = Control.on(connection, Settings())
        assert len(await bodies(control)) == 4
        assert len(await partitions(control)) == 1
