"""Signing in: the admin token once, then a cookie that scripts of the page cannot read."""

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field, SecretStr
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.auth import SESSION_PATH, cookie_session
from api_gateway.metrics import HttpMetrics
from api_gateway.problems import problem
from api_gateway.schemas.values import ApiModel
from api_gateway.session_streams import SessionStreams
from api_gateway.sessions import COOKIE, SECURE_COOKIE, Session, Sessions
from flowkit.telemetry import get_log

router = APIRouter(prefix=SESSION_PATH, tags=["session"], responses=refusals(401))

log = get_log()


class SignIn(ApiModel):
    """The credential."""

    token: SecretStr = Field(min_length=1, max_length=1024)
    """The admin token."""


class SessionResponse(ApiModel):
    """Whether this browser is signed in."""

    signed_in: bool
    """Whether its cookie is good."""
    expires_at: str | None
    """When that ends."""
    csrf_token: str | None
    """What requests of this session that change something send as X-CSRF-Token."""


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


SessionsDep = Annotated[Sessions, Depends(_sessions)]


def _session_json(session: Session | None) -> dict[str, object]:
    if session is None:
        return {"signed_in": False, "expires_at": None, "csrf_token": None}
    at = datetime.fromtimestamp(session.expires_at, UTC).isoformat()[:19]
    return {"signed_in": True, "expires_at": f"{at}Z", "csrf_token": session.csrf_token}


def _set_cookie(request: Request, response: Response, cookie: str, seconds: int) -> Response:
    secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE, cookie, seconds, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return response


@router.post("", operation_id="signIn", response_model=SessionResponse, responses=refusals(403, 422))
async def sign_in(request: Request, sessions: SessionsDep, credential: SignIn) -> Response:
    """Begin a session. The cookie is HttpOnly and SameSite=Strict, over HTTPS Secure as well."""
    # A page of another site must not sign a browser in as somebody else. Browsers say where a request comes from.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return problem(request, 403, "Sign in from a page of this site.")
    which = sessions.which(credential.token.get_secret_value())
    metrics: HttpMetrics = request.app.state.metrics
    metrics.sign_ins.labels("refused" if which is None else "begun").inc()
    if which is None:
        log.info("session.refused", client=request.client and request.client.host)
        return problem(request, 401, "This is not the admin token; agents' enrollment tokens open nothing here.")
    cookie, session = sessions.begin(which, time.time())
    log.info("session.began", client=request.client and request.client.host)
    return _set_cookie(request, answer(_session_json(session)), cookie, sessions.seconds)


@router.get("", operation_id="getSession", response_model=SessionResponse)
async def get_session(request: Request, sessions: SessionsDep) -> Response:
    """Whether this browser is signed in; answered to everybody."""
    return answer(_session_json(cookie_session(request, sessions)))


@router.delete("", operation_id="signOut", status_code=204)
async def sign_out(request: Request, sessions: SessionsDep) -> Response:
    """Take the cookie back, and end the streams that it opened. Sessions are kept nowhere: a copy of the cookie is good
    until its end."""
    session = cookie_session(request, sessions)
    if session is not None:
        streams: SessionStreams = request.app.state.streams
        await streams.end(session)
    return _set_cookie(request, Response(status_code=204), "", 0)
