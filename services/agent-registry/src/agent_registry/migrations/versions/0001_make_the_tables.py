"""Make the tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

management_mode = postgresql.ENUM("extension", "supervisor", name="management_mode", create_type=False)


def upgrade() -> None:
    """Make the tables."""
    management_mode.create(op.get_bind())
    op.create_table(
        "available_components",
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="made by the agent"),
        sa.Column("components", sa.LargeBinary(), nullable=False, comment="serialized AvailableComponents"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_available_components")),
    )
    op.create_table(
        "gateways",
        sa.Column("gateway_id", sa.Uuid(), nullable=False, comment="FlowGate's own stable id"),
        sa.Column("instance_uid", sa.Uuid(), nullable=False, comment="the agent's current one"),
        sa.Column("name", sa.Text(), nullable=True, comment="given by an operator"),
        sa.Column("default_name", sa.Text(), nullable=False, comment="service.name@host.name"),
        sa.Column("management_mode", management_mode, server_default="extension", nullable=False),
        sa.Column("supervisor_status", postgresql.JSONB(), nullable=True, comment="last SupervisorStatusChanged"),
        sa.Column(
            "supervisor_logs_path", sa.Text(), nullable=True, comment="where the supervisor's logs lie on the host"
        ),
        sa.Column("labels", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("capabilities", sa.BigInteger(), nullable=False, comment="uint64 as two's complement"),
        sa.Column("sequence_num", sa.BigInteger(), nullable=False, comment="uint64 as two's complement"),
        sa.Column("agent_description", sa.LargeBinary(), nullable=True, comment="serialized, as reported"),
        sa.Column("description_hash", sa.LargeBinary(), nullable=True, comment="BLAKE2 of agent_description"),
        sa.Column("identity_key", sa.Text(), nullable=True, comment="host, service and Kubernetes names in one"),
        sa.Column("attributes", postgresql.JSONB(), server_default="{}", nullable=False, comment="description as text"),
        sa.Column("agent_type", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("host_name", sa.Text(), server_default="", nullable=False),
        sa.Column("os_type", sa.Text(), server_default="", nullable=False),
        sa.Column("host_arch", sa.Text(), server_default="", nullable=False),
        sa.Column("components_hash", sa.LargeBinary(), nullable=True),
        sa.Column("health", sa.LargeBinary(), nullable=True, comment="serialized ComponentHealth, as reported"),
        sa.Column("healthy", sa.Boolean(), nullable=True, comment="null: never reported"),
        sa.Column("health_status", sa.Text(), server_default="", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("health_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_connected", sa.Boolean(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disconnected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disconnect_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("transport", sa.Text(), nullable=False),
        sa.Column("ingress", sa.Text(), nullable=False),
        sa.Column("remote_address", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), nullable=False, comment="coarse; the finer one is in memory"
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("pk_gateways")),
        sa.UniqueConstraint("instance_uid", name=op.f("uq_gateways_instance_uid")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("ix_gateways_identity_key", "gateways", ["identity_key"], unique=False)
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


def downgrade() -> None:
    """Take it back."""
    op.drop_table("stream_offsets")
    op.drop_table("outbox")
    op.drop_index("ix_gateways_identity_key", table_name="gateways")
    op.drop_table("gateways")
    op.drop_table("available_components")
    management_mode.drop(op.get_bind())
