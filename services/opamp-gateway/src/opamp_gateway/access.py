"""Who may speak on the agent plane: decided on the request's head, before the upgrade and before the body."""

from urllib.parse import urlsplit

from opamp_gateway.http1 import Head, media_type

PROTOBUF = "application/x-protobuf"
CHALLENGE = (("www-authenticate", 'Bearer realm="FlowGate agents"'),)

Refusal = tuple[int, str, tuple[tuple[str, str], ...]]
"""Status, reason and headers of the answer to a request that is refused by its head."""


def bearer_token(head: Head) -> str:
    """The token that the request presents; empty when it presents none."""
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_own_origin(head: Head) -> bool:
    """Whether the request is from no browser, or from a page of this very host."""
    origin = head.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == head.headers.get("host", "").lower()


def refusal(head: Head, path: str, is_authorized: bool, retry_after: float) -> Refusal | None:
    """Why the request may not go on; None when it may.

    Content-Type tells plain HTTP (Plain HTTP Transport); without it the client has to want a WebSocket.
    `retry_after` is above 0 while the ingress takes no more.
    """
    is_plain = media_type(head.headers.get("content-type", "")) == PROTOBUF
    if head.path != path:
        return 404, f"OpAMP is at {path}", ()
    if is_plain and head.method != "POST":
        return 405, "plain HTTP is POST only", (("allow", "POST"),)
    if head.method not in ("GET", "POST"):
        return 405, "use GET with an upgrade, or POST", (("allow", "GET, POST"),)
    if not is_plain:
        if head.method == "POST":
            return 415, f"content-type has to be {PROTOBUF}", (("accept", PROTOBUF),)
        if not head.is_upgrade or head.is_http10:
            return 426, "use a WebSocket, or POST", (("upgrade", "websocket"), ("connection", "upgrade"))
        if head.headers.get("sec-websocket-version") != "13":
            return 426, "WebSocket version is not 13", (("sec-websocket-version", "13"), ("upgrade", "websocket"))
    if not is_own_origin(head):
        return 403, "origin is foreign", ()
    if not is_authorized:
        return 401, "a valid enrollment token is needed", CHALLENGE
    if retry_after > 0:
        return 503, "busy, come again later", (("retry-after", str(int(retry_after))),)
    return None
