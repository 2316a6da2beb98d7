"""Alembic's way into the schema config_push; run by flowkit.migrate."""

from config_push.tables import tables
from flowkit.migrate import run_environment

run_environment(tables)
