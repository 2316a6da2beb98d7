"""Tables of agent-registry."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from flowkit.frame_tables import metadata

tables = metadata()

management_mode = postgresql.ENUM("extension", "supervisor", name="management_mode", create_type=False)
_time = sa.DateTime(timezone=True)

gateways = sa.Table(
    "gateways",
    tables,
    sa.Column("gateway_id", sa.Uuid, primary_key=True, comment="FlowGate's own stable id"),
    sa.Column("instance_uid", sa.Uuid, nullable=False, unique=True, comment="the agent's current one"),
    sa.Column("name", sa.Text, comment="given by an operator"),
    sa.Column("default_name", sa.Text, nullable=False, comment="service.name@host.name"),
    sa.Column("management_mode", management_mode, nullable=False, server_default="extension"),
    sa.Column("supervisor_status", postgresql.JSONB, comment="last SupervisorStatusChanged"),
    sa.Column("supervisor_logs_path", sa.Text, comment="where the supervisor's logs lie on the host"),
    sa.Column("labels", postgresql.JSONB, nullable=False, server_default="{}"),
    sa.Column("capabilities", sa.BigInteger, nullable=False, comment="uint64 as two's complement"),
    sa.Column("sequence_num", sa.BigInteger, nullable=False, comment="uint64 as two's complement"),
    sa.Column("agent_description", sa.LargeBinary, comment="serialized, as reported"),
    sa.Column("description_hash", sa.LargeBinary, comment="BLAKE2 of agent_description"),
    sa.Column("identity_key", sa.Text, comment="host, service and Kubernetes names in one"),
    sa.Column("attributes", postgresql.JSONB, nullable=False, server_default="{}", comment="description as text"),
    sa.Column("agent_type", sa.Text, nullable=False, server_default=""),
    sa.Column("version", sa.Text, nullable=False, server_default=""),
    sa.Column("host_name", sa.Text, nullable=False, server_default=""),
    sa.Column("os_type", sa.Text, nullable=False, server_default=""),
    sa.Column("host_arch", sa.Text, nullable=False, server_default=""),
    sa.Column("components_hash", sa.LargeBinary),
    sa.Column("health", sa.LargeBinary, comment="serialized ComponentHealth, as reported"),
    sa.Column("healthy", sa.Boolean, comment="null: never reported"),
    sa.Column("health_status", sa.Text, nullable=False, server_default=""),
    sa.Column("last_error", sa.Text, nullable=False, server_default=""),
    sa.Column("health_since", _time),
    sa.Column("started_at", _time),
    sa.Column("is_connected", sa.Boolean, nullable=False),
    sa.Column("connection_id", sa.Uuid, nullable=False),
    sa.Column("connected_at", _time, nullable=False),
    sa.Column("disconnected_at", _time),
    sa.Column("disconnect_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("ingress", sa.Text, nullable=False),
    sa.Column("remote_address", sa.Text, nullable=False),
    sa.Column("heartbeat_seconds", sa.Integer, nullable=False, server_default="0", comment="as offered; 0: its own"),
    sa.Column("first_seen_at", _time, nullable=False),
    sa.Column("last_seen_at", _time, nullable=False, comment="coarse; the finer one is in memory"),
    sa.Column("archived_at", _time),
    sa.Column("config_state", sa.Text, comment="of the latest delivery, as config-push tells; null: never got one"),
    sa.Column("enrollment_token_id", sa.Uuid, comment="with which it came first; null: of the ingress' settings"),
    # Health reports rewrite rows all the time: with room on the page and no index on what they change they stay HOT.
    postgresql_with={"fillfactor": 80},
)
sa.Index("ix_gateways_identity_key", gateways.c.identity_key)

available_components = sa.Table(
    "available_components",
    tables,
    sa.Column("hash", sa.LargeBinary, primary_key=True, comment="made by the agent"),
    sa.Column("components", sa.LargeBinary, nullable=False, comment="serialized AvailableComponents"),
)

enrollment_tokens = sa.Table(
    "enrollment_tokens",
    tables,
    sa.Column("token_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the secret, which is kept nowhere"),
    sa.Column("labels", postgresql.JSONB, nullable=False),
    sa.Column("max_uses", sa.BigInteger, nullable=False, comment="0: without limit"),
    sa.Column("uses", sa.BigInteger, nullable=False, comment="agents that registered with it"),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", _time),
    sa.Column("revoked_at", _time),
    sa.Column("last_used_at", _time),
    sa.Column("is_live", sa.Boolean, nullable=False, comment="whether it is in the bucket agent_credentials"),
)
sa.Index(
    "uq_enrollment_tokens_name",
    enrollment_tokens.c.name,
    unique=True,
    postgresql_where=enrollment_tokens.c.is_live,
)

refusals = sa.Table(
    "refusals",
    tables,
    sa.Column("instance_uid", sa.Uuid, primary_key=True, comment="of an agent that was not registered"),
    sa.Column("expires_at", _time, nullable=False, comment="then the wish `refusal` is removed"),
)
sa.Index("ix_refusals_expires_at", refusals.c.expires_at)
