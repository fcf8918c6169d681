"""What the proxy put in never comes back: an answer that repeats a credential is cut before it.

Looked for is the secret as it is, in base64 at any offset, in hexadecimal, and behind the escapes
of JSON, URLs and HTML, one within the other in that order. Who transforms it otherwise is not
noticed: a credential goes only to hosts that the operator trusts with it.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sandboxes.egress.refusals import EgressRefused

_ESCAPED_BYTES_MAX = 8  # of one character: "&#x002b;"
_JSON = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|([\"\\/]))")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_HTML = re.compile(rb"&(?:#[xX]0{0,2}([0-9A-Fa-f]{2})|#0?([0-9]{2,3})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for.

    Attributes:
        plain: secrets as they are; behind escapes too.
        encoded: other forms of them.
    """

    plain: tuple[bytes, ...] = ()
    encoded: tuple[bytes, ...] = ()


def spellings(secret: str, prefix: str = "") -> Wanted:
    """Every form of a secret that is looked for.

    Args:
        secret: as it was read.
        prefix: that it is sent with; of "Basic " the two halves within are secret too.
    """
    plain = {secret.encode()}
    if prefix.strip().lower() == "basic":
        plain |= _within_basic(secret)
    encoded: set[bytes] = set()
    for each in plain:
        encoded |= {binascii.hexlify(each), binascii.hexlify(each).upper()}
        encoded |= _in_base64(each)
    return Wanted(plain=tuple(sorted(plain)), encoded=tuple(sorted(encoded)))


class EchoGuard:
    """Looks through one answer's body as it passes.

    It holds back as many bytes as the longest form but one, so that not even the head of a secret
    that arrives in two pieces passes.
    """

    def __init__(self, wanted: Wanted) -> None:
        """For these forms; none: everything passes at once."""
        self._wanted = wanted
        longest = max((len(each) * _ESCAPED_BYTES_MAX for each in wanted.plain), default=1)
        self._held_bytes = max([longest, *map(len, wanted.encoded)]) - 1
        self._held = b""

    @property
    def is_looking(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._wanted.plain)

    def require_none_in(self, text: bytes) -> None:
        """Check what is there as a whole, such as a header.

        Raises:
            EgressRefused: EGRESS_CREDENTIAL_ECHOED.
        """
        if any(form in text for form in self._wanted.encoded) or any(
            secret in view for view in _views(text) for secret in self._wanted.plain
        ):
            raise EgressRefused(
                "EGRESS_CREDENTIAL_ECHOED", "The answer repeats the credential.", status=502
            )

    def feed(self, chunk: bytes) -> bytes:
        """What may pass now that `chunk` has come.

        Raises:
            EgressRefused: EGRESS_CREDENTIAL_ECHOED.
        """
        if not self.is_looking:
            return chunk
        seen = self._held + chunk
        self.require_none_in(seen)
        passing = max(len(seen) - self._held_bytes, 0)
        self._held = seen[passing:]
        return seen[:passing]

    def finish(self) -> bytes:
        """What is left when the answer is over."""
        left, self._held = self._held, b""
        return left


def _views(text: bytes) -> Iterator[bytes]:
    yield text
    text = _JSON.sub(lambda found: _byte(found[1]) if found[1] else found[2], text)
    yield text
    text = _PERCENT.sub(lambda found: _byte(found[1]), text)
    yield text
    yield _HTML.sub(_of_html, text)


def _of_html(found: re.Match[bytes]) -> bytes:
    if found[3]:
        return _NAMED[found[3]]
    return _byte(found[1]) if found[1] else bytes([int(found[2]) & 0xFF])


def _byte(digits: bytes) -> bytes:
    return bytes([int(digits, 16)])


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
