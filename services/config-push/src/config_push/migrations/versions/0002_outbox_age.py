"""Since when a row of the outbox waits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the time."""
    op.add_column(
        "outbox",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("outbox", "created_at")
