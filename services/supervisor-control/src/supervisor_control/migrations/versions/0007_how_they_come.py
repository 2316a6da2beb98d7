"""How agents come, and how often their supervisors started."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("supervisors", sa.Column("supervisor_starts", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "supervisors",
        sa.Column("transport", sa.Text(), server_default="", nullable=False, comment="websocket or http"),
    )
    op.add_column(
        "supervisors",
        sa.Column("credential_id", sa.Text(), server_default="", nullable=False, comment="of its enrollment token"),
    )


def downgrade() -> None:
    """Take them back."""
    for name in ("credential_id", "transport", "supervisor_starts"):
        op.drop_column("supervisors", name)
