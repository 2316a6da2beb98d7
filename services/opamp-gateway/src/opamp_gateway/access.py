"""Who may speak on the agent plane: decided on the request's head, before the upgrade and before the body."""

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from opamp_gateway.http1 import Head, media_type

PROTOBUF = "application/x-protobuf"


def is_authorized(authorization: str | None, digests: Sequence[bytes]) -> bool:
    """Whether a bearer token's SHA-256 is one of `digests`, in a time that tells nothing about them."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
    matches = [hmac.compare_digest(digest, known) for known in digests]
    return any(matches)


def is_own_origin(head: Head) -> bool:
    """Whether the request is from no browser, or from a page of this very host."""
    origin = head.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == head.headers.get("host", "").lower()


def refusal(
    head: Head, path: str, digests: Sequence[bytes], retry_after: float
) -> tuple[int, str, tuple[tuple[str, str], ...]] | None:
    """Status, reason and headers of the refusal, or None when the request may go on.

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
    if not is_authorized(head.headers.get("authorization"), digests):
        return 401, "a valid enrollment token is needed", (("www-authenticate", 'Bearer realm="FlowGate agents"'),)
    if retry_after > 0:
        return 503, "busy, come again later", (("retry-after", str(int(retry_after))),)
    return None
