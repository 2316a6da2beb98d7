"""Every owner's migrations make exactly the tables that its code declares."""

import importlib
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

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
