"""People read what the broker says of a call, never what the agent says of it.

The sentence is the operator's template; values are filled in from the frozen arguments and from
facts, each through the one escaper. An argument that could pass for words of the sentence stands
in quotation marks, which nothing inside it can close. An argument that names a file shows as the
file's name, which is somebody's word too. For reviewers' eyes only: a fact may show here what the
caller may not see.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Session
from broker.core.known import Known
from broker.core.pointers import MISSING, Missing, Pointer, Reference
from broker.core.text import visible, visible_value

VALUE_CHARACTERS_MAX: Final = 120
ELEMENTS_SHOWN_MAX: Final = 3

# ISO 4217 minor units, where they are not two digits.
_MINOR_DIGITS: Final[Mapping[str, int]] = {
    currency: digits
    for digits, currencies in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for currency in currencies.split()
}
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
# One word that can only be a name, number or address.
_PLAIN: Final = re.compile(r"[A-Za-z0-9@#+_.:/-]{1,80}")
NO_FILES: Final[Mapping[str, str]] = MappingProxyType({})
_PIECE: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")


def summarise(
    template: str,
    arguments: Mapping[str, JsonValue],
    facts: Mapping[str, Fact],
    money: Mapping[Reference, Reference],
    *,
    session: Session | None = None,
    files: Mapping[str, str] = NO_FILES,
) -> str:
    """The line that people read: `Refund EUR 55.00 of order O-1001 to card ending 0017`.

    Args:
        template: text with references in braces; doubled braces are braces.
        arguments: of the frozen call.
        facts: looked up for it.
        money: amounts in minor units, to the currency of each.
        session: for references to the principal, agent or session.
        files: file name of each artefact that the arguments name, by JSON Pointer.

    Raises:
        ValueError: the template is broken; `manifest.parse` refuses such a one.
    """
    known = Known(arguments=arguments, facts=facts, session=session)
    return "".join(
        piece
        if isinstance(piece, str)
        else _file_names(piece, known, files) or render(piece, known, money)
        for piece in pieces(template)
    )


@functools.lru_cache(maxsize=1_024)
def pieces(template: str) -> tuple[str | Reference, ...]:
    """The template's texts and references, in order.

    Raises:
        ValueError: a brace that stands alone, or braces that hold no reference.
    """
    found: list[str | Reference] = []
    for piece in _PIECE.findall(template):
        if piece in {"{{", "}}"}:
            found.append(piece[0])
        elif piece in {"{", "}"}:
            raise ValueError("A brace of the text itself is doubled.")
        elif piece.startswith("{"):
            found.append(Reference.parse(piece[1:-1]))
        else:
            found.append(piece)
    return tuple(found)


def render(reference: Reference, known: Known, money: Mapping[Reference, Reference]) -> str:
    """The value that a reference stands for, for people; says so where there is none."""
    value = known.value(reference)
    if isinstance(value, Missing):
        return _why_missing(reference, known)
    currency = known.value(money[reference]) if reference in money else MISSING
    return render_value(reference, value, currency=currency, is_money=reference in money)


def render_value(
    reference: Reference,
    value: JsonValue,
    *,
    currency: JsonValue | Missing = MISSING,
    is_money: bool = False,
) -> str:
    """One value, for people.

    Args:
        reference: where it is from; an argument is an agent's word and is fenced.
        value: any JSON.
        currency: of an amount in minor units; MISSING where it is none or unknown.
        is_money: whether it is an amount, be its currency known or not.
    """
    if is_money:
        return format_money(value, currency)
    if isinstance(value, list) and not any(isinstance(v, dict | list) for v in value):
        shown = [render_value(reference, v) for v in value[:ELEMENTS_SHOWN_MAX]]
        more = len(value) - ELEMENTS_SHOWN_MAX
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "none"
    if not isinstance(value, str):
        return visible_value(value, characters_max=VALUE_CHARACTERS_MAX)
    if reference.root or _PLAIN.fullmatch(value):
        return visible(value, characters_max=VALUE_CHARACTERS_MAX)
    return visible_value(value, characters_max=VALUE_CHARACTERS_MAX)


def format_money(minor: JsonValue, currency: JsonValue | Missing) -> str:
    """`EUR 55.00`, by the currency's own number of digits (ISO 4217; two for unlisted codes).

    An amount that is no integer, or a currency that is no code, is shown as it is, and named so.
    """
    if isinstance(minor, bool) or not isinstance(minor, int):
        return f"{visible_value(minor, characters_max=VALUE_CHARACTERS_MAX)} (not an amount)"
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return f"{minor} minor units of an unknown currency"
    return f"{currency} {format_amount(minor, currency)}"


def format_amount(minor: int, currency: str) -> str:
    """`55.00`, by the currency's own number of digits."""
    digits = _MINOR_DIGITS.get(currency, 2)
    sign, whole = ("-" if minor < 0 else ""), f"{abs(minor):0{digits + 1}d}"
    return f"{sign}{whole[:-digits]}.{whole[-digits:]}" if digits else f"{sign}{whole}"


def leaves(arguments: Mapping[str, JsonValue]) -> list[tuple[str, JsonValue]]:
    """Every scalar, and every empty object or array below the root, by JSON Pointer, in order."""
    return [(str(pointer), value) for pointer, value in _leaves(Pointer(), dict(arguments))]


def _leaves(pointer: Pointer, value: JsonValue) -> Iterator[tuple[Pointer, JsonValue]]:
    members: list[tuple[str | int, JsonValue]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    if not members and (pointer.tokens or not isinstance(value, dict)):
        yield pointer, value
    for token, member in members:
        yield from _leaves(pointer / token, member)


def _file_names(reference: Reference, known: Known, files: Mapping[str, str]) -> str:
    """The names of the files that an argument names; empty where it names none."""
    if reference.root or not files:
        return ""
    value = known.value(reference)
    at = str(reference.pointer)
    if not isinstance(value, list):
        return _fenced(files[at]) if at in files else ""
    named = [files.get(f"{at}/{index}") for index in range(len(value))]
    shown = [_fenced(name) for name in named[:ELEMENTS_SHOWN_MAX] if name is not None]
    if not shown or None in named:
        return ""
    more = len(named) - ELEMENTS_SHOWN_MAX
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _fenced(name: str) -> str:
    return visible_value(name, characters_max=VALUE_CHARACTERS_MAX)


def _why_missing(reference: Reference, known: Known) -> str:
    fact = known.facts.get(reference.root)
    if fact is not None and fact.error:
        return "(not looked up)"
    if fact is not None and fact.absent:
        return "(not found)"
    return "(none)"
