"""A credential is narrow: one class, one audience, bound to who answers for it.

Only the SHA-256 of a token is ever kept: a token is 256 random bits, so nothing slower is needed.
A credential goes with one of three proofs: a token of its own, an access token of a configured
issuer for one identity (`issuer#subject`), or nothing but a certificate; where it names a
certificate beside a token, its holder shows both.
"""

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

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
        digest: SHA-256 of the token; empty where it has none of its own.
        expires_at: POSIX seconds.
        revoked_at: POSIX seconds; 0 while it is good. One that was revoked is kept to be listed.
        identity: `issuer#subject` whose access tokens it goes with; empty for none.
        certificate_san: what the certificate that is shown must name, with its kind:
            `uri:spiffe://shop.example/worker`, `dns:worker.shop.example`; empty for none.
        lasting_s: seconds it was meant to last, where a rotation has cut that short; else 0.
        acting_for: whom an access token says that its holder acts for (RFC 8693); never stored.
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
    identity: str = ""
    certificate_san: str = ""
    lasting_s: float = 0.0
    acting_for: Person | None = None

    @property
    def is_by_certificate_alone(self) -> bool:
        """Whether a certificate is all that its holder shows."""
        return bool(self.certificate_san) and not self.digest and not self.identity

    def is_good(self, *, now: float) -> bool:
        """Whether it opens anything at a time, POSIX seconds."""
        return not self.revoked_at and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindings:
    """Good credentials that go with something else than a token of their own; the newest of each.

    Attributes:
        by_identity: by class and `issuer#subject`.
        by_certificate: those that a certificate alone opens, by class and name in it.
        refused: identities of which an operator has revoked something and made nothing since;
            what their issuer says of their groups makes them nobody.
    """

    by_identity: Mapping[tuple[CredentialClass, str], Credential] = field(default_factory=dict)
    by_certificate: Mapping[tuple[CredentialClass, str], Credential] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


NO_BINDINGS: Final = Bindings()


def bindings_of(credentials: Iterable[Credential]) -> Bindings:
    """Sort them out; revoked ones too, oldest first."""
    by_identity: dict[tuple[CredentialClass, str], Credential] = {}
    by_certificate: dict[tuple[CredentialClass, str], Credential] = {}
    # When something of an identity was last revoked, and made: what was made before that, and is
    # good yet, does not say that they are welcome. Names order what was done in one instant.
    revoked: dict[str, tuple[float, str]] = {}
    made: dict[str, tuple[float, str]] = {}
    for one in credentials:
        if one.revoked_at:
            if one.identity:
                at = (one.revoked_at, one.name)
                revoked[one.identity] = max(at, revoked.get(one.identity, at))
        elif one.identity:
            by_identity[one.credential_class, one.identity] = one
            at = (one.created_at, one.name)
            made[one.identity] = max(at, made.get(one.identity, at))
        elif one.is_by_certificate_alone:
            by_certificate[one.credential_class, one.certificate_san] = one
    refused = frozenset(who for who, at in revoked.items() if who not in made or made[who] <= at)
    return Bindings(by_identity=by_identity, by_certificate=by_certificate, refused=refused)


def secret_digest(token: str) -> bytes:
    """SHA-256 of a token or secret; the only form in which one is stored or compared."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
