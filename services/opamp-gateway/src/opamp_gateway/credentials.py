"""Enrollment tokens that open the agent plane: those of the setting, and a mirror of the KV bucket
`agent_credentials`, from which agent-registry removes what it revokes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts, tokens
from flowkit.bus import Bus
from flowkit.telemetry import get_log
from opamp_gateway.mirror import Mirror

log = get_log()

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Known:
    token_id: str
    digest: bytes
    expires_at: int  # nanoseconds since 1970, 0 is without limit

    def is_expired(self, now: int) -> bool:
        return 0 < self.expires_at <= now


class Credentials:
    """Looks tokens up by their SHA-256; of a token itself nothing is kept, so the time that it takes tells nothing."""

    def __init__(self, bus: Bus, bootstrap: Iterable[bytes]) -> None:
        self.revoked: Callable[[str], None] = lambda token_id: None
        """Called with the id of a token that opens nothing any more."""
        self.mirror = Mirror(bus, contracts.AGENT_CREDENTIALS, self._put, self._drop)
        self._bootstrap = frozenset(bootstrap)
        self._by_digest: dict[bytes, _Known] = {}
        self._by_id: dict[str, _Known] = {}

    def token_id(self, token: str, now: int) -> str | None:
        """Id of an enrollment token that is good at `now`, in nanoseconds since 1970: the same object each time."""
        digest = tokens.digest(token)
        if digest in self._bootstrap:
            return tokens.BOOTSTRAP
        known = self._by_digest.get(digest)
        return known.token_id if known is not None and not known.is_expired(now) else None

    def is_good(self, token_id: str, now: int) -> bool:
        """Whether what came with this enrollment token is still welcome."""
        if token_id == tokens.BOOTSTRAP:
            return bool(self._bootstrap)
        known = self._by_id.get(token_id)
        return known is not None and not known.is_expired(now)

    def expire(self, now: int) -> None:
        """Revoke what is over."""
        for known in [known for known in self._by_id.values() if known.is_expired(now)]:
            log.info("credential.expired", credential=known.token_id)
            self._forget(known)

    def _put(self, token_id: str, value: bytes, _: int) -> None:
        credential = desired_pb2.Credential.FromString(value)
        if len(credential.sha256) != _DIGEST_BYTES:
            raise ValueError(f"sha256 has {len(credential.sha256)} bytes")
        former = self._by_id.get(token_id)
        if former is not None:
            if former.digest != credential.sha256:
                self._forget(former)
            token_id = former.token_id
        known = _Known(token_id, credential.sha256, credential.expires_at_unix_nano)
        self._by_id[token_id] = self._by_digest[known.digest] = known

    def _drop(self, token_id: str) -> None:
        known = self._by_id.get(token_id)
        if known is not None:
            log.info("credential.revoked", credential=token_id)
            self._forget(known)

    def _forget(self, known: _Known) -> None:
        del self._by_id[known.token_id]
        if self._by_digest.get(known.digest) is known:
            del self._by_digest[known.digest]
        self.revoked(known.token_id)
