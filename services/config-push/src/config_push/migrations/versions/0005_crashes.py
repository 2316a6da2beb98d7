"""When an agent's collector crashed and ran: "applied" is not believed of one that has crashed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = {
    "crashed_at": "latest end of its collector that nobody ordered",
    "ran_at": "when its collector was told to run last",
}


def upgrade() -> None:
    """Add both; no row is written."""
    for name, comment in _COLUMNS.items():
        op.add_column("agents", sa.Column(name, sa.DateTime(timezone=True), comment=comment))


def downgrade() -> None:
    """Take them back."""
    for name in _COLUMNS:
        op.drop_column("agents", name)
