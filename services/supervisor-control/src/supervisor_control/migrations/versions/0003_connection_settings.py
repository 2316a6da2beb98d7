"""Tables of connection settings, and what the status of a supervisor says more."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

_COLUMNS: list[sa.Column[Any]] = [
    sa.Column("labels", postgresql.JSONB(), nullable=True, comment="of its gateway; null until the registry told"),
    sa.Column("supervisor_started_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("is_connected", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("disconnect_reason", sa.Text(), nullable=False, server_default="", comment="empty while connected"),
    sa.Column(
        "history",
        postgresql.JSONB(),
        nullable=False,
        server_default="{}",
        comment="starts and crashes of the collector, seconds since 1970",
    ),
    sa.Column("connection_hash", sa.LargeBinary(), nullable=True, comment="of the offer that it was sent last"),
    sa.Column("connection", postgresql.JSONB(), nullable=True, comment="settings of that offer"),
    sa.Column("offered_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("wanted_hash", sa.LargeBinary(), nullable=True, comment="of the offer that waits for the agent"),
    sa.Column("wanted_connection", postgresql.JSONB(), nullable=True, comment="settings of that offer"),
]


def upgrade() -> None:
    """Make the tables."""
    policies = op.create_table(
        "policies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("selector", postgresql.JSONB(), nullable=False),
        sa.Column("own_logs", sa.Boolean(), nullable=True),
        sa.Column("own_metrics", sa.Boolean(), nullable=True),
        sa.Column("own_traces", sa.Boolean(), nullable=True),
        sa.Column("heartbeat_interval_seconds", sa.Integer(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_policies")),
    )
    op.bulk_insert(
        policies,
        [
            {
                "name": "default",
                "selector": {},
                "own_logs": True,
                "own_metrics": True,
                "own_traces": False,
                "updated_by": "flowgate",
            }
        ],
    )
    for column in _COLUMNS:
        op.add_column("supervisors", column)


def downgrade() -> None:
    """Take it back."""
    for column in reversed(_COLUMNS):
        op.drop_column("supervisors", column.name)
    op.drop_table("policies")
