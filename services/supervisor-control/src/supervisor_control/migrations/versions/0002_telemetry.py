"""Tables of telemetry: logs and metrics in partitions. FlowGate's own log records move in with them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.execute("CREATE SEQUENCE agent_logs_ids CACHE 1000")
    op.create_table(
        "agent_logs",
        sa.Column("partition_at", _TIME, nullable=False, comment="begin of the partition, of `partitions`"),
        sa.Column(
            "id",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("nextval('agent_logs_ids')"),
            comment="order within a transaction",
        ),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False, comment="for following: what was committed since"),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("timestamp", _TIME, nullable=False, comment="as its sender says, unless that is absurd"),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("severity_number", sa.SmallInteger(), nullable=False, comment="of OTLP, 0 to 24"),
        sa.Column("source", sa.Text(), nullable=False, comment="supervisor, collector or flowgate"),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        postgresql_partition_by="LIST (partition_at)",
    )
    op.create_index("ix_agent_logs_timestamp", "agent_logs", ["instance_uid", "timestamp", "id"])
    op.create_index("ix_agent_logs_transaction_id", "agent_logs", ["instance_uid", "transaction_id", "id"])
    op.create_table(
        "metric_series",
        sa.Column("series_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Uuid(), nullable=False, comment="of name, kind, source and attributes"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="gauge, counter (cumulative) or delta"),
        sa.Column("source", sa.Text(), nullable=False, comment="supervisor or collector"),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False, comment="of a late point, to the hour"),
        sa.PrimaryKeyConstraint("series_id", name=op.f("pk_metric_series")),
    )
    op.create_index("uq_metric_series_digest", "metric_series", ["instance_uid", "digest"], unique=True)
    op.create_table(
        "metric_points",
        sa.Column("partition_at", _TIME, nullable=False, comment="begin of the partition, of `partitions`"),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        postgresql_partition_by="LIST (partition_at)",
    )
    op.create_index("ix_metric_points_series_id", "metric_points", ["series_id", "timestamp"])
    op.create_table(
        "partitions",
        sa.Column("table_name", sa.Text(), nullable=False, comment="agent_logs or metric_points"),
        sa.Column("begun_at", _TIME, nullable=False, comment="what its rows have in partition_at"),
        sa.Column("ended_at", _TIME, nullable=True, comment="null for the one that is written to"),
        sa.PrimaryKeyConstraint("table_name", "begun_at", name=op.f("pk_partitions")),
    )
    op.create_table(
        "former_uids",
        sa.Column("stored_uid", sa.Uuid(), nullable=False),
        sa.Column("until", _TIME, nullable=False, comment="log records received before are those of instance_uid"),
        sa.Column(
            "instance_uid", sa.Uuid(), nullable=True, comment="null: of nobody any more, its gateway was deleted"
        ),
        sa.PrimaryKeyConstraint("stored_uid", "until", name=op.f("pk_former_uids")),
    )
    op.create_index("ix_former_uids_instance_uid", "former_uids", ["instance_uid"])
    op.create_table(
        "telemetry_agents",
        sa.Column("instance_uid", sa.Uuid(), nullable=False),
        sa.Column("last_received_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("instance_uid", name=op.f("pk_telemetry_agents")),
    )
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM log_records)")):
        _move_records()
    op.drop_table("log_records")


def _move_records() -> None:
    """What an earlier version kept goes into a partition of its own, which has ended."""
    begun_at = "2000-01-01 00:00:00+00"
    op.execute(f"CREATE TABLE agent_logs_20000101000000 PARTITION OF agent_logs FOR VALUES IN ('{begun_at}')")
    op.execute(f"INSERT INTO partitions VALUES ('agent_logs', '{begun_at}', now())")
    op.execute(
        "INSERT INTO agent_logs (partition_at, transaction_id, instance_uid, timestamp, received_at, severity_number,"
        f" source, scope, body, attributes) SELECT '{begun_at}', 0, instance_uid, timestamp, timestamp,"
        " CASE severity WHEN 'ERROR' THEN 17 WHEN 'WARN' THEN 13 ELSE 9 END, source, '', body, attributes"
        " FROM log_records ORDER BY id"
    )
