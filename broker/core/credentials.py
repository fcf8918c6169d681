"""A credential is narrow: one class, one audience, bound to who answers for it.

Only the SHA-256 of a token is ever kept: a token is 256 random bits, so nothing slower is needed.
"""

import enum
import hashlib
from dataclasses import dataclass

from broker.core.calls import Person


class CredentialClass(enum.StrEnum):
    """Which service a credential is good for."""

    HOST = "host"
    AGENT = "agent"
    WORKER = "worker"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential without its token.

    Attributes:
        name: `credentials/{id}`.
        subject: who holds it, such as `agents/support-assistant`.
        person: the reviewer or operator; the owner of an agent; None for hosts and workers.
        groups: a reviewer's.
        tools: a worker's.
        digest: SHA-256 of the token.
        expires_at: POSIX seconds.
        revoked_at: POSIX seconds; 0 while it is good. One that was revoked is kept to be listed.
    """

    name: str
    credential_class: CredentialClass
    subject: str
    person: Person | None
    groups: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    digest: bytes
    created_at: float
    expires_at: float
    revoked_at: float = 0.0


def secret_digest(token: str) -> bytes:
    """SHA-256 of a token or secret; the only form in which one is stored or compared."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
