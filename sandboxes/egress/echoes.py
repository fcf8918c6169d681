"""What the proxy put in never comes back: an answer that repeats a credential is cut before it.

Looked for is the secret as it is, and as web servers commonly write it: percent-encoded, in base64
at any offset, in hexadecimal, escaped as in JSON. Who transforms it otherwise is not noticed; a
credential goes only to hosts that the operator trusts with it.
"""

import base64
import binascii
import json
from urllib.parse import quote

from sandboxes.egress.refusals import EgressRefused


def spellings(secret: str, prefix: str = "") -> tuple[bytes, ...]:
    """Every form of a secret that is looked for.

    Args:
        secret: as it was read.
        prefix: that it is sent with; of "Basic " the two halves within are secret too.
    """
    plain = {secret.encode()}
    if prefix.strip().lower() == "basic":
        plain |= _within_basic(secret)
    found: set[bytes] = set()
    for each in plain:
        found |= {
            each,
            quote(each, safe="").encode(),
            json.dumps(each.decode("latin-1"))[1:-1].encode(),
        }
        found |= {binascii.hexlify(each), binascii.hexlify(each).upper()}
        found |= _in_base64(each)
    return tuple(sorted(found))


class EchoGuard:
    """Looks through one answer's body as it passes.

    It holds back as many bytes as one spelling but one, so that not even the head of a secret that
    arrives in two pieces passes.
    """

    def __init__(self, wanted: tuple[bytes, ...]) -> None:
        """For these spellings; none: everything passes at once."""
        self._wanted = wanted
        self._held_bytes = max(map(len, wanted), default=1) - 1
        self._held = b""

    @property
    def is_looking(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._wanted)

    def require_none_in(self, text: bytes) -> None:
        """Check what is there as a whole, such as a header.

        Raises:
            EgressRefused: EGRESS_CREDENTIAL_ECHOED.
        """
        if any(spelling in text for spelling in self._wanted):
            raise EgressRefused(
                "EGRESS_CREDENTIAL_ECHOED", "The answer repeats the credential.", status=502
            )

    def feed(self, chunk: bytes) -> bytes:
        """What may pass now that `chunk` has come.

        Raises:
            EgressRefused: EGRESS_CREDENTIAL_ECHOED.
        """
        seen = self._held + chunk
        self.require_none_in(seen)
        passing = max(len(seen) - self._held_bytes, 0)
        self._held = seen[passing:]
        return seen[:passing]

    def finish(self) -> bytes:
        """What is left when the answer is over."""
        left, self._held = self._held, b""
        return left


def _within_basic(secret: str) -> set[bytes]:
    try:
        both = base64.b64decode(secret, validate=True)
    except binascii.Error:
        return set()
    password = both.partition(b":")[2]
    return {both, password} if len(password) >= 4 else {both}  # noqa: PLR2004 - shorter: by chance


def _in_base64(plain: bytes) -> set[bytes]:
    """The part of it that is the same whatever stands before and after, for each offset."""
    found = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + plain)
        first = (0, 2, 3)[offset]
        bits = 8 * (offset + len(plain))
        inner = encoded[first : bits // 6]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found
