"""A resource has a full name and a short one: its kind's letter and its UUID's last 8 digits.

The head of a UUIDv7 is time, alike for all that happened together; its tail is random. Taken is the
full name, the bare UUID, and any beginning or end of it that fits one resource alone.
"""

import re
from collections.abc import Iterable
from typing import Final

from broker.cli.failures import CommandFailed, ExitCode
from broker.core.text import visible

SHORT_DIGITS: Final = 8
FRAGMENT_DIGITS_MIN: Final = 4
CANDIDATES_MAX: Final = 10

_LETTERS: Final = {
    "holds": "h",
    "invocations": "i",
    "sessions": "s",
    "mandates": "m",
    "grants": "g",
    "freezes": "f",
    "legal-holds": "l",
    "credentials": "c",
    "workers": "w",
    "brokers": "b",
}
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FRAGMENT: Final = re.compile(rf"[0-9a-f-]{{{FRAGMENT_DIGITS_MIN},36}}")


def short(name: str) -> str:
    """`holds/0193…3fa9c2d1` as `h-3fa9c2d1`; any other name escaped, to be shown as it then is."""
    kind, _, identity = name.partition("/")
    if kind in _LETTERS and _UUID.fullmatch(identity):
        return f"{_LETTERS[kind]}-{identity[-SHORT_DIGITS:]}"
    return visible(name)


def full(kind: str, text: str) -> str | None:
    """The full name, where the text says it by itself; None where it is to be looked for."""
    if text.startswith(f"{kind}/"):
        return text
    return f"{kind}/{text.lower()}" if _UUID.fullmatch(text.lower()) else None


def resolve(kind: str, text: str, known: Iterable[str]) -> str:
    """The one resource that is meant.

    Args:
        kind: `holds`, `invocations`, …
        text: what was typed.
        known: full names; read only where the text is not a whole name.

    Raises:
        CommandFailed: none fits, or several do.
    """
    whole = full(kind, text)
    if whole is not None:
        return whole
    fragment = text.lower().removeprefix(f"{_LETTERS[kind]}-")
    if not _FRAGMENT.fullmatch(fragment):
        raise CommandFailed(
            f"{text!r} names none of the {kind}: give a name as it is listed, such as "
            f"{_LETTERS[kind]}-3fa9c2d1.",
            exit_code=ExitCode.USAGE,
        )
    found = sorted({name for name in known if _fits(fragment, name)})
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandFailed(f"There is none of the {kind} that {text!r} fits.")
    raise CommandFailed(
        f"{text!r} fits {len(found)} of the {kind}; give more of the name:",
        exit_code=ExitCode.USAGE,
        findings=tuple(found[:CANDIDATES_MAX]),
    )


def _fits(fragment: str, name: str) -> bool:
    identity = name.rpartition("/")[2]
    bare, digits = identity.replace("-", ""), fragment.replace("-", "")
    return bare.startswith(digits) or bare.endswith(digits)
