"""Enrollment tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "enrollment_tokens",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="of the secret, which is kept nowhere"),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("max_uses", sa.BigInteger(), nullable=False, comment="0: without limit"),
        sa.Column("uses", sa.BigInteger(), nullable=False, comment="agents that registered with it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_live", sa.Boolean(), nullable=False, comment="whether it is in the bucket agent_credentials"),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_enrollment_tokens")),
    )
    op.create_index(
        "uq_enrollment_tokens_name",
        "enrollment_tokens",
        ["name"],
        unique=True,
        postgresql_where=sa.text("is_live"),
    )
    op.create_table(
        "refusals",
        sa.Column("instance_uid", sa.Uuid(), nullable=False, comment="of an agent that was not registered"),
        sa.Column(
            "expires_at", sa.DateTime(timezone=True), nullable=False, comment="then the wish `refusal` is removed"
        ),
        sa.PrimaryKeyConstraint("instance_uid", name=op.f("pk_refusals")),
    )
    op.create_index("ix_refusals_expires_at", "refusals", ["expires_at"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("refusals")
    op.drop_table("enrollment_tokens")
