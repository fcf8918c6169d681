"""The form by which a reviewer makes a call less: what it offers, and what was filled in.

It offers what the tool's manifest says may be less, and nothing else; whether what was filled in is
less is for `core.narrowing` to say. Amounts are typed as they are shown, and are exact: what has
more digits than its currency is no amount.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData

from broker.core.arguments import JsonValue
from broker.core.errors import MalformedRequest
from broker.core.narrowing import SMALLER
from broker.core.pointers import Missing, Pointer
from broker.core.summary import format_amount
from broker.reviews import HoldView
from broker.web.telling import Told, name_of, told

_DIGITS_MAX: Final = 20
_AMOUNT: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One argument that may be less.

    Attributes:
        name: of the input.
        present: what it is, as it is typed: `55.00`; empty for a list.
        currency: of money; else empty.
        elements: of a list, in its order; any may be left out.
    """

    name: str
    pointer: str
    label: str
    present: str
    currency: str = ""
    elements: tuple[Told, ...] = ()


def fields_of(view: HoldView) -> tuple[Field, ...]:
    """What may be less, in the manifest's order."""
    found: list[Field] = []
    for at, (pointer, how) in enumerate(view.narrowing.items()):
        value = _value(view, pointer)
        if how == SMALLER and isinstance(value, int) and not isinstance(value, bool):
            found.append(_number(view, pointer, value, name=f"less{at}"))
        elif isinstance(value, list) and len(value) > 1:
            elements = tuple(told(one) for one in value)
            label = name_of(pointer)
            found.append(
                Field(name=f"less{at}", pointer=pointer, label=label, present="", elements=elements)
            )
    return tuple(found)


def changes_in(form: FormData, view: HoldView) -> dict[str, JsonValue]:
    """What was filled in and differs, by JSON Pointer.

    Raises:
        MalformedRequest: something is no amount, no number or no element.
    """
    changes: dict[str, JsonValue] = {}
    for field in fields_of(view):
        value = _value(view, field.pointer)
        if isinstance(value, list):
            kept = _kept(form.getlist(field.name), value)
            if len(kept) != len(value):
                changes[field.pointer] = kept
            continue
        typed = form.get(field.name, "")
        number = _typed(typed.strip() if isinstance(typed, str) else "", field)
        if number is not None and number != value:
            changes[field.pointer] = number
    return changes


def _value(view: HoldView, pointer: str) -> JsonValue:
    found = Pointer.parse(pointer).resolve(dict(view.invocation.call.arguments))
    return None if isinstance(found, Missing) else found


def _number(view: HoldView, pointer: str, value: int, *, name: str) -> Field:
    rendered = next((a.rendered for a in view.arguments if a.pointer == pointer), "")
    label = name_of(pointer, rendered=rendered)
    for currency in {rendered[:3]} if rendered[3:4] == " " else set():
        shown = format_amount(value, currency)
        if rendered == f"{currency} {shown}":
            return Field(name=name, pointer=pointer, label=label, present=shown, currency=currency)
    return Field(name=name, pointer=pointer, label=name_of(pointer), present=str(value))


def _typed(text: str, field: Field) -> int | None:
    """Minor units of what was typed; None where nothing was."""
    if not text:
        return None
    match = _AMOUNT.fullmatch(text)
    digits = len(field.present.partition(".")[2])
    if match is None or len(match[2] or "") > digits:
        what = f"an amount of {field.currency}" if field.currency else "a whole number"
        raise MalformedRequest(f"{field.label} must be {what}, such as {field.present}.")
    return int(match[1] + (match[2] or "").ljust(digits, "0"))


def _kept(chosen: Sequence[object], value: list[JsonValue]) -> list[JsonValue]:
    places = {one for one in chosen if isinstance(one, str)}
    return [element for at, element in enumerate(value) if str(at) in places]
