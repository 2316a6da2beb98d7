"""How far a service has read, kept in the transaction of what it made of it: exactly one effect a message."""

from flowkit.db import Connection


async def advance(connection: Connection, stream: str, shard: int, created_at: float, sequence: int) -> bool:
    """Move the offset to `sequence`; False when the message was handled before and is to be skipped.

    Two replicas that hold the same message wait for each other here, at the row.

    Args:
        stream: name of the stream.
        shard: shard within it; 0 for streams without.
        created_at: creation time of the stream, seconds since 1970: a stream made anew starts anew.
        sequence: the message's sequence in the stream.
    """
    moved = await connection.fetchval(
        "INSERT INTO stream_offsets AS o (stream, shard, stream_created_at, stream_sequence)"
        " VALUES ($1, $2, to_timestamp($3), $4) ON CONFLICT (stream, shard) DO UPDATE"
        " SET stream_created_at = excluded.stream_created_at, stream_sequence = excluded.stream_sequence"
        " WHERE o.stream_created_at <> excluded.stream_created_at OR o.stream_sequence < excluded.stream_sequence"
        " RETURNING true",
        stream,
        shard,
        created_at,
        sequence,
    )
    return bool(moved)
