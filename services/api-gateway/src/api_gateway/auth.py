"""Who may use the operator plane: whoever holds the admin token, or the cookie of a session that began with it. An
enrollment token opens nothing here."""

import time
from collections.abc import Callable
from hmac import compare_digest

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api_gateway.problems import problem
from api_gateway.session_streams import SessionStreams
from api_gateway.sessions import COOKIE, CSRF_HEADER, SECURE_COOKIE, Session, Sessions
from flowkit.telemetry import get_log

SESSION_PATH = "/api/v1/session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

log = get_log()


def cookie_session(request: Request, sessions: Sessions) -> Session | None:
    """The session of a request's cookie; over HTTPS only the cookie that HTTPS made counts."""
    name = SECURE_COOKIE if request.url.scheme == "https" else COOKIE
    return sessions.read(request.cookies.get(name, ""), time.time())


class OperatorGuard:
    """Lets only operators through, before anything of a request is looked at.

    It stands in front of the router, so that paths that do not exist and the API's own description are behind it too.
    A cookie comes with every request that a browser makes, also those that a page of another site began: what changes
    something must show the session's CSRF token as well. The header `Authorization` needs none: no page can set it.

    Args:
        sessions: tokens and cookies.
        streams: ends the streams of a session with it.
        is_open: whether a path is there for everybody: the UI's own files, which hold nothing, and signing in.
    """

    def __init__(
        self, app: ASGIApp, sessions: Sessions, streams: SessionStreams, is_open: Callable[[str], bool]
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._streams = streams
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and self._sessions.which(token.strip()) is not None:
            await self._app(scope, receive, send)
            return
        session = None if header else cookie_session(request, self._sessions)
        if session is not None:
            shown = request.headers.get(CSRF_HEADER, "").encode("latin-1", "replace")
            if request.method in _SAFE or compare_digest(session.csrf_token.encode(), shown):
                await self._streams.run(self._app, session, scope, receive, send)
                return
            detail = f"Send the session's token in {CSRF_HEADER}; GET {SESSION_PATH} tells it to pages of this site."
            await problem(request, 403, detail)(scope, receive, send)
            return
        log.info("auth.refused", path=request.url.path, client=request.client and request.client.host)
        challenge, detail = 'Bearer realm="flowgate"', "Send the admin token: Authorization: Bearer <admin_token>."
        if header:
            challenge += ', error="invalid_token"'
            detail = "This is not the admin token; agents' enrollment tokens open the agent plane only."
        await problem(request, 401, detail, {"WWW-Authenticate": challenge})(scope, receive, send)
