"""Tables of supervisor-control."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from flowkit.frame_tables import metadata

tables = metadata()

_time = sa.DateTime(timezone=True)

supervisors = sa.Table(
    "supervisors",
    tables,
    sa.Column("instance_uid", sa.Uuid, primary_key=True),
    sa.Column("gateway_id", sa.Uuid),
    sa.Column("capabilities", sa.BigInteger, nullable=False, comment="uint64 as two's complement"),
    sa.Column("connected_at", _time, nullable=False, comment="start of the latest connection"),
    sa.Column("agent_description", sa.LargeBinary, nullable=False, comment="serialized, as reported"),
    sa.Column("collector_state", sa.Text, nullable=False),
    sa.Column("collector_started_at", _time),
    sa.Column("collector_starts", sa.BigInteger, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("last_error_at", _time),
    sa.Column("updated_at", _time, nullable=False),
    sa.Column("labels", postgresql.JSONB, comment="of its gateway; null until the registry told"),
    sa.Column("supervisor_started_at", _time),
    sa.Column("supervisor_starts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("is_connected", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("disconnect_reason", sa.Text, nullable=False, server_default="", comment="empty while connected"),
    sa.Column("transport", sa.Text, nullable=False, server_default="", comment="websocket or http"),
    sa.Column("credential_id", sa.Text, nullable=False, server_default="", comment="of its enrollment token"),
    sa.Column(
        "history",
        postgresql.JSONB,
        nullable=False,
        server_default="{}",
        comment="starts and crashes of the collector, seconds since 1970",
    ),
    sa.Column("connection_hash", sa.LargeBinary, comment="of the offer that it was sent last"),
    sa.Column("connection", postgresql.JSONB, comment="settings of that offer"),
    sa.Column("offered_at", _time),
    sa.Column("wanted_hash", sa.LargeBinary, comment="of the offer that waits for the agent"),
    sa.Column("wanted_connection", postgresql.JSONB, comment="settings of that offer"),
)

policies = sa.Table(
    "policies",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("selector", postgresql.JSONB, nullable=False),
    sa.Column("own_logs", sa.Boolean),
    sa.Column("own_metrics", sa.Boolean),
    sa.Column("own_traces", sa.Boolean),
    sa.Column("heartbeat_interval_seconds", sa.Integer),
    sa.Column("updated_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("updated_by", sa.Text, nullable=False),
)

commands = sa.Table(
    "commands",
    tables,
    sa.Column("command_id", sa.Uuid, primary_key=True),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("gateway_id", sa.Uuid),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("collector_started_at", _time, comment="before the restart; a later one tells that it was done"),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_at", _time, nullable=False),
    sa.Column("expires_at", _time, nullable=False),
    sa.Column("traceparent", sa.Text, nullable=False, server_default="", comment="what was done for it last"),
)
sa.Index("ix_commands_instance_uid", commands.c.instance_uid, commands.c.created_at)
sa.Index(
    "uq_commands_open",
    commands.c.instance_uid,
    unique=True,
    postgresql_where=commands.c.state.in_(["pending", "delivered"]),
)

agent_logs_ids = sa.Sequence("agent_logs_ids", metadata=tables)

agent_logs = sa.Table(
    "agent_logs",
    tables,
    sa.Column("partition_at", _time, nullable=False, comment="begin of the partition, of `partitions`"),
    sa.Column(
        "id",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("nextval('agent_logs_ids')"),
        comment="order within a transaction",
    ),
    sa.Column("transaction_id", sa.BigInteger, nullable=False, comment="for following: what was committed since"),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("timestamp", _time, nullable=False, comment="as its sender says, unless that is absurd"),
    sa.Column("received_at", _time, nullable=False),
    sa.Column("severity_number", sa.SmallInteger, nullable=False, comment="of OTLP, 0 to 24"),
    sa.Column("source", sa.Text, nullable=False, comment="supervisor, collector or flowgate"),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attributes", postgresql.JSONB, nullable=False),
    postgresql_partition_by="LIST (partition_at)",
)
sa.Index("ix_agent_logs_timestamp", agent_logs.c.instance_uid, agent_logs.c.timestamp, agent_logs.c.id)
sa.Index("ix_agent_logs_transaction_id", agent_logs.c.instance_uid, agent_logs.c.transaction_id, agent_logs.c.id)
sa.Index(
    "ix_agent_logs_supervisor_errors",
    agent_logs.c.instance_uid,
    agent_logs.c.timestamp,
    agent_logs.c.id,
    postgresql_where=sa.text("source = 'supervisor' AND severity_number >= 17 AND NOT attributes ? 'event'"),
)

metric_series = sa.Table(
    "metric_series",
    tables,
    sa.Column("series_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("digest", sa.Uuid, nullable=False, comment="of name, kind, source and attributes"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, comment="gauge, counter (cumulative) or delta"),
    sa.Column("source", sa.Text, nullable=False, comment="supervisor or collector"),
    sa.Column("attributes", postgresql.JSONB, nullable=False),
    sa.Column("seen_at", _time, nullable=False, comment="of a late point, to the hour"),
)
sa.Index("uq_metric_series_digest", metric_series.c.instance_uid, metric_series.c.digest, unique=True)

metric_points = sa.Table(
    "metric_points",
    tables,
    sa.Column("partition_at", _time, nullable=False, comment="begin of the partition, of `partitions`"),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    sa.Column("timestamp", _time, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    postgresql_partition_by="LIST (partition_at)",
)
sa.Index("ix_metric_points_series_id", metric_points.c.series_id, metric_points.c.timestamp)

partitions = sa.Table(
    "partitions",
    tables,
    sa.Column("table_name", sa.Text, primary_key=True, comment="agent_logs or metric_points"),
    sa.Column("begun_at", _time, primary_key=True, comment="what its rows have in partition_at"),
    sa.Column("ended_at", _time, comment="null for the one that is written to"),
)

former_uids = sa.Table(
    "former_uids",
    tables,
    sa.Column("stored_uid", sa.Uuid, primary_key=True),
    sa.Column("until", _time, primary_key=True, comment="log records received before are those of instance_uid"),
    sa.Column("instance_uid", sa.Uuid, comment="null: of nobody any more, its gateway was deleted"),
)
sa.Index("ix_former_uids_instance_uid", former_uids.c.instance_uid)

telemetry_agents = sa.Table(
    "telemetry_agents",
    tables,
    sa.Column("instance_uid", sa.Uuid, primary_key=True),
    sa.Column("last_received_at", _time, nullable=False),
)

operations = sa.Table(
    "operations",
    tables,
    sa.Column("operation_id", sa.Uuid, primary_key=True),
    sa.Column("action", sa.Text, nullable=False, comment="restart or push_config"),
    sa.Column("state", sa.Text, nullable=False, comment="running, succeeded, failed or cancelled"),
    sa.Column("config_hash", sa.LargeBinary, nullable=False, comment="of config-push; empty without one"),
    sa.Column("max_unavailable", sa.Integer, nullable=False),
    sa.Column("stop_on_failure", sa.Boolean, nullable=False),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_at", _time, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False, comment="targets by state, so that none is counted again"),
    sa.Column("running", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sa.Column("traceparent", sa.Text, nullable=False, server_default="", comment="of its order"),
)
sa.Index("ix_operations_created_at", operations.c.created_at)
sa.Index(
    "ix_operations_open",
    operations.c.operation_id,
    postgresql_where=(operations.c.waiting > 0) | (operations.c.running > 0),
)

operation_targets = sa.Table(
    "operation_targets",
    tables,
    sa.Column("operation_id", sa.ForeignKey("operations.operation_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, comment="agents are begun in this order"),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("gateway_id", sa.Uuid),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("capabilities", sa.BigInteger, nullable=False, comment="uint64 as two's complement"),
    sa.Column("state", sa.Text, nullable=False, comment="waiting, running, succeeded, failed or skipped"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("updated_at", _time, nullable=False),
    sa.Column("order_id", sa.Uuid, comment="command_id or delivery_id, from its beginning on"),
)
sa.Index(
    "ix_operation_targets_waiting",
    operation_targets.c.operation_id,
    operation_targets.c.position,
    postgresql_where=operation_targets.c.state == "waiting",
)
sa.Index(
    "uq_operation_targets_running",
    operation_targets.c.order_id,
    unique=True,
    postgresql_where=operation_targets.c.state == "running",
)
sa.Index("ix_operation_targets_instance_uid", operation_targets.c.instance_uid)
