"""How often an agent was told to report."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the interval."""
    op.add_column(
        "gateways",
        sa.Column(
            "heartbeat_seconds", sa.Integer(), server_default="0", nullable=False, comment="as offered; 0: its own"
        ),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("gateways", "heartbeat_seconds")
