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
)
sa.Index("ix_commands_instance_uid", commands.c.instance_uid, commands.c.created_at)
sa.Index(
    "uq_commands_open",
    commands.c.instance_uid,
    unique=True,
    postgresql_where=commands.c.state.in_(["pending", "delivered"]),
)

log_records = sa.Table(
    "log_records",
    tables,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("timestamp", _time, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attributes", postgresql.JSONB, nullable=False),
)
sa.Index("ix_log_records_instance_uid", log_records.c.instance_uid, log_records.c.timestamp)
sa.Index("ix_log_records_timestamp", log_records.c.timestamp)
