"""Make the tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "commands",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column(
            "collector_started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="before the restart; a later one tells that it was done",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_commands")),
    )
    op.create_index("ix_commands_instance_uid", "commands", ["instance_uid", "created_at"], unique=False)
    op.create_index(
        "uq_commands_open",
        "commands",
        ["instance_uid"],
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'delivered')"),
    )
    op.create_table(
        "log_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_records")),
    )
    op.create_index("ix_log_records_instance_uid", "log_records", ["instance_uid", "timestamp"], unique=False)
    op.create_index("ix_log_records_timestamp", "log_records", ["timestamp"], unique=False)
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
        "supervisors",
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("capabilities", sa.BigInteger(), nullable=False, comment="uint64 as two's complement"),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False, comment="start of the latest connection"),
        sa.Column("agent_description", sa.LargeBinary(), nullable=False, comment="serialized, as reported"),
        sa.Column("collector_state", sa.Text(), nullable=False),
        sa.Column("collector_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("collector_starts", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("instance_uid", name=op.f("pk_supervisors")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("supervisors")
    op.drop_table("stream_offsets")
    op.drop_table("outbox")
    op.drop_index("ix_log_records_timestamp", table_name="log_records")
    op.drop_index("ix_log_records_instance_uid", table_name="log_records")
    op.drop_table("log_records")
    op.drop_index(
        "uq_commands_open", table_name="commands", postgresql_where=sa.text("state IN ('pending', 'delivered')")
    )
    op.drop_index("ix_commands_instance_uid", table_name="commands")
    op.drop_table("commands")
