"""Tables of config-push."""

import sqlalchemy as sa

from flowkit.frame_tables import metadata

tables = metadata()

_time = sa.DateTime(timezone=True)

configs = sa.Table(
    "configs",
    tables,
    sa.Column("content_hash", sa.LargeBinary, primary_key=True, comment="SHA-256 over names, bodies, types and roles"),
    sa.Column("body", sa.Text, nullable=False, comment="YAML as it was written, never reformatted"),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("kept_at", _time, nullable=False, server_default=sa.func.now(), comment="when it was wanted last"),
)

agents = sa.Table(
    "agents",
    tables,
    sa.Column("instance_uid", sa.Uuid, primary_key=True),
    sa.Column("gateway_id", sa.Uuid),
    sa.Column("capabilities", sa.BigInteger, nullable=False, comment="uint64 as two's complement"),
    sa.Column("connected_at", _time, nullable=False, comment="start of the latest connection"),
    sa.Column("reported_hash", sa.LargeBinary, nullable=False, server_default=""),
    sa.Column("reported_status", sa.Text, nullable=False, server_default="unset"),
    sa.Column("reported_error", sa.Text, nullable=False, server_default=""),
    sa.Column("crashed_at", _time, comment="latest end of its collector that nobody ordered"),
    sa.Column("ran_at", _time, comment="when its collector was told to run last"),
    sa.Column("effective", sa.LargeBinary, comment="serialized EffectiveConfig, as reported"),
    sa.Column("effective_hash", sa.LargeBinary),
    sa.Column("effective_at", _time),
)

deliveries = sa.Table(
    "deliveries",
    tables,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("instance_uid", sa.Uuid, nullable=False),
    sa.Column("gateway_id", sa.Uuid),
    sa.Column("content_hash", sa.LargeBinary, sa.ForeignKey("configs.content_hash"), nullable=False),
    sa.Column("config_hash", sa.LargeBinary, nullable=False, comment="as offered; salted to apply the same again"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("is_latest", sa.Boolean, nullable=False, comment="what the agent should run with"),
    sa.Column("is_automatic", sa.Boolean, nullable=False, comment="given again to an agent that lost it"),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_at", _time, nullable=False),
    sa.Column("traceparent", sa.Text, nullable=False, server_default="", comment="what was done for it last"),
)
sa.Index("ix_deliveries_instance_uid", deliveries.c.instance_uid, deliveries.c.created_at)
sa.Index("ix_deliveries_content_hash", deliveries.c.content_hash)
sa.Index(
    "uq_deliveries_latest",
    deliveries.c.instance_uid,
    unique=True,
    postgresql_where=deliveries.c.is_latest,
)
