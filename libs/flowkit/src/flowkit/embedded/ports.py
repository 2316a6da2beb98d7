"""Ports of this machine that nobody listens on."""

import random
import socket
from collections.abc import Collection

# Below the range from which outgoing connections take theirs: a port is free again after a restart of its server.
FIRST, LAST = 20_000, 32_000


def free_ports(count: int, but: Collection[int] = ()) -> list[int]:
    """Ports on loopback that are free now, all different and none of `but`, on which somebody is about to listen.

    Raises:
        OSError: there are not so many.
    """
    candidates = random.sample(range(FIRST, LAST), 4 * count + 200)
    found = [port for port in candidates if port not in but and is_free(port)][:count]
    if len(found) < count:
        raise OSError(f"no {count} free ports between {FIRST} and {LAST}")
    return found


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
