"""Wait until what a service needs is there: `python -m flowkit.wait [<package>]`, for an init container.

NATS takes every stream; for the package of an owner, such as agent_registry, its schema is at least as new as the code.
The settings are those of the service.
"""

import asyncio
import sys

import asyncpg
import nats.errors
import nats.js.errors
from alembic.script import ScriptDirectory

from flowkit import bus, telemetry
from flowkit.errors import FlowGateError, UnavailableError
from flowkit.migrate import is_known, scripts
from flowkit.settings import OwnerSettings
from flowkit.telemetry import get_log

log = get_log()

_AGAIN_SECONDS = 1.0


async def wait(settings: OwnerSettings, package: str = "") -> None:
    """Come back as soon as everything is there."""
    said = ""
    while True:
        try:
            await require_bus(settings)
            if package:
                await require_schema(settings.database_url.get_secret_value(), package)
            return
        except FlowGateError as error:
            if str(error) != said:
                said = str(error)
                log.info("wait.missing", error=said)
        await asyncio.sleep(_AGAIN_SECONDS)


async def require_bus(settings: OwnerSettings) -> None:
    """Make what a service would make at its start.

    Raises:
        UnavailableError: NATS does not answer, or too few servers for the copies of a stream are there.
    """
    connection = await bus.connect(
        settings.nats_url.get_secret_value(), "flowkit-wait", replicas=settings.nats_replicas
    )
    try:
        await connection.ensure(settings.uplink_shards)
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
        raise UnavailableError(f"NATS does not take the streams: {error!r}") from error
    finally:
        await connection.close()


async def require_schema(url: str, package: str) -> None:
    """Look whether the migrations of an owner have run.

    A version that this code does not know is one of newer code: migrations only add what older code can live with.

    Raises:
        UnavailableError: PostgreSQL does not answer or refuses the role, or its schema is older than the code.
    """
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {error!r}") from error
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.PostgresError as error:
        raise UnavailableError(f"the schema of {package} has not been made: {error!r}") from error
    finally:
        await connection.close()
    if is_older(scripts(package), found):
        raise UnavailableError(f"the schema of {package} is at {found}, older than this code")


def is_older(known: ScriptDirectory, version: str | None) -> bool:
    """Whether a schema at this version lacks migrations that are known here."""
    return version is None or (is_known(known, version) and version != known.get_current_head())


def main(arguments: list[str]) -> int:
    """Wait; 0 when everything is there."""
    settings = OwnerSettings()
    telemetry.configure("wait", settings.log_level)
    asyncio.run(wait(settings, *arguments[:1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
