"""A hold in the words that its page says it in.

Exact: what differs between two calls differs in what is said of them. Short: a name that the
schema has is said by its last word, money as money, a plain name without quotation marks. What is
long is shown by its start and its length, and is to be opened before the call is approved; who or
what a call reaches is never cut. Whatever an agent, a tool or a stranger wrote is made visible and
stands in a fence, unless it is a single plain name.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Invocation
from broker.core.holds import given
from broker.core.pointers import MISSING
from broker.core.previews import ChangeShown, changes_of
from broker.core.review_view import ArgumentView
from broker.core.summary import format_money, leaves
from broker.core.text import visible
from broker.reviews import HoldView
from broker.reviews.quoting import Quote, quote
from broker.web.telling import MINOR, NAME, Told, amount, name_of, text_told, told

_ELEMENT: Final = re.compile(r"(/[a-z][a-z0-9_]{0,40})/([0-9]{1,6})")
SOURCES: Final = {
    "words": "the user's words",
    "fact": "looked up",
    "directory": "the directory",
    "trusted_result": "a result",
    "untrusted_result": "an untrusted result",
    "weak": "too short to trace",
    "lookalike": "looks like a known value, and is not",
    "unseen": "seen nowhere: the agent's own",
    "": "nobody looked",
}
UNTRUSTED: Final = frozenset({"untrusted_result", "lookalike"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A fact that the broker looked up, beside an argument."""

    label: str
    reference: str
    value: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """A call of the session whose result has the value."""

    tool: str
    invocation: str
    at: float
    quote: Quote | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One argument.

    Attributes:
        label: its name; `pointer` says the whole of it where that is more.
        was: what the agent asked for, where a reviewer made it less.
        others: what has the value besides calls: facts, or sources of the directory.
    """

    label: str
    pointer: str
    value: Told
    was: Told | None
    is_target: bool
    known: tuple[Known, ...]
    source: str
    is_untrusted: bool
    origins: tuple[From, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a preview: the tool's words."""

    label: Told
    before: Told
    after: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One code that stopped it, and why in plain words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOf:
    """Whose yes is needed, how many have given it, and for which codes that is so."""

    groups: tuple[str, ...]
    wanted: int
    given: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A hold as its page tells it.

    Attributes:
        must_open: keys of what is cut; each is to be opened before an approval.
        amount: what it is about in money; empty where it is about none.
        taken_away: arguments that were asked for and would not run any more.
    """

    lines: tuple[Line, ...]
    words: tuple[Told, ...]
    changes: tuple[Change, ...]
    needs: tuple[Need, ...]
    asked_of: tuple[AskedOf, ...]
    amount: str
    targets: tuple[Line, ...]
    taken_away: tuple[tuple[str, Told], ...] = ()
    must_open: tuple[str, ...] = field(default=())


def read(view: HoldView) -> Reading:
    """Everything that the page says, in order: who is reached, how much, and the rest."""
    hold = view.hold
    asked = dict(leaves(view.invocation.asked.arguments)) if view.invocation.asked else None
    lines = sorted(
        (_line(view, one, f"v{at}", asked) for at, one in enumerate(view.arguments)),
        key=_rank,
    )
    words = tuple(text_told(one, key=f"w{at}") for at, one in enumerate(view.words))
    changes = tuple(
        change_told(one, f"p{at}")
        for at, one in enumerate(changes_of(hold.preview) if hold.preview else ())
    )
    told = [*_all_told(lines), *words, *(t for c in changes for t in (c.before, c.after))]
    return Reading(
        lines=tuple(lines),
        words=words,
        changes=changes,
        needs=tuple(Need(code=r.code, message=r.message) for r in hold.requirements),
        asked_of=_asked_of(view),
        amount=amount(hold.amount_minor, hold.currency),
        targets=tuple(line for line in lines if line.is_target),
        taken_away=_taken_away(view, asked or {}),
        must_open=tuple(one.key for one in told if one.key),
    )


def _asked_of(view: HoldView) -> tuple[AskedOf, ...]:
    """What it takes; codes that take and have the same are one."""
    found: dict[tuple[tuple[str, ...], int, int], list[str]] = {}
    for one in view.hold.requirements:
        terms = one.terms
        have = given(view.hold, one, view.reviews)
        found.setdefault((terms.reviewers, terms.approvals_required, have), []).append(one.code)
    return tuple(
        AskedOf(groups=groups, wanted=wanted, given=have, codes=tuple(codes))
        for (groups, wanted, have), codes in found.items()
    )


def _element_name(view: HoldView, pointer: str) -> str:
    """`to #1` of `/to/0`, where that is an element of a list; else empty."""
    match = _ELEMENT.fullmatch(pointer)
    if match is None or not isinstance(view.invocation.call.arguments.get(match[1][1:]), list):
        return ""
    return f"{name_of(match[1])} #{int(match[2]) + 1}"


def _line(view: HoldView, one: ArgumentView, key: str, asked: dict[str, JsonValue] | None) -> Line:
    value: JsonValue = json.loads(one.value_json)
    is_target = one.pointer in view.targets
    was = None
    if asked is not None and asked.get(one.pointer, value) != value:
        was = _was(view, one, asked[one.pointer], key=f"a{key}")
    calls = [view.origins[name] for name in one.origins if name in view.origins]
    return Line(
        label=_element_name(view, one.pointer) or name_of(one.pointer, rendered=one.rendered),
        pointer=one.pointer,
        value=told(value, key="" if is_target else key, rendered=one.rendered),
        was=was,
        is_target=is_target,
        known=tuple(
            Known(
                label=_fact_name(fact.reference, is_money=bool(fact.rendered)),
                reference=fact.reference,
                value=_fact(fact.value_json, fact.rendered, key=f"{key}f{at}"),
            )
            for at, fact in enumerate(one.looked_up)
        ),
        source=_source(one, calls),
        is_untrusted=one.provenance in UNTRUSTED,
        origins=tuple(_from(call, value) for call in calls),
        others=tuple(visible(name) for name in one.origins if not name.startswith("invocations/")),
    )


def _was(view: HoldView, one: ArgumentView, value: JsonValue, *, key: str) -> Told:
    """What was asked for; as money where what would run now is."""
    currency = view.hold.currency
    if one.rendered and currency and one.rendered.startswith(f"{currency} "):
        return Told(text=format_money(value, currency))
    return told(value, key=key)


def _taken_away(view: HoldView, asked: dict[str, JsonValue]) -> tuple[tuple[str, Told], ...]:
    kept = {one.pointer for one in view.arguments}
    return tuple(
        (name_of(pointer), told(value)) for pointer, value in asked.items() if pointer not in kept
    )


def _source(one: ArgumentView, calls: Sequence[Invocation]) -> str:
    if calls and one.provenance in {"trusted_result", "untrusted_result"}:
        return "result of"
    return SOURCES.get(one.provenance, visible(one.provenance))


def _from(call: Invocation, value: JsonValue) -> From:
    return From(
        tool=call.call.tool,
        invocation=call.name,
        at=call.created_at,
        quote=quote(value, call.result),
    )


def _fact(value_json: str, rendered: str, *, key: str) -> Told:
    if rendered or not value_json:
        return Told(text=visible(rendered))
    return told(json.loads(value_json), key=key)


def _fact_name(reference: str, *, is_money: bool) -> str:
    """`captured` of `order#/captured_minor`: the column says that it was looked up."""
    pointer = reference.partition("#")[2]
    if not NAME.fullmatch(pointer):
        return visible(reference)
    return name_of(pointer.removesuffix(MINOR) if is_money else pointer)


def change_told(one: ChangeShown, key: str) -> Change:
    """A line of a preview; what is long in it is opened under names that begin with the key."""
    currency: JsonValue = one.currency

    def side(value: JsonValue, at: str) -> Told:
        if value is None:
            return Told(text="nothing")
        if one.is_money:
            return Told(text=format_money(value, currency or MISSING))
        return told(value, key=f"{key}{at}")

    return Change(
        label=text_told(one.label, key=""), before=side(one.before, "b"), after=side(one.after, "a")
    )


def _rank(line: Line) -> int:
    if line.is_target:
        return 0
    return 1 if line.known or line.was else 2


def _all_told(lines: Iterable[Line]) -> list[Told]:
    return [
        told
        for line in lines
        for told in (line.value, line.was, *(known.value for known in line.known))
        if told is not None
    ]
