"""Tokens that FlowGate issues. The prefix tells what one opens, and lets it be found in a text and masked.

| prefix | opens |
|---|---|
| `fga_` | the operator plane |
| `fge_` | OpAMP, for agents that come into the fleet |
| `fgt_` | own telemetry (OTLP) of one agent, nothing else, as long as the enrollment token that it came with is good |
| `fgm_` | /metrics of the services |
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

ADMIN, ENROLLMENT, TELEMETRY, METRICS = "fga_", "fge_", "fgt_", "fgm_"
BOOTSTRAP = "bootstrap"  # id of the enrollment tokens in the ingress' own settings
_SECRET_BYTES = 32
_UID_BYTES, _MAC_BYTES = 16, 24

_ISSUED = re.compile(r"fg[aetm]_[A-Za-z0-9_-]{20,}")
_ISSUED_BYTES = re.compile(rb"fg[aetm]_[A-Za-z0-9_-]{20,}")


def mint(prefix: str) -> str:
    """A new token of 256 random bits behind its prefix."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def digest(token: str) -> bytes:
    """SHA-256 of a token: what is kept in its place."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def issued(text: str) -> list[int]:
    """Where in a text tokens begin that FlowGate issued."""
    return [found.start() for found in _ISSUED.finditer(text)]


def redact(text: str) -> str:
    """The text with every issued token masked, all but its prefix."""
    return _ISSUED.sub(lambda found: found[0][:4] + "*" * (len(found[0]) - 4), text)


def redact_bytes(data: bytes) -> bytes:
    """Likewise for bytes. The length stays, so that a serialized message is still one."""
    if b"fg" not in data:
        return data
    return _ISSUED_BYTES.sub(lambda found: found[0][:4] + b"*" * (len(found[0]) - 4), data)


class TelemetryOwner(NamedTuple):
    """Whose a telemetry token is.

    Attributes:
        uid: the agent, 16 bytes.
        credential: id of the enrollment token that the agent came with; with that one this one ends.
    """

    uid: bytes
    credential: str


def telemetry_token(key: bytes, uid: bytes, credential: str = BOOTSTRAP) -> str:
    """The token with which an agent sends its own telemetry.

    It is made from the key, so that nobody has to keep it, and it is the same each time, so that an offer that carries
    it is the same too.
    """
    said = uid + credential.encode()
    return TELEMETRY + base64.urlsafe_b64encode(_mac(key, said) + said).decode()


def owner_of_telemetry_token(key: bytes, token: str) -> TelemetryOwner | None:
    """Whose telemetry token this is; None when it is none of this key."""
    if not token.startswith(TELEMETRY):
        return None
    try:
        raw = base64.b64decode(token[len(TELEMETRY) :], altchars=b"-_", validate=True)
    except ValueError:
        return None
    mac, said = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if len(said) < _UID_BYTES or not hmac.compare_digest(mac, _mac(key, said)):
        return None
    return TelemetryOwner(said[:_UID_BYTES], said[_UID_BYTES:].decode())


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.new(key, b"telemetry" + said, hashlib.sha256).digest()[:_MAC_BYTES]
