"""Every owner's migrations make exactly the tables that its code declares."""

import importlib
from collections.abc import Callable

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from flowkit.migrate import migrate
from flowkit.testing import OWNERS


@pytest.mark.parametrize("owner", OWNERS)
async def test_migrations_and_tables_agree(owner: str, database_url: Callable[[str], str]) -> None:
    """Autogenerate would find nothing to do."""
    tables = importlib.import_module(f"{owner}.tables").tables

    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), tables))

    engine = create_async_engine(make_url(database_url(owner)).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        assert await connection.run_sync(compare) == []
    await engine.dispose()


async def test_the_address_may_have_parameters_of_libpq(postgres_url: str, database: str) -> None:
    """Such as sslmode, which managed databases ask for; migrating what is at its newest version changes nothing."""
    url = make_url(postgres_url).set(database=database).update_query_dict({"sslmode": "prefer"})
    await migrate(url.render_as_string(hide_password=False), {"agent_registry": ""})


async def test_a_schema_of_newer_code_is_left_as_it_is(
    postgres_url: str, fresh_database_url: Callable[[str], str]
) -> None:
    """So that a release can be taken back by its image: the older migrations find nothing to do, and say so."""
    name = make_url(fresh_database_url("agent_registry")).database
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    newer = "UPDATE agent_registry.alembic_version SET version_num = '9999_of_newer_code'"
    assert await connection.execute(newer) == "UPDATE 1"
    with capture_logs() as lines:
        await migrate(url, {"agent_registry": "", "config_push": ""})
    assert [(one["event"], one["schema"], one["version"]) for one in lines] == [
        ("migrate.newer_schema", "agent_registry", "9999_of_newer_code")
    ]
    found = await connection.fetchval("SELECT version_num FROM agent_registry.alembic_version")
    await connection.close()
    assert found == "9999_of_newer_code"
