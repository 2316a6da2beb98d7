"""Who may use the operator plane: whoever holds the admin token. An enrollment token opens nothing here."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api_gateway.problems import problem
from flowkit.telemetry import get_log

log = get_log()


class AdminTokenGuard:
    """Lets only requests with `Authorization: Bearer <admin token>` through, before anything of them is looked at.

    It stands in front of the router, so that paths that do not exist and the API's own description are behind it too.
    """

    def __init__(self, app: ASGIApp, token_sha256: Sequence[str]) -> None:
        self._app = app
        self._hashes = [item.encode() for item in token_sha256]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and self._is_known(token.strip()):
            await self._app(scope, receive, send)
            return
        log.info("auth.refused", path=request.url.path, client=request.client and request.client.host)
        challenge, detail = 'Bearer realm="flowgate"', "Send the admin token: Authorization: Bearer <admin_token>."
        if header:
            challenge += ', error="invalid_token"'
            detail = "This is not the admin token; agents' enrollment tokens open the agent plane only."
        await problem(request, 401, detail, {"WWW-Authenticate": challenge})(scope, receive, send)

    def _is_known(self, token: str) -> bool:
        # Headers arrive as Latin-1. All hashes are compared, in constant time each: the time tells nothing.
        digest = sha256(token.encode("latin-1")).hexdigest().encode()
        return sum(compare_digest(digest, known) for known in self._hashes) > 0
