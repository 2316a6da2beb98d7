"""How far the latest configuration of a gateway got, so that lists can be filtered by it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the state; what config-push told in the last seven days is read again and fills it."""
    op.add_column(
        "gateways",
        sa.Column("config_state", sa.Text, comment="of the latest delivery, as config-push tells; null: never got one"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("gateways", "config_state")
