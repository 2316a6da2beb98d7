"""Tables of operations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "operations",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="restart or push_config"),
        sa.Column("state", sa.Text(), nullable=False, comment="running, succeeded, failed or cancelled"),
        sa.Column("config_hash", sa.LargeBinary(), nullable=False, comment="of config-push; empty without one"),
        sa.Column("max_unavailable", sa.Integer(), nullable=False),
        sa.Column("stop_on_failure", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False, comment="targets by state, so that none is counted again"),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_operations")),
    )
    op.create_index("ix_operations_created_at", "operations", ["created_at"], unique=False)
    op.create_index(
        "ix_operations_open",
        "operations",
        ["operation_id"],
        unique=False,
        postgresql_where=sa.text("waiting > 0 OR running > 0"),
    )
    op.create_table(
        "operation_targets",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="agents are begun in this order"),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("capabilities", sa.BigInteger(), nullable=False, comment="uint64 as two's complement"),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, running, succeeded, failed or skipped"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True, comment="command_id or delivery_id, from its beginning on"),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.operation_id"],
            name=op.f("fk_operation_targets_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "position", name=op.f("pk_operation_targets")),
    )
    op.create_index(
        "ix_operation_targets_waiting",
        "operation_targets",
        ["operation_id", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "uq_operation_targets_running",
        "operation_targets",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_operation_targets_instance_uid", "operation_targets", ["instance_uid"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("operation_targets")
    op.drop_table("operations")
