"""Sessions of people at the UI: a signed cookie instead of the admin token, as a stream of events cannot send headers.

A cookie is good on every replica and kept by none: it names its end and is signed with a key made from the settings.
Taking an admin token's hash out of the settings ends the sessions that began with it.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe

COOKIE = "flowgate_session"
SECURE_COOKIE = "__Host-flowgate_session"  # browsers take this name from HTTPS alone, for the whole site
CSRF_HEADER = "X-CSRF-Token"

_COOKIE = re.compile(r"1\.(\d{1,12})\.([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in."""

    expires_at: int
    """End, seconds since 1970."""
    session_id: str
    """Names it; it opens nothing."""
    csrf_token: str
    """What its requests that change something must show: a page of another site cannot read it."""


class Sessions:
    """Makes and reads the cookies. It holds nothing but keys.

    Args:
        token_sha256: SHA-256 of each admin token, hex.
        key: secret text that all replicas share; without it the hashes alone make the keys, and whoever reads the
            settings of the service can sign in.
        seconds: how long a session lasts.
    """

    def __init__(self, token_sha256: Sequence[str], key: str, seconds: int) -> None:
        self._hashes = [one.encode() for one in token_sha256]
        self._keys = [hmac.digest(b"flowgate session " + key.encode(), one, "sha256") for one in self._hashes]
        self.seconds = seconds

    def which(self, token: str) -> int | None:
        """Number of the admin token that this is; None when it is none."""
        # Headers arrive as Latin-1. All hashes are compared, in constant time each: the time tells nothing.
        digest = sha256(token.encode("latin-1", "replace")).hexdigest().encode()
        matches = [hmac.compare_digest(digest, known) for known in self._hashes]
        return matches.index(True) if any(matches) else None

    def begin(self, which: int, now: float) -> tuple[str, Session]:
        """Cookie and session of somebody who showed this admin token."""
        expires_at = int(now) + self.seconds
        session_id = token_urlsafe(16)
        body = f"1.{expires_at}.{session_id}"
        cookie = f"{body}.{_sign(self._keys[which], body)}"
        return cookie, Session(expires_at, session_id, _csrf(self._keys[which], body))

    def read(self, cookie: str, now: float) -> Session | None:
        """The session that this cookie stands for; None when it is damaged, made by another key, or over."""
        match = _COOKIE.fullmatch(cookie)
        if match is None or int(match[1]) <= now or int(match[1]) > now + self.seconds:
            return None
        body = cookie.rpartition(".")[0]
        for key in self._keys:
            if hmac.compare_digest(_sign(key, body), match[3]):
                return Session(int(match[1]), match[2], _csrf(key, body))
        return None


def _sign(key: bytes, body: str) -> str:
    return hmac.digest(key, b"cookie " + body.encode(), "sha256").hex()


def _csrf(key: bytes, body: str) -> str:
    return hmac.digest(key, b"csrf " + body.encode(), "sha256").hex()[:43]
