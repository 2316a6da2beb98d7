"""Bring owners' schemas to the newest version: `python -m flowkit.migrate agent_registry config_push …`.

A schema that newer code has made is left as it is: migrations only add what older code can live with, and are never
taken back.

Environment:
    FLOWGATE_DATABASE_URL: PostgreSQL as a role that may create roles and schemas.
    FLOWGATE_DATABASE_PASSWORD_<PACKAGE>: password for the role of that owner, such as
        FLOWGATE_DATABASE_PASSWORD_AGENT_REGISTRY; without it the role keeps the one it has.
"""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

import asyncpg
import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from flowkit import telemetry
from flowkit.errors import FlowGateError, UnavailableError
from flowkit.telemetry import get_log

log = get_log()


def main(packages: list[str]) -> int:
    """Migrate the schemas of these packages; 0 when all are at the newest version."""
    url = os.environ.get("FLOWGATE_DATABASE_URL", "")
    if not url or not packages:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    telemetry.configure("migrate", "info")
    try:
        asyncio.run(migrate(url, {name: os.environ.get(_password_variable(name), "") for name in packages}))
    except (FlowGateError, CommandError) as error:
        sys.stderr.write(f"flowkit.migrate: {error}\n")
        return 1
    return 0


def _password_variable(package: str) -> str:
    return f"FLOWGATE_DATABASE_PASSWORD_{package.upper()}"


async def migrate(url: str, passwords: dict[str, str]) -> None:
    """Make role, schema and tables of each owner.

    Args:
        url: PostgreSQL as a role that may create roles and schemas, `postgresql://…` as libpq has it.
        passwords: password of the owner's role by package name; empty leaves it as it is.

    Raises:
        UnavailableError: PostgreSQL does not answer or refuses the credentials.
    """
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.PostgresError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {error!r}") from error
    try:
        for package, password in passwords.items():
            await _prepare_role(connection, package, password)
    finally:
        await connection.close()
    # asyncpg reads the URL itself, as the services do: libpq's parameters such as sslmode mean the same everywhere.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url, timeout=10), poolclass=NullPool
    )
    async with engine.connect() as database:
        for package in passwords:
            await database.run_sync(_upgrade, package)
            await database.commit()
    await engine.dispose()


async def _prepare_role(connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str) -> None:
    """Role and schema of the same name; the role owns its schema and sees no other."""
    name = '"' + role.replace('"', '""') + '"'
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('flowgate:migrate'))")
        if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {name} LOGIN")
        await connection.execute(f"GRANT {name} TO CURRENT_USER")
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {name}")
        await connection.execute(f"ALTER ROLE {name} SET search_path TO {name}")
        if password:
            quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
            await connection.execute(f"ALTER ROLE {name} PASSWORD {quoted}")


def _upgrade(connection: Connection, package: str) -> None:
    connection.execute(sa.text(f'SET ROLE "{package}"'))
    connection.execute(sa.text(f'SET search_path TO "{package}"'))
    connection.commit()
    config = _config(package)
    config.attributes["connection"] = connection
    known = ScriptDirectory.from_config(config)
    version = MigrationContext.configure(connection).get_current_revision()
    if version is not None and not is_known(known, version):
        log.info("migrate.newer_schema", schema=package, version=version, newest_known=known.get_current_head())
    else:
        command.upgrade(config, "head")
    connection.execute(sa.text("RESET ROLE"))
    connection.commit()


def scripts(package: str) -> ScriptDirectory:
    """The migrations of an owner."""
    return ScriptDirectory.from_config(_config(package))


def is_known(known: ScriptDirectory, version: str) -> bool:
    """Whether there is a migration to this version; one that is not known is one of newer code."""
    try:
        known.get_revision(version)
    except CommandError:
        return False
    return True


def _config(package: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_package_dir(package) / "migrations"))
    return config


def _package_dir(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FlowGateError(f"there is no package {package} to migrate")
    return Path(spec.origin).parent


def run_environment(tables: sa.MetaData) -> None:
    """What an owner's migrations/env.py does: run the migrations on the connection that `migrate` opened."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=tables, version_table="alembic_version")
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
