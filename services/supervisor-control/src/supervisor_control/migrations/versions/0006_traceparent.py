"""The traces that commands and bulk operations belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "commands",
        sa.Column("traceparent", sa.Text(), server_default="", nullable=False, comment="what was done for it last"),
    )
    op.add_column(
        "operations",
        sa.Column("traceparent", sa.Text(), server_default="", nullable=False, comment="of its order"),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_column("operations", "traceparent")
    op.drop_column("commands", "traceparent")
