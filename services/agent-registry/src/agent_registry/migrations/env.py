"""Alembic's way into the schema agent_registry; run by flowkit.migrate."""

from agent_registry.tables import tables
from flowkit.migrate import run_environment

run_environment(tables)
