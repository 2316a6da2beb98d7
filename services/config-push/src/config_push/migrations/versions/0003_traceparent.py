"""The trace that a delivery belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it."""
    op.add_column(
        "deliveries",
        sa.Column("traceparent", sa.Text(), server_default="", nullable=False, comment="what was done for it last"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("deliveries", "traceparent")
