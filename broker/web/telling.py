r"""One value in the words that a page says it in, exact and visible.

What is two values is told in two ways: a plain name stands as it is, any other text in a fence that
nothing inside it can close, a number and whatever else is JSON as such. What is long is shown by
its start and its length, where it may be cut at all.
"""

import re
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.pointers import MISSING
from broker.core.summary import format_money
from broker.core.text import visible, visible_value
from broker.web.marking import fenced, look_alikes

LONG: Final = 300
"""Characters from which on a value is cut."""

HEAD: Final = 140
"""Characters of it that are shown before it is opened."""

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9@_+.:/-]{0,79}")
_JSON_WORDS: Final = frozenset({"true", "false", "null"})
MONEY: Final = re.compile(r"[A-Z]{3} -?[0-9]+(?:\.[0-9]+)?")
MINOR: Final = "_minor"
NAME: Final = re.compile(r"/[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One value as it is told.

    Attributes:
        text: all of it, made visible.
        is_fenced: whether it stands between fences.
        key: under which it is said to have been opened; empty where all of it is shown at once.
        head: its start, where it is cut; else empty.
        letters: of it that look like others.
    """

    text: str
    is_fenced: bool = False
    key: str = ""
    head: str = ""
    letters: tuple[str, ...] = ()


def amount(minor: int | None, currency: str) -> str:
    """`EUR 55.00`; empty where there is none."""
    return "" if minor is None else format_money(minor, currency or MISSING)


def told(value: JsonValue, *, key: str = "", rendered: str = "") -> Told:
    """Any JSON value.

    Args:
        value: what it is.
        key: under which it is opened, where it may be cut; empty where it may not.
        rendered: how the broker says it already; taken where it is money, which is exact.
    """
    if MONEY.fullmatch(rendered):
        return Told(text=rendered)
    if not isinstance(value, str):
        return _cut(visible_value(value), value, key=key, is_fenced=False)
    if _PLAIN.fullmatch(value) and value not in _JSON_WORDS:
        return Told(text=value)
    return text_told(value, key=key)


def name_of(pointer: str, *, rendered: str = "") -> str:
    """An argument's name for people: `order id` of `/order_id`; the pointer where it says more.

    Money has no `minor` in its name, and a pointer where it had none before: no two are alike.
    """
    if not NAME.fullmatch(pointer):
        return visible(pointer)
    if not MONEY.fullmatch(rendered):
        return pointer[1:].replace("_", " ")
    plain = pointer.removesuffix(MINOR)
    return plain[1:].replace("_", " ") if plain != pointer else pointer


def text_told(value: str, *, key: str = "") -> Told:
    """A text that somebody wrote, in its fence. See `told`."""
    return _cut(fenced(value), value, key=key, is_fenced=True)


def _cut(text: str, value: JsonValue, *, key: str, is_fenced: bool) -> Told:
    is_long = bool(key) and len(text) > LONG
    head = ""
    if is_long:
        whole = value if isinstance(value, str) else text
        head = fenced(whole[:HEAD]) if is_fenced else text[:HEAD]
        head = f"{head} … ({len(whole)} characters)"
    return Told(
        text=text,
        is_fenced=is_fenced,
        key=key if is_long else "",
        head=head,
        letters=tuple(look_alikes(text)),
    )
