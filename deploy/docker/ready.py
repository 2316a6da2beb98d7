"""Health check of a container: 0 when /readyz on this port of loopback answers 200. Raw, since it runs often."""

import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2) as connection:
    connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    sys.exit(0 if connection.recv(16)[9:12] == b"200" else 1)
