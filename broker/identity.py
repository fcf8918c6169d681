"""Who asks is told by what they show alone; everything wrong gets one and the same answer.

A token of ours is `cb_<class>_` and 256 random bits. It is found by its SHA-256, so that neither
the time of a comparison nor the database tells anything of it, and its form is checked before it is
hashed, so that nonsense costs nothing. An access token of a configured issuer, or a certificate,
stands for a credential that an operator has bound to it; a credential that names a certificate
counts only beside that one. What a credential may do is its class, and nothing in a request changes
that.
"""

import re
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Final

from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import NotPermitted, Unauthenticated
from broker.core.persons import LOCAL_ISSUER, parse_person
from broker.ports import Clock
from broker.ports.access_tokens import AccessTokens, KeysWanted

__all__ = ["LOCAL_ISSUER", "NO_NAMES", "Identity", "new_token", "parse_person"]

NO_NAMES: Final[frozenset[str]] = frozenset()

_TOKEN_BYTES: Final = 32
_BEARER: Final = re.compile(
    rf"(?i:bearer) (cb_(?:{'|'.join(CredentialClass)})_[A-Za-z0-9_-]{{43}})", re.ASCII
)
_ISSUED: Final = re.compile(
    r"(?i:bearer) ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.ASCII
)
_UNAUTHENTICATED: Final = "This needs a valid token: authorization: Bearer cb_…"


def _not_noted(_name: str) -> None:
    """Nobody wants to know when a credential was used."""


class Identity:
    """Turns what is shown into a credential, and asks again as long as a stream lasts."""

    def __init__(
        self,
        *,
        control: Callable[[], Control],
        clock: Clock,
        access_tokens: AccessTokens | None = None,
        used: Callable[[str], None] = _not_noted,
    ) -> None:
        """Make one.

        Args:
            control: what operators have put in force.
            clock: POSIX seconds.
            access_tokens: of configured issuers; None where there are none.
            used: hears the name of each credential that was good.
        """
        self._control = control
        self._clock = clock
        self._access_tokens = access_tokens
        self._used = used

    async def recognise(
        self, authorization: str | None, wanted: Collection[CredentialClass]
    ) -> Credential:
        """Who asks, waiting for an issuer's keys where those are wanted.

        Args:
            authorization: the header's value as received.
            wanted: classes that what is asked for is open to; one of another class is told as it
                is, and `admit` refuses it.

        Raises:
            Unauthenticated: no token, or one that is malformed, unknown, expired or revoked.
            IssuerUnavailable: nobody can say whether the token is good.
        """
        try:
            return self.identify(authorization, wanted)
        except KeysWanted as keys:
            if self._access_tokens is not None:
                await self._access_tokens.renew(keys.issuer)
        try:
            return self.identify(authorization, wanted)
        except KeysWanted:
            raise Unauthenticated(_UNAUTHENTICATED) from None

    def authenticate(
        self, authorization: str | None, wanted: Collection[CredentialClass]
    ) -> Credential:
        """Who asks.

        Args:
            authorization: the header's value as received.
            wanted: classes of credential that what is asked for is open to.

        Raises:
            Unauthenticated: no token, or one that is malformed, unknown, expired or revoked.
            NotPermitted: a good token of another class.
        """
        credential = self.identify(authorization, wanted)
        self.admit(credential, wanted)
        return credential

    def admit(self, credential: Credential, wanted: Collection[CredentialClass]) -> None:
        """Whether a credential is of a class that something is open to.

        Raises:
            NotPermitted: it is of another.
        """
        if credential.credential_class not in wanted:
            raise NotPermitted(
                f"This is not for credentials of class {credential.credential_class}."
            )

    def identify(
        self, authorization: str | None, wanted: Collection[CredentialClass] = ()
    ) -> Credential:
        """Who asks, by a token.

        Raises:
            Unauthenticated: no token, or one that is malformed, unknown, expired or revoked.
            IssuerUnavailable: nobody can say whether the token is good.
            KeysWanted: as above, unless its issuer is asked.
        """
        bearer = _BEARER.fullmatch(authorization or "")
        if bearer is not None:
            return self._good(self._control().credentials.get(secret_digest(bearer[1])))
        issued = _ISSUED.fullmatch(authorization or "")
        if issued is None or self._access_tokens is None:
            raise Unauthenticated(_UNAUTHENTICATED)
        return self._good(_fitting(self._access_tokens.read(issued[1]), wanted))

    def by_certificate(
        self, names: Collection[str], wanted: Collection[CredentialClass]
    ) -> Credential:
        """Who asks, by nothing but a certificate.

        Args:
            names: what the certificate names, each with its kind.
            wanted: classes that what is asked for is open to.

        Raises:
            Unauthenticated: no credential is bound to it alone.
        """
        bound = self._control().bindings.by_certificate
        found = [
            bound[credential_class, name]
            for credential_class in (*wanted, *CredentialClass)
            for name in sorted(names)
            if (credential_class, name) in bound
        ]
        return self._good(_fitting(found, wanted))

    def require_certificate(self, credential: Credential, names: Collection[str]) -> None:
        """Whether a credential that is bound to a certificate comes with it.

        Raises:
            Unauthenticated: it does not.
        """
        if credential.certificate_san and credential.certificate_san not in names:
            raise Unauthenticated(_UNAUTHENTICATED)

    def recheck(self, credential: Credential) -> None:
        """Whether a credential that was good still is.

        Raises:
            Unauthenticated: it has expired or was revoked.
        """
        control = self._control()
        if credential.digest:
            self._good(control.credentials.get(credential.digest))
        elif credential.identity:
            known = self._access_tokens is not None and self._access_tokens.recheck(credential)
            self._good(credential if known else None)
        else:
            place = (credential.credential_class, credential.certificate_san)
            now = control.bindings.by_certificate.get(place)
            self._good(now if now is not None and now.name == credential.name else None)

    def _good(self, credential: Credential | None) -> Credential:
        if credential is None or self._clock() >= credential.expires_at:
            raise Unauthenticated(_UNAUTHENTICATED)
        self._used(credential.name)
        return credential


def new_token(credential_class: CredentialClass) -> str:
    """A new token of a class: 256 bits from the operating system."""
    return f"cb_{credential_class}_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def _fitting(found: Sequence[Credential], wanted: Collection[CredentialClass]) -> Credential | None:
    """The one of a wanted class, or else any, which is then refused for its class."""
    fits = (one for one in found if one.credential_class in wanted)
    return next(fits, next(iter(found), None))
