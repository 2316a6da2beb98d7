"""A supervisor's own errors are found at once among whatever its collector writes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the index, in all partitions."""
    op.create_index(
        "ix_agent_logs_supervisor_errors",
        "agent_logs",
        ["instance_uid", "timestamp", "id"],
        postgresql_where=sa.text("source = 'supervisor' AND severity_number >= 17 AND NOT attributes ? 'event'"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_agent_logs_supervisor_errors", "agent_logs")
