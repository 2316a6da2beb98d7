"""Alembic's way into the schema supervisor_control; run by flowkit.migrate."""

from flowkit.migrate import run_environment
from supervisor_control.tables import tables

run_environment(tables)
