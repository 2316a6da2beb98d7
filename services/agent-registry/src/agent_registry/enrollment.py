"""Enrollment tokens: pure decisions on who may come into the fleet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from flowgate.uplink.v1 import desired_pb2
from flowkit import contracts
from flowkit.outbox import Desired, Effect, KvPut

UNLIMITED = frozenset({"", "bootstrap"})  # credentials of the ingress' own settings
REFUSAL = timedelta(hours=1)
# An extension that reloads comes back under another uid before the end of its former connection is known here: it is
# refused only until then.
SHORT_REFUSAL = timedelta(seconds=10)


@dataclass(frozen=True)
class EnrollmentToken:
    """A token without its secret; the columns of `enrollment_tokens` by their names."""

    token_id: UUID
    name: str
    sha256: bytes
    max_uses: int
    created_at: datetime
    created_by: str
    labels: dict[str, str] = field(default_factory=dict)
    uses: int = 0
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    is_live: bool = True


class Admission:
    """Who of a batch may register: agents that nobody knows, with the tokens that they came with, locked.

    Attributes:
        used: tokens that were used, by token_id text.
        refused: agents that were not taken, and until when they need not try again.
        forgiven: agents that were refused before and are taken now.
    """

    def __init__(self, tokens: Sequence[EnrollmentToken], refused_before: Collection[UUID]) -> None:
        self._tokens = {str(one.token_id): one for one in tokens}
        self._refused_before = refused_before
        self.used: dict[str, EnrollmentToken] = {}
        self.refused: dict[UUID, datetime] = {}
        self.forgiven: set[UUID] = set()

    def refusal(self, credential_id: str, at: datetime) -> str:
        """Why an agent that came with this credential at this time is not taken; empty when it is."""
        if credential_id in UNLIMITED:
            return ""
        token = self._tokens.get(credential_id)
        if token is None:
            return "its enrollment token is not known; create one with `flowgate tokens create`"
        if token.revoked_at is not None:
            return f"its enrollment token {token.name!r} is revoked; give the agent another one"
        if token.expires_at is not None and token.expires_at <= at:
            return f"its enrollment token {token.name!r} has expired; give the agent another one"
        if token.max_uses and token.uses >= token.max_uses:
            agents = f"{token.max_uses} agent" + ("s" if token.max_uses > 1 else "")
            return f"its enrollment token {token.name!r} is used up: it is good for {agents}; give this one another"
        return ""

    def welcome(self, instance_uid: UUID) -> list[Effect]:
        """The end of an earlier refusal of an agent that has a gateway now, by whatever way."""
        if instance_uid not in self._refused_before and instance_uid not in self.refused:
            return []
        self.refused.pop(instance_uid, None)
        self.forgiven.add(instance_uid)
        return [Desired(str(instance_uid), "refusal", None)]

    def take(self, credential_id: str, at: datetime) -> EnrollmentToken | None:
        """Count an agent that is not refused; returns its token, None for one of the ingress' settings."""
        token = self._tokens.get(credential_id)
        if credential_id in UNLIMITED or token is None:
            return None
        last = max(at, token.last_used_at or at)
        changed = replace(token, uses=token.uses + 1, last_used_at=last)
        self._tokens[credential_id] = self.used[credential_id] = changed
        return changed

    def refuse(self, instance_uid: UUID, credential_id: str, reason: str, until: datetime) -> Desired:
        """Send an agent away: it is told why. The wish is named after the credential, since with another one the agent
        may try again."""
        self.refused[instance_uid] = until
        self.forgiven.discard(instance_uid)
        wish = desired_pb2.DesiredState(
            id=credential_id,
            expires_at_unix_nano=int(until.timestamp() * 1e9),
            refusal=desired_pb2.DesiredRefusal(reason=reason),
        )
        return Desired(str(instance_uid), "refusal", wish)


def credential(token: EnrollmentToken) -> KvPut:
    """The entry that opens the agent plane to a live token, and takes it away from another."""
    if not token.is_live:
        return KvPut(contracts.AGENT_CREDENTIALS, str(token.token_id), None)
    expires = int(token.expires_at.timestamp() * 1e9) if token.expires_at is not None else 0
    entry = desired_pb2.Credential(sha256=token.sha256, expires_at_unix_nano=expires)
    return KvPut(contracts.AGENT_CREDENTIALS, str(token.token_id), entry.SerializeToString())
