"""The two tables that the frame itself needs in every owner's schema: the outbox and the offsets."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


def metadata() -> sa.MetaData:
    """Metadata of an owner's schema, with the frame's tables in it."""
    tables = sa.MetaData(naming_convention=NAMING)
    sa.Table(
        "outbox",
        tables,
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False, comment="Nats-Msg-Id"),
        sa.Column("headers", postgresql.JSONB, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    sa.Table(
        "stream_offsets",
        tables,
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("shard", sa.Integer, primary_key=True),
        sa.Column(
            "stream_created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="tells a stream made anew from the former one",
        ),
        sa.Column("stream_sequence", sa.BigInteger, nullable=False),
    )
    return tables
