"""A visit to the identity provider is one browser's, for one purpose, and comes back once.

What OAuth calls `state` is here a record that only this broker can make or read (AES-GCM under a
key of this process), sealed together with a secret that the browser keeps in a cookie: whoever
brings another browser's state along, or their own into somebody else's browser, brings nothing. No
store grows by those who set out and never return. The nonce and the PKCE verifier are made from
the record's id, and so are as fresh as it is.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.core.credentials import secret_digest
from broker.core.errors import Unauthenticated

LIFE_S: Final = 600.0
STATE_CHARACTERS_MAX: Final = 2_000
_ID_BYTES: Final = 12  # of a nonce of AES-GCM, and far more than one process ever makes
_OVER: Final = "This sign-in was over, was used, or was begun in another browser. Sign in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """For what a fresh sign-in is: one hold as it was, by the one who is signed in.

    Attributes:
        sign_in: hexadecimal digest of theirs.
    """

    sign_in: str
    hold: str
    etag: int
    call_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One visit.

    Attributes:
        next: path of the page to open at the end.
        fresh: for what, where it is not for signing in alone.
        nonce: to be repeated by the provider in its ID token.
        verifier: of PKCE (RFC 7636).
        began_at: POSIX seconds.
    """

    next: str
    fresh: Fresh | None
    began_at: float
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class Journeys:
    """Begins visits, and knows those that come back."""

    def __init__(self) -> None:
        key = AESGCM.generate_key(bit_length=256)
        self._seal = AESGCM(key)
        self._secret = secrets.token_bytes(32)
        self._used: dict[bytes, float] = {}

    def begin(
        self, browser: str, *, next_path: str, now: float, fresh: Fresh | None = None
    ) -> tuple[str, Journey]:
        """Set out.

        Args:
            browser: the secret in the browser's cookie.
            next_path: of the page to open at the end.
            now: POSIX seconds.
            fresh: for what, where it is not for signing in alone.

        Returns:
            The state to send along, and the visit.
        """
        number = secrets.token_bytes(_ID_BYTES)
        journey = self._journey(number, next_path, fresh, now)
        body = [now, next_path]
        if fresh is not None:
            body += [fresh.sign_in, fresh.hold, fresh.etag, fresh.call_digest]
        sealed = self._seal.encrypt(number, json.dumps(body).encode(), secret_digest(browser))
        return base64.urlsafe_b64encode(number + sealed).decode(), journey

    def end(self, browser: str, state: str, *, now: float) -> Journey:
        """Come back, for the first and last time.

        Raises:
            Unauthenticated: this browser never set out with this state, came back already, or was
                away for too long.
        """
        number, body = self._open(browser, state)
        journey = self._journey(
            number,
            str(body[1]),
            Fresh(sign_in=body[2], hold=body[3], etag=body[4], call_digest=body[5])
            if body[2:]
            else None,
            float(body[0]),
        )
        self._used = {one: until for one, until in self._used.items() if now < until}
        if number in self._used or not 0 <= now - journey.began_at < LIFE_S:
            raise Unauthenticated(_OVER)
        self._used[number] = journey.began_at + LIFE_S
        return journey

    def _open(self, browser: str, state: str) -> tuple[bytes, list[Any]]:
        if not browser or len(state) > STATE_CHARACTERS_MAX:
            raise Unauthenticated(_OVER)
        try:
            raw = base64.b64decode(state.encode(), altchars=b"-_", validate=True)
            number, sealed = raw[:_ID_BYTES], raw[_ID_BYTES:]
            body = self._seal.decrypt(number, sealed, secret_digest(browser))
        except (binascii.Error, ValueError, InvalidTag):
            raise Unauthenticated(_OVER) from None
        opened: list[Any] = json.loads(body)
        return number, opened

    def _journey(
        self, number: bytes, next_path: str, fresh: Fresh | None, began_at: float
    ) -> Journey:
        return Journey(
            next=next_path,
            fresh=fresh,
            began_at=began_at,
            nonce=self._derived(b"nonce", number),
            verifier=self._derived(b"verifier", number),
        )

    def _derived(self, purpose: bytes, number: bytes) -> str:
        made = hmac.digest(self._secret, purpose + number, hashlib.sha256)
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
