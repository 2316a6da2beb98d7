"""Make the tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "agents",
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("capabilities", sa.BigInteger(), nullable=False, comment="uint64 as two's complement"),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False, comment="start of the latest connection"),
        sa.Column("reported_hash", sa.LargeBinary(), server_default="", nullable=False),
        sa.Column("reported_status", sa.Text(), server_default="unset", nullable=False),
        sa.Column("reported_error", sa.Text(), server_default="", nullable=False),
        sa.Column("effective", sa.LargeBinary(), nullable=True, comment="serialized EffectiveConfig, as reported"),
        sa.Column("effective_hash", sa.LargeBinary(), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("instance_uid", name=op.f("pk_agents")),
    )
    op.create_table(
        "configs",
        sa.Column(
            "content_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 over names, bodies, types and roles"
        ),
        sa.Column("body", sa.Text(), nullable=False, comment="YAML as it was written, never reformatted"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_configs")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False, comment="Nats-Msg-Id"),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "stream_offsets",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column(
            "stream_created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="tells a stream made anew from the former one",
        ),
        sa.Column("stream_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "shard", name=op.f("pk_stream_offsets")),
    )
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "config_hash", sa.LargeBinary(), nullable=False, comment="as offered; salted to apply the same again"
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False, comment="what the agent should run with"),
        sa.Column("is_automatic", sa.Boolean(), nullable=False, comment="given again to an agent that lost it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["content_hash"], ["configs.content_hash"], name=op.f("fk_deliveries_content_hash")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_instance_uid", "deliveries", ["instance_uid", "created_at"], unique=False)
    op.create_index("uq_deliveries_latest", "deliveries", ["instance_uid"], unique=True, postgresql_where="is_latest")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("uq_deliveries_latest", table_name="deliveries", postgresql_where="is_latest")
    op.drop_index("ix_deliveries_instance_uid", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("stream_offsets")
    op.drop_table("outbox")
    op.drop_table("configs")
    op.drop_table("agents")
