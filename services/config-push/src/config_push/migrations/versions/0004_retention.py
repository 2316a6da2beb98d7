"""When a configuration was wanted last, so that those that nobody uses can go."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the time, and an index to find who uses one."""
    op.add_column(
        "configs",
        sa.Column(
            "kept_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was wanted last",
        ),
    )
    op.create_index("ix_deliveries_content_hash", "deliveries", ["content_hash"])


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_deliveries_content_hash", table_name="deliveries")
    op.drop_column("configs", "kept_at")
