"""What an init container waits for."""

from collections.abc import Callable

import asyncpg
import pytest
from pydantic import SecretStr

from flowkit.errors import UnavailableError
from flowkit.migrate import scripts
from flowkit.settings import OwnerSettings
from flowkit.testing import OWNERS
from flowkit.wait import is_older, require_bus, require_schema, wait


@pytest.mark.parametrize("owner", OWNERS)
def test_a_schema_is_older_until_the_last_migration(owner: str) -> None:
    """Without a version or at any but the last one; one that only newer code knows is new enough."""
    known = scripts(owner)
    head = known.get_current_head()
    others = [one.revision for one in known.walk_revisions() if one.revision != head]
    assert [is_older(known, version) for version in (None, *others)] == [True] * (1 + len(others))
    assert not is_older(known, head)
    assert not is_older(known, "9999_of_newer_code")


async def test_everything_is_there(nats_url: str, database_url: Callable[[str], str]) -> None:
    """Then it comes back at once."""
    settings = OwnerSettings(nats_url=SecretStr(nats_url), database_url=SecretStr(database_url("agent_registry")))
    await wait(settings, "agent_registry")


async def test_without_nats_it_waits() -> None:
    """Nobody listens there."""
    with pytest.raises(UnavailableError, match="NATS does not answer"):
        await require_bus(OwnerSettings(nats_url=SecretStr("nats://127.0.0.1:9")))


async def test_too_few_servers_for_the_copies_of_a_stream(fresh_nats_url: str) -> None:
    """A single server is no cluster."""
    with pytest.raises(UnavailableError, match="NATS does not take the streams"):
        await require_bus(OwnerSettings(nats_url=SecretStr(fresh_nats_url), nats_replicas=3))


async def test_before_the_migrations_it_waits(postgres_url: str) -> None:
    """The database is there, the schema is not."""
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT to_regclass('alembic_version')") is None
    await connection.close()
    with pytest.raises(UnavailableError, match="the schema of agent_registry has not been made"):
        await require_schema(postgres_url, "agent_registry")
    with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
        await require_schema("postgresql://agent_registry:wrong@127.0.0.1:9/flowgate", "agent_registry")
