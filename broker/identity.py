"""Who asks is told by a token alone; every wrong token gets one and the same answer.

A token is `cb_<class>_` and 256 random bits. It is found by its SHA-256, so that neither the time
of a comparison nor the database tells anything of it, and its form is checked before it is hashed,
so that nonsense costs nothing. What a credential may do is its class, and nothing in a request
changes that.
"""

import re
import secrets
import unicodedata
from collections.abc import Callable, Collection
from typing import Final

from broker.core.calls import Person
from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import MalformedRequest, NotPermitted, Unauthenticated
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.ports import Clock

LOCAL_ISSUER: Final = "local"
_TOKEN_BYTES: Final = 32
_BEARER: Final = re.compile(
    rf"(?i:bearer) (cb_(?:{'|'.join(CredentialClass)})_[A-Za-z0-9_-]{{43}})", re.ASCII
)
_UNAUTHENTICATED: Final = "This needs a valid token: authorization: Bearer cb_…"


class Identity:
    """Turns a header into a credential, and asks again as long as a stream lasts."""

    def __init__(self, *, control: Callable[[], Control], clock: Clock) -> None:
        self._control = control
        self._clock = clock

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
        credential = self.identify(authorization)
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

    def identify(self, authorization: str | None) -> Credential:
        """Who asks, whatever for.

        Raises:
            Unauthenticated: no token, or one that is malformed, unknown, expired or revoked.
        """
        bearer = _BEARER.fullmatch(authorization or "")
        if bearer is None:
            raise Unauthenticated(_UNAUTHENTICATED)
        credential = self._control().credentials.get(secret_digest(bearer[1]))
        return self._good(credential)

    def recheck(self, credential: Credential) -> None:
        """Whether a credential that was good still is.

        Raises:
            Unauthenticated: it has expired or was revoked.
        """
        self._good(self._control().credentials.get(credential.digest))

    def _good(self, credential: Credential | None) -> Credential:
        if credential is None or self._clock() >= credential.expires_at:
            raise Unauthenticated(_UNAUTHENTICATED)
        return credential


def new_token(credential_class: CredentialClass) -> str:
    """A new token of a class: 256 bits from the operating system."""
    return f"cb_{credential_class}_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def parse_person(text: str, *, field: str) -> Person:
    """Read `issuer#subject`, or a bare `subject` of the issuer `local`.

    Only the first `#` divides; a subject may have more.

    Args:
        text: what was sent.
        field: the name of the request's field, for the error.

    Raises:
        MalformedRequest: a part is empty, too long, has control characters or outer spaces, or is
            not in the one form that equal-looking texts share (NFKC): one Person has one name.
    """
    issuer, divided, subject = text.partition("#")
    if not divided:
        issuer, subject = LOCAL_ISSUER, text
    if not (_is_name(issuer) and _is_name(subject)):
        raise MalformedRequest(
            'A person is "issuer#subject" or "subject", each of 1 to '
            f"{NAME_CHARACTERS_MAX} printable characters.",
            metadata={"field": field},
        )
    return Person(issuer=issuer, subject=subject)


def _is_name(text: str) -> bool:
    return (
        0 < len(text) <= NAME_CHARACTERS_MAX
        and text.isprintable()
        and text == text.strip()
        and unicodedata.is_normalized("NFKC", text)
    )
