"""With which enrollment token a gateway came."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the token."""
    op.add_column(
        "gateways",
        sa.Column("enrollment_token_id", sa.Uuid, comment="with which it came first; null: of the ingress' settings"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("gateways", "enrollment_token_id")
