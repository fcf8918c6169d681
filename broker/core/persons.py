"""One human has one name: an issuer and what it calls them, in the one form that looks like it."""

import unicodedata
from typing import Final

from broker.core.calls import Person
from broker.core.errors import MalformedRequest
from broker.core.limits import NAME_CHARACTERS_MAX

LOCAL_ISSUER: Final = "local"


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
