"""The thin OpAMP ingress: WebSocket and HTTP in, batches on the bus out."""
